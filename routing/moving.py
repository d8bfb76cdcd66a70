"""Promise: a dispatcher sees what moving a stop costs, or putting a shipment that waits into a
route, and which rules it would break, before it is done; and nothing is done that would break one.
Routes that it does not concern stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from supplychain.errors import SupplyChainError

from .current import Current, lock_depot
from .days import day_of, start_of
from .departures import departures_from
from .models import Depot, PlanRun, Route, Shipment, Stop
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
#: Gives the places in an order of stops, counted from 0, from which to take the cheapest.
Places = Callable[[Sequence[PlanStop]], Sequence[int]]


class MoveRefused(SupplyChainError):
    """The move would break a rule."""

    permanent = True


@dataclass(frozen=True)
class Move:
    """``cost_difference`` is what the plan costs more, ``km_difference`` how much longer it is;
    with ``faults`` nothing was moved. ``position`` is its place in the route then, ``was`` the one
    to move it back to; None if it stood in no route."""

    cost_difference: float
    km_difference: float
    faults: list[str]
    applied: bool
    position: int
    was: int | None


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
    if stop.shipment_id not in current.stops or not _takes_stops(current, route_id):
        raise MoveRefused(_why_not(stop_id, route_id))
    return _Hand(current, stop.shipment, own.run, dry_run).put(to, _seen(current, position))


@transaction.atomic
def place_shipment(
    *,
    shipment_id: UUID,
    route_id: UUID | None = None,
    vehicle_id: int | None = None,
    day: date | None = None,
    departs_at: datetime | None = None,
    position: int | None = None,
    dry_run: bool = False,
) -> Move:
    """Put a shipment that waits into a route, or into a new one of a vehicle that is free on that
    day, at one of the depot's departures if it has any. The rest is as with ``move_stop``; a
    place that it was promised elsewhere is given up.

    Raises MoveRefused.
    """
    depot = Depot.objects.get(shipments=shipment_id)
    lock_depot(depot.pk)  # from here on nobody else promises it a place
    route = Route.objects.get(pk=route_id) if route_id else None
    to = route.vehicle_id if route else vehicle_id
    start, departs = _of_route(depot, route) if route else _of_day(depot, day, departs_at)
    concerned = frozenset((to, _promised_here(depot, shipment_id, start, departs)))
    current = Current.lock(depot, start, [shipment_id], departs=departs, vehicles=concerned)
    shipment = current.others[shipment_id]
    if shipment.state != Shipment.State.OPEN:
        raise MoveRefused(f"It is {shipment.state}; only what waits can be put into a route.")
    if not _takes_stops(current, route_id):
        raise MoveRefused(_why_closed(route_id))
    run = route.run if route else _newest_run(depot)
    return _Hand(current, shipment, run, dry_run).put(to, _seen(current, position))


def _of_route(depot: Depot, route: Route) -> tuple[datetime, datetime | None]:
    """The beginning of its day, and its departure."""
    if route.depot_id != depot.pk:
        raise MoveRefused(f"It waits at {depot.code}, from where that route doesn't leave.")
    return start_of(depot, route.day), route.departs_at


def _of_day(
    depot: Depot, day: date | None, departs_at: datetime | None
) -> tuple[datetime, datetime | None]:
    start = start_of(depot, day or day_of(depot, timezone.now()))
    ats = {one.at for one in departures_from(depot, start) if one.start == start}
    if departs_at not in ats if ats else departs_at is not None:
        clocks = depot.departures or "it has none, but one plan a day"
        raise MoveRefused(f"Name one of the depot's departures on that day ({clocks}).")
    return start, departs_at


def _promised_here(
    depot: Depot, shipment_id: UUID, start: datetime, departs: datetime | None
) -> int | None:
    """The vehicle in whose tour then it has a place already."""
    rows = Shipment.objects.filter(pk=shipment_id, promised_departs_at=departs)
    rows = rows.filter(promised_day=day_of(depot, start))
    return rows.values_list("promised_vehicle", flat=True).first()


def _newest_run(depot: Depot) -> PlanRun:
    """A new version of a plan belongs to it."""
    run = depot.runs.order_by("-pk").first()
    if run is None:
        raise MoveRefused("Nothing has been planned at this depot yet: plan first.")
    return run


def _takes_stops(current: Current, route_id: UUID | None) -> bool:
    return route_id is None or route_id in {route.pk for route in current.routes}


class _Hand:
    """Moves one shipment, in a plan that is locked."""

    def __init__(self, current: Current, shipment: Shipment, run: PlanRun, dry_run: bool) -> None:
        self._current, self._key = current, shipment.pk
        self._rows = {row.pk: row for row in (*current.shipments, shipment)}
        self._run, self._dry_run = run, dry_run

    def put(self, to: Key, places: Places) -> Move:
        current, problem = self._current, self._problem(to)
        orders = current.orders(problem)
        new, place = _moved(problem, orders, self._key, to, places)
        before, plan = _plan(problem, orders), _plan(problem, new)
        faults = self._said(violations(problem, plan))
        if faults and not self._dry_run:
            raise MoveRefused(f"It can't be moved there: {'; '.join(faults[:3])}.")
        if not self._dry_run:
            store(run=self._run, before=current, problem=problem, plan=plan, why=MOVED)
        cost, km = plan.cost - before.cost, (_metres(plan) - _metres(before)) / 1000
        was = self._was(orders)
        return Move(round(cost, 4), round(km, 3), faults, not self._dry_run, place, was)

    def _problem(self, to: Key) -> Problem:
        current, rows = self._current, list(self._rows.values())
        problem = problem_of(
            *(current.depot, current.start, rows),
            departs=current.departs,
            travel_timeout=SHORT_TIMEOUT,
        )
        if self._key not in problem.node_of:
            raise MoveRefused("That day's tours are over before it can be met.")
        if to not in problem.vehicle_of:
            raise MoveRefused("That vehicle is not free then.")
        return problem

    def _was(self, orders: Orders) -> int | None:
        """Its place in its route; as it was stored, if its vehicle is not free any more."""
        stop = self._current.stops.get(self._key)
        places = (
            n for stops in orders.values() for n, one in enumerate(stops, 1) if one.key == self._key
        )
        return next(places, stop.position) if stop else None

    def _said(self, faults: Sequence[str]) -> list[str]:
        """By vehicles' and customers' names."""
        current = self._current
        vehicles = dict(current.depot.vehicles.values_list("pk", "name")) if faults else {}
        customers = {row.pk: row.customer for row in self._rows.values()}
        names: dict[str, Any] = {"vehicles": vehicles, "customers": customers}
        names |= {"start": current.start, "zone": current.depot.zone}
        return [in_words(fault, **names) for fault in faults]


def _plan(problem: Problem, orders: Orders) -> Plan:
    return Plan(tuple(_driven(problem, key, stops) for key, stops in orders.items() if stops))


def _metres(plan: Plan) -> int:
    return sum(route.distance_m for route in plan.routes)


def _why_not(stop_id: UUID, route_id: UUID | None) -> str:
    stop = Stop.objects.select_related("route").get(pk=stop_id)
    if stop.state != Stop.State.PENDING:
        return f"The stop is {stop.state}; only a pending one can be moved."
    return _why_closed(stop.route_id, route_id)


def _why_closed(*route_ids: UUID | None) -> str:
    for route in Route.objects.filter(pk__in=filter(None, route_ids)):
        if route.state != Route.State.PLANNED or route.frozen:
            said = "frozen" if route.frozen else route.state
            return f"The route of {route.vehicle} is {said}; only an open plan can be changed."
    return "Both routes must be of one depot, day and departure."


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
