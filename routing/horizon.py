"""Plans day after day until everything stands in a route or the days run out.

A vehicle makes one tour a day; a tour may last several days and keeps its vehicle busy.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .problem import Depot, Plan, Problem, Reason, Stop, Unserved, Vehicle
from .refusals import refusals
from .solver import LEAST, solve
from .travel import TravelProvider, great_circle
from .validate import check

DAY_S = 86_400
#: A tour that could only begin during its shift needs this much of it, seconds.
WORTHWHILE_S = 2 * 3600


@dataclass(frozen=True)
class FleetVehicle:
    """``shift_start_s`` counts from midnight. ``busy`` are tours it is on, from-until in
    seconds since the origin; it makes no second tour on the day that one begins."""

    id: str
    capacity_kg: float
    capacity_m3: float
    shift_start_s: int
    shift_s: int
    busy: tuple[tuple[int, int], ...] = ()

    def tour(self, day: int, not_before_s: int) -> Vehicle | None:
        """What it can drive on a day (counted from the origin's); None when it is not free."""
        begins = day * DAY_S + self.shift_start_s
        starts, ends = max(begins, not_before_s), begins + self.shift_s
        for busy_from, busy_until in self.busy:
            if busy_from // DAY_S == day or busy_from <= starts < busy_until:
                return None
            if starts < busy_from:
                ends = min(ends, busy_from)
        if ends <= starts or (starts > begins and ends - starts < WORTHWHILE_S):
            return None
        return Vehicle(self.id, self.capacity_kg, self.capacity_m3, starts, ends)


@dataclass(frozen=True)
class Horizon:
    """The days' plans, by day counted from the origin's, and what none of them could take."""

    days: dict[int, Plan]
    unserved: tuple[Unserved, ...]


def plan_days(
    depot: Depot,
    fleet: Sequence[FleetVehicle],
    stops: Sequence[Stop],
    *,
    days: int,
    not_before_s: int = 0,
    time_limit: float,
    seed: int = 0,
    travel: TravelProvider = great_circle,
) -> Horizon:
    """Every plan in the answer has passed the validator; seconds since the first day's
    midnight."""
    refused = _refuse(depot, fleet, stops, days, not_before_s, travel)
    left = [s for s in stops if s.id not in refused]
    deadline = time.monotonic() + time_limit
    plans: dict[int, Plan] = {}
    by_id = {vehicle.id: vehicle for vehicle in fleet}
    for day in range(days):
        tours = tuple(t for v in by_id.values() if (t := v.tour(day, not_before_s)))
        if not left or not tours:
            continue
        problem = Problem(depot, tours, tuple(left))
        limit = max(LEAST, deadline - time.monotonic()) * _share(problem)
        plan = solve(problem, limit, seed=seed, travel=travel)
        check(problem, plan, travel)
        plans[day] = plan
        served = {visit.stop_id for route in plan.routes for visit in route.visits}
        left = [stop for stop in left if stop.id not in served]
        for route in plan.routes:
            vehicle = by_id[route.vehicle_id]
            tour = (route.starts_s, route.ends_s)
            by_id[vehicle.id] = replace(vehicle, busy=(*vehicle.busy, tour))
    unserved = [*refused.items(), *((s.id, Reason.NO_ROOM) for s in left)]
    return Horizon(plans, tuple(Unserved(*pair) for pair in unserved))


def _refuse(
    depot: Depot,
    fleet: Sequence[FleetVehicle],
    stops: Sequence[Stop],
    days: int,
    not_before_s: int,
    travel: TravelProvider,
) -> dict[str, Reason]:
    """What not even the idle fleet could take on any of the days."""
    idle = [replace(vehicle, busy=()) for vehicle in fleet]
    tours = [t for day in range(days) for v in idle if (t := _named(v, day, not_before_s))]
    early = {
        s.id
        for s in stops
        if s.window and days * DAY_S <= s.window.opens_s <= s.window.closes_s
    }
    refused = refusals(Problem(depot, tuple(tours), tuple(stops)), travel)
    missed = Reason.WINDOW_MISSED
    return {
        stop_id: Reason.TOO_EARLY if reason == missed and stop_id in early else reason
        for stop_id, reason in refused.items()
    }


def _named(vehicle: FleetVehicle, day: int, not_before_s: int) -> Vehicle | None:
    tour = vehicle.tour(day, not_before_s)
    return replace(tour, id=f"{tour.id} on day {day}") if tour else None


def _share(problem: Problem) -> float:
    """How much of what is left the day's fleet may take at best: its share of the time."""
    kg = sum(s.load_kg for s in problem.stops)
    m3 = sum(s.load_m3 for s in problem.stops)
    seconds = sum(s.service_s for s in problem.stops)
    supply = [
        (sum(v.capacity_kg for v in problem.vehicles), kg),
        (sum(v.capacity_m3 for v in problem.vehicles), m3),
        (sum(v.shift_end_s - v.shift_start_s for v in problem.vehicles), seconds),
    ]
    return min([1.0, *(have / need for have, need in supply if need > 0)])
