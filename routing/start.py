"""Promise: there is a plan at once, before any search: the routes one had, as far as they still
hold, and every other stop where it costs least."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from .insertion import Gaps
from .problem import Key, Plan, Problem, Stop, Vehicle
from .reasons import NO_ROOM, NO_TIME, NOT_WORTH
from .schedule import planned_route

Orders = Mapping[Key, Sequence[Stop]]


def orders_of(problem: Problem, plan: Plan | None) -> dict[Key, list[Stop]]:
    """The order of stops by vehicle in a plan made for another, similar problem: what is no
    longer to be visited is left out, and of a stop that has changed the new values count."""
    now = {stop.key: stop for stop in problem.stops}
    orders: dict[Key, list[Stop]] = {}
    for route in plan.routes if plan else ():
        if route.vehicle.key in problem.vehicle_of and route.vehicle.key not in orders:
            keys = [visit.stop.key for visit in route.visits]
            orders[route.vehicle.key] = [now.pop(key) for key in keys if key in now]
    return orders


def completed(problem: Problem, orders: Orders, *, until: float) -> Plan:
    """The plan with these orders, and each of the other stops put where it costs least.

    ``until``, of time.monotonic(), bounds the search for places; the stops that are hardest to
    serve come first.
    """
    gaps = Gaps(problem, _as_far_as_they_hold(problem, orders))
    visited = {stop.key for route in gaps.routes.values() for stop in route.stops}
    unserved: dict[Key, str] = {}
    todo = [stop for stop in problem.stops if stop.key not in visited]
    for stop in _hardest_first(problem, todo):
        offer = gaps.offer(stop) if time.monotonic() < until else None
        if offer is None:
            unserved[stop.key] = NO_ROOM if time.monotonic() < until else NO_TIME
        elif stop.prize is not None and offer.extra_cost >= stop.prize:
            unserved[stop.key] = NOT_WORTH
        else:
            gaps.accept(offer)
    return Plan(tuple(gaps.routes.values()), unserved)


def _as_far_as_they_hold(problem: Problem, orders: Orders) -> Orders:
    """Out of a route that can't be driven, those are left that come too much or too late."""
    return {
        key: stops
        if not stops or planned_route(problem, problem.vehicle_of[key], stops)
        else _held(problem, problem.vehicle_of[key], stops)
        for key, stops in orders.items()
        if key in problem.vehicle_of
    }


def _held(problem: Problem, vehicle: Vehicle, stops: Sequence[Stop]) -> list[Stop]:
    held: list[Stop] = []
    for stop in stops:
        if planned_route(problem, vehicle, [*held, stop]):
            held.append(stop)
    return held


def _hardest_first(problem: Problem, stops: Iterable[Stop]) -> list[Stop]:
    """Priority, then how far it is from the first depot; of equal ones, the first given."""
    metres = problem.travel.metres[0]
    return sorted(stops, key=lambda stop: (-stop.weight, -metres[problem.node_of[stop.key]]))
