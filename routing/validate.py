"""Promise: a plan that passes here keeps every constraint, whatever engine made it."""

from __future__ import annotations

from collections import Counter

from .problem import Plan, PlannedRoute, Problem
from .travel import matrices

#: kg and m³: the solver counts in grams and millilitres.
TOLERANCE = 1e-3


def violations(problem: Problem, plan: Plan) -> list[str]:
    """Every constraint that the plan violates, in words; [] for a valid plan."""
    found = [fault for route in plan.routes for fault in _route_faults(problem, route)]
    used = Counter(route.vehicle.key for route in plan.routes)
    found += [f"vehicle {key} has {n} routes" for key, n in used.items() if n > 1]
    visited = Counter(visit.stop.key for route in plan.routes for visit in route.visits)
    found += [f"stop {key} is visited {n} times" for key, n in visited.items() if n > 1]
    for stop in problem.stops:
        if (stop.key in visited) == (stop.key in plan.unserved):
            found.append(f"stop {stop.key} must be either visited or unserved with a reason")
    return found


def _route_faults(problem: Problem, route: PlannedRoute) -> list[str]:
    vehicle, faults = route.vehicle, []
    if route.load_kg > vehicle.capacity_kg + TOLERANCE:
        faults.append(f"vehicle {vehicle.key}: {route.load_kg} kg over {vehicle.capacity_kg}")
    if route.load_m3 > vehicle.capacity_m3 + TOLERANCE:
        faults.append(f"vehicle {vehicle.key}: {route.load_m3} m³ over {vehicle.capacity_m3}")
    if route.departure_s < vehicle.start_s or route.return_s > vehicle.end_s:
        faults.append(f"vehicle {vehicle.key}: outside its shift")
    return faults + _time_faults(problem, route)


def _time_faults(problem: Problem, route: PlannedRoute) -> list[str]:
    places = [problem.depot, *(visit.stop.place for visit in route.visits)]
    _, seconds = matrices(places)
    faults, here, free_at = [], 0, route.departure_s
    for index, visit in enumerate(route.visits, start=1):
        if visit.arrival_s < free_at + seconds[here, index]:
            faults.append(f"stop {visit.stop.key} is reached faster than one can drive")
        if (
            visit.stop.window
            and not visit.stop.window[0] <= visit.arrival_s <= visit.stop.window[1]
        ):
            faults.append(f"stop {visit.stop.key} is reached outside its window")
        here, free_at = index, visit.arrival_s + visit.stop.service_s
    if route.return_s < free_at + seconds[here, 0]:
        faults.append(f"vehicle {route.vehicle.key} is back faster than one can drive")
    return faults
