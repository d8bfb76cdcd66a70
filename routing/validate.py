"""Promise: a plan that the validator passes keeps every constraint of its problem.

It shares no arithmetic with the planner: loads, times, breaks, distances and costs are computed
here again from the problem's own numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from .problem import NO_WAY, Plan, PlannedRoute, Problem, Vehicle

#: Sums of floating-point numbers, relative to the numbers.
TOLERANCE = 1e-6

Score = tuple[int, float]


def violations(problem: Problem, plan: Plan) -> list[str]:
    """Every constraint that the plan violates, in words; [] for a valid plan."""
    return [
        *_strangers(problem, plan),
        *_coverage_faults(problem, plan),
        *_all_routes(problem, plan),
    ]


def score(problem: Problem, plan: Plan) -> Score:
    """The less, the better: the weight of required stops left out, then what the routes and
    the prizes left out cost."""
    visited = {visit.stop.key for route in plan.routes for visit in route.visits}
    left = [stop for stop in problem.stops if stop.key not in visited]
    prizes = sum(stop.prize for stop in left if stop.prize is not None)
    routes = sum(_cost(problem, route) for route in plan.routes)
    return sum(1 + stop.priority for stop in left if stop.prize is None), routes + prizes


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
    """What a vehicle may, the problem says, not the plan's copy of it. Strangers have no place
    in the problem's matrices: their routes' faults are those told already."""
    for route in plan.routes:
        vehicle = problem.vehicle_of.get(route.vehicle.key)
        name = f"vehicle {route.vehicle.key}"
        if not route.visits:
            yield f"{name}: its route has no stop"
        elif vehicle and all(visit.stop.key in problem.node_of for visit in route.visits):
            faults = (
                *_load_faults(route, vehicle),
                *_stop_faults(route, vehicle),
                *_shift_faults(route, vehicle),
                *_road_faults(problem, route),
                *_break_faults(route, vehicle),
                *_sum_faults(problem, route, vehicle),
            )
            yield from (f"{name}: {fault}" for fault in faults)


def _load_faults(route: PlannedRoute, vehicle: Vehicle) -> Iterator[str]:
    stops = [visit.stop for visit in route.visits]
    for unit, load, most in (
        ("kg", math.fsum(s.load_kg for s in stops), vehicle.capacity_kg),
        ("m³", math.fsum(s.load_m3 for s in stops), vehicle.capacity_m3),
        ("items", sum(s.items for s in stops), vehicle.capacity_items),
    ):
        # Not "more than": a load that is not a number is not within its capacity either.
        if not load <= most + TOLERANCE * max(1, len(stops)):
            yield f"{load:g} {unit} over its {most:g}"
    if vehicle.max_stops is not None and len(stops) > vehicle.max_stops:
        yield f"{len(stops)} stops over its {vehicle.max_stops}"


def _stop_faults(route: PlannedRoute, vehicle: Vehicle) -> Iterator[str]:
    for visit in route.visits:
        stop = visit.stop
        windows = stop.windows
        if windows and not any(a <= visit.arrival_s <= b for a, b in windows):
            yield f"stop {stop.key} is reached outside its window, at {visit.arrival_s} s"
        if missing := stop.skills - vehicle.skills:
            yield f"stop {stop.key} needs {', '.join(sorted(missing))}"
        if route.departure_s < stop.release_s:
            yield f"it leaves before stop {stop.key} is released, at {stop.release_s} s"


def _shift_faults(route: PlannedRoute, vehicle: Vehicle) -> Iterator[str]:
    if route.departure_s < vehicle.start_s or route.return_s > vehicle.end_s:
        yield f"on the road from {route.departure_s} to {route.return_s} s, outside its shift"


def _nodes(problem: Problem, route: PlannedRoute) -> list[int]:
    start, end = problem.ends_of(problem.vehicle_of[route.vehicle.key])
    return [start, *(problem.node_of[visit.stop.key] for visit in route.visits), end]


def _legs(problem: Problem, route: PlannedRoute) -> list[tuple[int, int, int]]:
    """(seconds of driving, when the leg may begin, when it must be over), leg by leg."""
    nodes = _nodes(problem, route)
    seconds = [int(problem.travel.seconds[a, b]) for a, b in pairwise(nodes)]
    begins = [route.departure_s, *(v.arrival_s + v.stop.service_s for v in route.visits)]
    ends = [*(v.arrival_s for v in route.visits), route.return_s]
    return list(zip(seconds, begins, ends, strict=True))


def _road_faults(problem: Problem, route: PlannedRoute) -> Iterator[str]:
    """Breaks take their part of a leg's time."""
    spans = _spans(route)
    for number, (drive, begins, ends) in enumerate(_legs(problem, route)):
        whose = (
            f"stop {route.visits[number].stop.key} is reached"
            if number < len(route.visits)
            else "it is back"
        )
        if drive >= NO_WAY:
            yield f"{whose} where no road leads"
        elif ends - begins - _shared(spans, begins, ends) < drive:
            yield f"{whose} faster than one can drive"


def _spans(route: PlannedRoute) -> list[tuple[int, int]]:
    """(begin, end) of each break."""
    pairs = zip(route.breaks_s, route.vehicle.breaks, strict=False)
    return [(start, start + rest.duration_s) for start, rest in pairs]


def _shared(spans: list[tuple[int, int]], begins: int, ends: int) -> int:
    return sum(max(0, min(b, ends) - max(a, begins)) for a, b in spans)


def _break_faults(route: PlannedRoute, vehicle: Vehicle) -> Iterator[str]:
    if len(route.breaks_s) != len(vehicle.breaks):
        yield f"{len(route.breaks_s)} breaks are planned, {len(vehicle.breaks)} are due"
        return
    for start, rest in zip(route.breaks_s, vehicle.breaks, strict=True):
        if not rest.earliest_s <= start <= rest.latest_s:
            yield f"a break begins at {start} s, not in its time"
    spans = _spans(route)
    if any(later[0] < sooner[1] for sooner, later in pairwise(spans)):
        yield "two breaks overlap"
    for visit in route.visits:
        if _shared(spans, visit.arrival_s, visit.arrival_s + visit.stop.service_s):
            yield f"a break falls into the service at stop {visit.stop.key}"


def _sum_faults(problem: Problem, route: PlannedRoute, vehicle: Vehicle) -> Iterator[str]:
    metres = _metres(problem, route)
    if route.distance_m != metres:
        yield f"its tour is {metres} m long, not {route.distance_m}"
    cost = _cost(problem, route)
    if not math.isclose(route.cost, cost, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
        yield f"its tour costs {cost:g}, not {route.cost:g}"


def _metres(problem: Problem, route: PlannedRoute) -> int:
    return sum(int(problem.travel.metres[a, b]) for a, b in pairwise(_nodes(problem, route)))


def _cost(problem: Problem, route: PlannedRoute) -> float:
    vehicle = problem.vehicle_of[route.vehicle.key]
    hours = (route.return_s - route.departure_s) / 3600
    by_way = vehicle.cost_per_km * _metres(problem, route) / 1000
    return vehicle.fixed_cost + by_way + vehicle.cost_per_hour * hours
