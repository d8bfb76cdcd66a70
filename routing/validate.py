"""Promise: a plan that passes here keeps every constraint, whatever engine made it.

Nothing that the plan says of stops and vehicles is believed: what they are, the problem says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .problem import Plan, PlannedRoute, Problem, Vehicle
from .travel import matrices, tour_m

#: kg and m³, for sums of floating-point numbers.
TOLERANCE = 1e-6


def violations(problem: Problem, plan: Plan) -> list[str]:
    """Every constraint that the plan violates, in words; [] for a valid plan."""
    return [
        *_strangers(problem, plan),
        *_coverage_faults(problem, plan),
        *_all_routes(problem, plan),
    ]


def _strangers(problem: Problem, plan: Plan) -> Iterator[str]:
    vehicles, stops = set(problem.vehicles), set(problem.stops)
    for route in plan.routes:
        if route.vehicle not in vehicles:
            yield f"vehicle {route.vehicle.key} is not one of the problem"
        for visit in route.visits:
            if visit.stop not in stops:
                yield f"stop {visit.stop.key} is not one of the problem"


def _coverage_faults(problem: Problem, plan: Plan) -> Iterator[str]:
    """Each vehicle at most once, each stop once: visited, or unserved with a reason."""
    used = Counter(route.vehicle.key for route in plan.routes)
    yield from (f"vehicle {key} has {n} routes" for key, n in used.items() if n > 1)
    visited = Counter(visit.stop.key for route in plan.routes for visit in route.visits)
    yield from (f"stop {key} is visited {n} times" for key, n in visited.items() if n > 1)
    for stop in problem.stops:
        if (stop.key in visited) == bool(plan.unserved.get(stop.key)):
            yield f"stop {stop.key} must be either visited or unserved with a reason"
    for key in set(plan.unserved) - {stop.key for stop in problem.stops}:
        yield f"stop {key} is unserved, but not one of the problem"


def _all_routes(problem: Problem, plan: Plan) -> Iterator[str]:
    vehicles = {vehicle.key: vehicle for vehicle in problem.vehicles}
    for route in plan.routes:
        yield from _route_faults(route, vehicles.get(route.vehicle.key, route.vehicle))
        yield from _road_faults(problem, route)


def _route_faults(route: PlannedRoute, vehicle: Vehicle) -> Iterator[str]:
    name = f"vehicle {vehicle.key}"
    if not route.visits:
        yield f"{name}: its route has no stop"
    if route.load_kg > vehicle.capacity_kg + TOLERANCE:
        yield f"{name}: {route.load_kg:g} kg over its {vehicle.capacity_kg:g}"
    if route.load_m3 > vehicle.capacity_m3 + TOLERANCE:
        yield f"{name}: {route.load_m3:g} m³ over its {vehicle.capacity_m3:g}"
    if route.departure_s < vehicle.start_s or route.return_s > vehicle.end_s:
        yield f"{name}: outside its shift"


def _road_faults(problem: Problem, route: PlannedRoute) -> Iterator[str]:
    places = [problem.depot, *(visit.stop.place for visit in route.visits)]
    _, seconds = matrices(places)
    free_at = route.departure_s
    for here, visit in enumerate(route.visits):
        stop, arrival = visit.stop, visit.arrival_s
        if arrival < free_at + seconds[here, here + 1]:
            yield f"stop {stop.key} is reached faster than one can drive"
        if stop.window and not stop.window[0] <= arrival <= stop.window[1]:
            yield f"stop {stop.key} is reached outside its window"
        free_at = arrival + stop.service_s
    if route.return_s < free_at + seconds[-1, 0]:
        yield f"vehicle {route.vehicle.key} is back faster than one can drive"
    if route.distance_m != tour_m(places):
        yield f"vehicle {route.vehicle.key}: its tour is {tour_m(places)} m long"
