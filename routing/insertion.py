"""Promise: the cheapest place for one more stop in a plan is found without a search, so that a
customer can be told a time while they wait.

Every gap of every route is judged at once, with NumPy and optimistically: breaks, and a route
that must wait for the stop's release, are left out. The most promising gaps are then timed
exactly, cheapest first, until no other can be cheaper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .problem import LATEST, NO_WAY, Key, Plan, PlannedRoute, Problem, Stop, Vehicle
from .schedule import TOLERANCE, first_departure, last_opening, opening, planned_route

#: Gaps timed exactly before the cheapest found so far is taken.
TRIES = 60


@dataclass(frozen=True)
class Offer:
    """A place in a plan: after so many stops of the vehicle's route. ``arrival_s`` is when its
    service would begin, ``extra_cost`` what the plan would cost more."""

    vehicle: Vehicle
    position: int
    arrival_s: int
    extra_cost: float
    route: PlannedRoute


def cheapest_insertion(problem: Problem, plan: Plan, stop: Stop) -> Offer | None:
    """Where this stop of the problem, which the plan does not visit, costs least; None when it
    fits nowhere. All that the plan visits stays in its order."""
    orders = {route.vehicle.key: route.stops for route in plan.routes}
    return Gaps(problem, orders).offer(stop)


def drivable(problem: Problem, orders: Mapping[Key, Sequence[Stop]]) -> tuple[Problem, Gaps]:
    """The gaps of a plan, and the problem without the vehicles whose routes can't be driven as they
    stand: those are the next run's business, and no place for anybody."""
    gaps = Gaps(problem, orders)
    broken = {key for key, stops in orders.items() if stops and key not in gaps.routes}
    if not broken:
        return problem, gaps
    left = replace(problem, vehicles=tuple(v for v in problem.vehicles if v.key not in broken))
    return left, Gaps(left, {key: stops for key, stops in orders.items() if key not in broken})


class Gaps:
    """The routes of a plan under construction, and every gap in them.

    The gaps before a route's first stop come first, in the order of the vehicles; then each node's
    the gap after it.
    """

    def __init__(self, problem: Problem, orders: Mapping[Key, Sequence[Stop]]) -> None:
        self._problem = problem
        #: By vehicle; those without a stop have none.
        self.routes: dict[Key, PlannedRoute] = {}
        self._orders: dict[Key, list[Stop]] = {}
        nodes, vehicles = len(problem.travel), problem.vehicles
        count = len(vehicles) + nodes
        self._open = np.zeros(count, dtype=bool)
        self._before = np.zeros(count, dtype=np.int64)
        self._after = np.zeros(count, dtype=np.int64)
        self._leaves = np.zeros(count, dtype=np.int64)
        self._latest = np.zeros(count, dtype=np.int64)
        self._vehicle = np.zeros(count, dtype=np.int64)
        self._free = np.zeros((len(vehicles), 4))
        self._per_metre = np.array([v.cost_per_km / 1000 for v in vehicles])
        self._per_second = np.array([v.cost_per_hour / 3600 for v in vehicles])
        self._fixed = np.zeros(len(vehicles))
        self._slack = np.zeros(len(vehicles))
        self._idle = np.ones(len(vehicles), dtype=bool)
        self._number_of = {vehicle.key: n for n, vehicle in enumerate(vehicles)}
        kinds: dict[Vehicle, int] = {}
        self._kind = [kinds.setdefault(replace(v, key=None), len(kinds)) for v in vehicles]
        self._skilled: dict[frozenset[str], NDArray[np.bool_]] = {}
        for number, vehicle in enumerate(vehicles):
            self._put(number, orders.get(vehicle.key, ()))

    def offer(self, stop: Stop) -> Offer | None:
        """The cheapest place for the stop in the routes as they are; None when there is none."""
        best: Offer | None = None
        unused: set[int] = set()
        for tries, (gap, floor) in enumerate(self._promising(stop)):
            if best and (floor >= best.extra_cost - TOLERANCE or tries >= TRIES):
                break
            number = int(self._vehicle[gap])
            if self._idle[number]:
                # One of several idle vehicles that differ only in their names is enough.
                if self._kind[number] in unused:
                    continue
                unused.add(self._kind[number])
            found = self._timed(gap, stop)
            if found and (best is None or found.extra_cost < best.extra_cost):
                best = found
        return best

    def widen(self, problem: Problem) -> None:
        """Let it be this problem, which has more stops, after those known so far."""
        more = len(problem.travel) - len(self._problem.travel)
        self._problem = problem
        for name in ("_open", "_before", "_after", "_leaves", "_latest", "_vehicle"):
            setattr(self, name, np.pad(getattr(self, name), (0, more)))

    def accept(self, offer: Offer) -> None:
        """Put the stop there; the offer must be the last one made."""
        self._put(self._number_of[offer.vehicle.key], offer.route.stops, offer.route)

    def _promising(self, stop: Stop) -> Iterator[tuple[int, float]]:
        """Gaps into which the stop may fit, and what it costs there at least; cheapest first."""
        node, travel = self._problem.node_of[stop.key], self._problem.travel
        gaps = np.flatnonzero(self._open)
        gaps = gaps[self._able(stop)[self._vehicle[gaps]]]
        vehicle, before, after = self._vehicle[gaps], self._before[gaps], self._after[gaps]
        to, onward = travel.seconds[before, node], travel.seconds[node, after]
        begins = _openings(stop, np.maximum(self._leaves[gaps], stop.release_s) + to)
        in_time = (begins + stop.service_s + onward <= self._latest[gaps]) & (to < NO_WAY)
        metres = _detour(travel.metres, before, node, after)
        more = _detour(travel.seconds, before, node, after) + stop.service_s - self._slack[vehicle]
        floor = metres * self._per_metre[vehicle] + self._fixed[vehicle]
        floor = floor + np.maximum(more, -LATEST) * self._per_second[vehicle]
        order = np.flatnonzero(in_time)[np.argsort(floor[in_time], kind="stable")]
        return ((int(gaps[n]), float(floor[n])) for n in order)

    def _able(self, stop: Stop) -> NDArray[np.bool_]:
        """By vehicle: has it the skills and the room?"""
        if stop.skills not in self._skilled:
            skilled = [stop.skills <= vehicle.skills for vehicle in self._problem.vehicles]
            self._skilled[stop.skills] = np.array(skilled, dtype=bool)
        room = (self._free + TOLERANCE >= [*stop.loads, 1]).all(axis=1)
        return self._skilled[stop.skills] & room

    def _timed(self, gap: int, stop: Stop) -> Offer | None:
        vehicle = self._problem.vehicles[self._vehicle[gap]]
        stops = self._orders[vehicle.key]
        position = self._position(gap, stops)
        route = planned_route(self._problem, vehicle, [*stops[:position], stop, *stops[position:]])
        if route is None:
            return None
        had = self.routes.get(vehicle.key)
        extra = route.cost - (had.cost if had else 0.0)
        return Offer(vehicle, position, route.visits[position].arrival_s, extra, route)

    def _position(self, gap: int, stops: Sequence[Stop]) -> int:
        node, nodes = gap - len(self._problem.vehicles), self._problem.node_of
        return next((n for n, s in enumerate(stops, start=1) if nodes[s.key] == node), 0)

    def _put(self, number: int, stops: Sequence[Stop], route: PlannedRoute | None = None) -> None:
        """Let this vehicle's route be that."""
        vehicle = self._problem.vehicles[number]
        route = route or planned_route(self._problem, vehicle, stops)
        kept = route.stops if route else ()
        if route:
            self.routes[vehicle.key] = route
        self._orders[vehicle.key] = list(kept)
        self._measure(number, vehicle, kept, route)
        nodes = [self._problem.node_of[stop.key] for stop in kept]
        start, end = self._problem.ends_of(vehicle)
        gaps = [number, *(len(self._problem.vehicles) + node for node in nodes)]
        self._open[gaps] = True
        self._vehicle[gaps] = number
        self._before[gaps] = [start, *nodes]
        self._after[gaps] = after = [*nodes, end]
        self._leaves[gaps], self._latest[gaps] = self._times(vehicle, kept, [start, *nodes], after)

    def _measure(
        self, number: int, vehicle: Vehicle, stops: Sequence[Stop], route: PlannedRoute | None
    ) -> None:
        """What is left of the vehicle's room; what a first stop costs; seconds it only waits."""
        loads = [sum(kind) for kind in zip(*(stop.loads for stop in stops), strict=True)]
        room = np.inf if vehicle.max_stops is None else vehicle.max_stops - len(stops)
        self._free[number] = [*np.subtract(vehicle.capacities, loads or [0, 0, 0]), room]
        self._idle[number] = route is None
        self._fixed[number] = 0.0 if route else vehicle.fixed_cost
        if route:
            start, end = self._problem.ends_of(vehicle)
            nodes = [start, *(self._problem.node_of[stop.key] for stop in stops), end]
            drive = self._problem.travel.seconds[nodes[:-1], nodes[1:]].sum(dtype=int)
            busy = int(drive) + sum(stop.service_s for stop in stops)
            self._slack[number] = route.return_s - route.departure_s - busy

    def _times(
        self, vehicle: Vehicle, stops: Sequence[Stop], before: list[int], after: list[int]
    ) -> tuple[list[int], list[int]]:
        """By gap: the earliest departure before it, the latest arrival after it; no breaks."""
        seconds = self._problem.travel.seconds[before, after].tolist()
        leaves = [first_departure(vehicle, stops)]
        for stop, drive in zip(stops, seconds, strict=False):
            begins = opening(stop, leaves[-1] + drive)
            leaves.append((LATEST if begins is None else begins) + stop.service_s)
        latest = [vehicle.end_s]
        for stop, drive in zip(reversed(stops), reversed(seconds), strict=False):
            begins = last_opening(stop, latest[-1] - drive - stop.service_s)
            latest.append(-1 if begins is None else begins)
        return leaves, latest[::-1]


def _openings(stop: Stop, arrivals: NDArray[np.int64]) -> NDArray[np.int64]:
    """When service may begin for each arrival; LATEST for never."""
    if not stop.windows:
        return arrivals
    begins = np.full(len(arrivals), LATEST, dtype=np.int64)
    for opens, closes in stop.windows:
        if opens <= closes:
            here = np.where(arrivals <= closes, np.maximum(arrivals, opens), LATEST)
            begins = np.minimum(begins, here)
    return begins


def _detour(
    matrix: NDArray[np.int32], before: NDArray[np.int64], node: int, after: NDArray[np.int64]
) -> NDArray[np.int64]:
    there = matrix[before, node].astype(np.int64) + matrix[node, after]
    detour: NDArray[np.int64] = there - matrix[before, after]
    return detour
