"""Promise: a dispatcher sees what moving a stop costs and which rules it would break before it is
moved, and nothing is moved that would break one. Routes that it does not concern stay as they
are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from supplychain.errors import SupplyChainError

from .current import Current
from .days import start_of
from .models import Route, Stop
from .posing import problem_of
from .problem import Key, Plan, PlannedRoute, Problem, Visit
from .problem import Stop as PlanStop
from .problem import Vehicle as PlanVehicle
from .road import SHORT_TIMEOUT
from .schedule import cost_of, opening, planned_route
from .storing import store
from .validate import violations
from .wording import in_words

MOVED = "moved by hand"
Orders = dict[Key, list[PlanStop]]


class MoveRefused(SupplyChainError):
    """The move would break a rule."""

    permanent = True


@dataclass(frozen=True)
class Move:
    """``cost_difference`` is what the plan costs more, ``km_difference`` how much longer it is;
    with ``faults`` nothing was moved. ``position`` is its place in the route then, ``was`` the one
    to move it back to."""

    cost_difference: float
    km_difference: float
    faults: list[str]
    applied: bool
    position: int
    was: int


@transaction.atomic
def move_stop(
    *,
    stop_id: UUID,
    route_id: UUID | None = None,
    vehicle_id: int | None = None,
    position: int | None = None,
    dry_run: bool = False,
) -> Move:
    """Move a stop to a place in another route, its own, or a new one of a vehicle that is free:
    counted from 1 among the stops that one sees there, or where it costs least. Routes must be
    planned, not frozen, and of one depot, day and departure.

    Places that are only promised are not seen, but stand in between; with the move they become
    stops, and are counted in what is told.

    Raises MoveRefused when it can't be moved; a dry run says why instead where it can.
    """
    stop = Stop.objects.select_related("route__depot", "route__run").get(pk=stop_id)
    depot, own = stop.route.depot, stop.route
    to = Route.objects.get(pk=route_id).vehicle_id if route_id else vehicle_id
    # The other routes have nothing to do with it: their times stay, and their troubles.
    concerned = frozenset((own.vehicle_id, to))
    start = start_of(depot, own.day)
    current = Current.lock(depot, start, departs=own.departs_at, vehicles=concerned)
    known = {route.pk for route in current.routes}
    if stop.shipment_id not in current.stops or (route_id and route_id not in known):
        raise MoveRefused(_why_not(stop_id, route_id))
    problem = problem_of(
        depot,
        current.start,
        current.shipments,
        departs=current.departs,
        travel_timeout=SHORT_TIMEOUT,
    )
    if stop.shipment_id not in problem.node_of:
        raise MoveRefused("The day is over for this stop.")
    if to not in problem.vehicle_of:
        raise MoveRefused("That vehicle is not free then.")
    orders = current.orders(problem)
    new, place = _moved(problem, orders, stop.shipment_id, to, _seen(current, position))
    before, plan = _plan(problem, orders), _plan(problem, new)
    faults = _said(current, violations(problem, plan))
    if faults and not dry_run:
        raise MoveRefused(f"It can't be moved there: {'; '.join(faults[:3])}.")
    if not dry_run:
        store(run=stop.route.run, before=current, problem=problem, plan=plan, why=MOVED)
    cost, km = plan.cost - before.cost, (_metres(plan) - _metres(before)) / 1000
    was = _was(orders.get(own.vehicle_id, ()), stop)
    return Move(round(cost, 4), round(km, 3), faults, not dry_run, place, was)


def _was(order: Sequence[PlanStop], stop: Stop) -> int:
    """Its place in its route; as it was stored, if its vehicle is not free any more."""
    numbers = {one.key: number for number, one in enumerate(order, start=1)}
    return numbers.get(stop.shipment_id, stop.position)


def _plan(problem: Problem, orders: Orders) -> Plan:
    return Plan(tuple(_driven(problem, key, stops) for key, stops in orders.items() if stops))


def _metres(plan: Plan) -> int:
    return sum(route.distance_m for route in plan.routes)


def _said(current: Current, faults: Sequence[str]) -> list[str]:
    """By vehicles' and customers' names."""
    vehicles = dict(current.depot.vehicles.values_list("pk", "name")) if faults else {}
    customers = {row.pk: row.customer for row in current.shipments}
    names: dict[str, Any] = {"vehicles": vehicles, "customers": customers}
    names |= {"start": current.start, "zone": current.depot.zone}
    return [in_words(fault, **names) for fault in faults]


def _why_not(stop_id: UUID, route_id: UUID | None) -> str:
    stop = Stop.objects.select_related("route").get(pk=stop_id)
    if stop.state != Stop.State.PENDING:
        return f"The stop is {stop.state}; only a pending one can be moved."
    for route in (stop.route, *Route.objects.filter(pk__in=[route_id] if route_id else ())):
        if route.state != Route.State.PLANNED or route.frozen:
            said = "frozen" if route.frozen else route.state
            return f"The route of {route.vehicle} is {said}; only an open plan can be changed."
    return "Both routes must be of one depot, day and departure."


#: Gives the places in an order of stops, counted from 0, from which to take the cheapest.
Places = Callable[[Sequence[PlanStop]], Sequence[int]]


def _seen(current: Current, position: int | None) -> Places:
    """Those at which it is the one with this number among those that are seen."""

    def places(stops: Sequence[PlanStop]) -> Sequence[int]:
        seen = [n for n, stop in enumerate(stops) if stop.key in current.stops]
        if position is None:
            return range(len(stops) + 1)
        before = min(max(position - 1, 0), len(seen))
        first = seen[before - 1] + 1 if before else 0
        last = seen[before] if before < len(seen) else len(stops)
        return range(first, last + 1)

    return places


def _moved(
    problem: Problem, orders: Orders, shipment: UUID, vehicle: Key, places: Places
) -> tuple[Orders, int]:
    """The orders after the move, and the place in them."""
    moving = next(stop for stop in problem.stops if stop.key == shipment)
    rest = {key: [s for s in stops if s.key != shipment] for key, stops in orders.items()}
    there = rest.setdefault(vehicle, [])

    def cost(place: int) -> tuple[bool, float]:
        route = _driven(problem, vehicle, [*there[:place], moving, *there[place:]])
        return planned_route(problem, route.vehicle, route.stops) is None, route.cost

    place = min(places(there), key=cost)
    rest[vehicle] = [*there[:place], moving, *there[place:]]
    return rest, place + 1


def _driven(problem: Problem, key: Key, stops: Sequence[PlanStop]) -> PlannedRoute:
    """The route through these stops, whether it keeps the rules or not."""
    vehicle = problem.vehicle_of[key]
    return planned_route(problem, vehicle, stops) or _anyhow(problem, vehicle, stops)


def _anyhow(problem: Problem, vehicle: PlanVehicle, stops: Sequence[PlanStop]) -> PlannedRoute:
    """As soon as one gets there, late or not; without breaks, which the validator will miss."""
    start, end = problem.ends_of(vehicle)
    nodes = [start, *(problem.node_of[stop.key] for stop in stops), end]
    drives = problem.travel.seconds[nodes[:-1], nodes[1:]].tolist()
    moment, visits = vehicle.start_s, list[Visit]()
    for stop, drive in zip(stops, drives, strict=False):
        moment += drive
        begins = opening(stop, moment)
        moment = moment if begins is None else begins
        visits.append(Visit(stop, moment))
        moment += stop.service_s
    back = moment + drives[-1]
    metres = int(problem.travel.metres[nodes[:-1], nodes[1:]].sum(dtype=int))
    cost = cost_of(vehicle, metres, back - vehicle.start_s)
    return PlannedRoute(vehicle, tuple(visits), vehicle.start_s, back, metres, cost)
