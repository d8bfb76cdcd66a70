"""Promise: what planning starts from is the plan as it stands: the routes of a depot's day, or of
one departure on it, that may still be changed, in their order of stops, and the places that are
promised or held in between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from .days import day_of, open_routes
from .insertion import Gaps
from .models import Depot, Route, Shipment, Stop
from .problem import Key, Plan, Problem
from .problem import Stop as PlanStop
from .services import S, lock_shipments

#: A vehicle's: which it is, and when it begins and ends.
Tour = tuple[int, UUID, datetime, datetime]


@dataclass
class Current:
    """A depot's day that begins at ``start``, or what of it leaves at ``departs``; of some vehicles
    only, if they are named."""

    depot: Depot
    start: datetime
    routes: list[Route]
    #: Pending, by their shipments, in the order of their times.
    stops: dict[UUID, Stop] = field(default_factory=dict)
    #: Open, with a place in the plan that was promised.
    promised: dict[UUID, Shipment] = field(default_factory=dict)
    #: What was locked besides.
    others: dict[UUID, Shipment] = field(default_factory=dict)
    departs: datetime | None = None
    vehicles: frozenset[int | None] | None = None
    #: Of the depot's vehicles, but for the routes above: none of them is free then.
    tours: frozenset[Tour] = frozenset()

    @classmethod
    def read(
        cls,
        depot: Depot,
        start: datetime,
        departs: datetime | None = None,
        vehicles: frozenset[int | None] | None = None,
    ) -> Current:
        current = cls(depot, start, [], departs=departs, vehicles=vehicles)
        rows = open_routes(depot, start, departs)
        current.routes = [row for row in rows if current.concerns(row.vehicle_id)]
        for route in current.routes:
            route.depot = depot
        current.tours = _tours(depot, {row.pk for row in rows})
        stops = Stop.objects.filter(route__in=current.routes, state=Stop.State.PENDING)
        stops = stops.select_related("shipment").order_by("eta", "position")
        current.stops = {stop.shipment_id: stop for stop in stops}
        places = _promised(depot, start, departs)
        current.promised = {
            row.pk: row for row in places if current.concerns(row.promised_vehicle_id)
        }
        return current

    def concerns(self, vehicle: int | None) -> bool:
        return self.vehicles is None or vehicle in self.vehicles

    @classmethod
    def lock(
        cls,
        depot: Depot,
        start: datetime,
        others: Iterable[UUID] = (),
        *,
        departs: datetime | None = None,
        vehicles: frozenset[int | None] | None = None,
    ) -> Current:
        """The same under locks, which are taken in this order: depot, routes, shipments; all
        that changes plans does so. ``others`` are locked as well."""
        lock_depot(depot.pk)
        own = lock_routes(route.pk for route in open_routes(depot, start, departs))
        current = cls.read(depot, start, departs, vehicles)
        # One that was thawed in between is not ours.
        current.routes = [route for route in current.routes if route.pk in own]
        current.stops = {pk: stop for pk, stop in current.stops.items() if stop.route_id in own}
        locked = lock_shipments([*current.stops, *current.promised, *others])
        # A cancellation may have come in between, which needs only the shipment's lock.
        current.stops = {
            pk: stop for pk, stop in current.stops.items() if locked[pk].state == S.PLANNED
        }
        for pk, stop in current.stops.items():
            stop.shipment = locked[pk]
        current.promised = {pk: locked[pk] for pk in current.promised if locked[pk].state == S.OPEN}
        current.others = {pk: locked[pk] for pk in others if pk in locked}
        return current

    @property
    def shipments(self) -> list[Shipment]:
        return [*(stop.shipment for stop in self.stops.values()), *self.promised.values()]

    def orders(self, problem: Problem) -> dict[Key, list[PlanStop]]:
        """By vehicle, of those that are in the problem; what was promised stands among the
        others by its time."""
        route_of = {route.pk: route.vehicle_id for route in self.routes}
        vehicles = {pk: route_of[stop.route_id] for pk, stop in self.stops.items()}
        vehicles |= {pk: row.promised_vehicle_id or 0 for pk, row in self.promised.items()}
        times = self.times()
        known = {stop.key: stop for stop in problem.stops}
        orders: dict[Key, list[PlanStop]] = defaultdict(list)
        for pk in sorted(times, key=lambda pk: (times[pk], pk)):
            if pk in known and vehicles[pk] in problem.vehicle_of:
                orders[vehicles[pk]].append(known[pk])
        return dict(orders)

    def times(self) -> dict[UUID, datetime]:
        """In this order stops are visited."""
        promised = {pk: row.promised_eta for pk, row in self.promised.items()}
        times = {pk: eta for pk, eta in promised.items() if eta}
        return times | {pk: stop.eta for pk, stop in self.stops.items()}

    def plan(self, problem: Problem) -> Plan:
        """As it would be driven now; who can't keep their place any more stands in no route."""
        return Plan(tuple(Gaps(problem, self.orders(problem)).routes.values()))


def _tours(depot: Depot, own: set[UUID]) -> frozenset[Tour]:
    """Those that are planned or on their way."""
    states = (Route.State.PLANNED, Route.State.DISPATCHED)
    rows = Route.objects.filter(vehicle__depot=depot, state__in=states).exclude(pk__in=own)
    return frozenset(rows.values_list("vehicle", "pk", "starts_at", "ends_at"))


def _promised(depot: Depot, start: datetime, departs: datetime | None) -> Iterable[Shipment]:
    """Without the times that are over; a place may be held without any promise."""
    rows = Shipment.objects.filter(depot=depot, state=S.OPEN, promised_day=day_of(depot, start))
    rows = rows.filter(promised_departs_at=departs)
    return rows.exclude(promised_until__lte=timezone.now()).order_by("pk")


def lock_depot(pk: int) -> None:
    """Whoever changes a plan of this depot waits here. Not against those who only refer to the
    depot: they are many, and two of them would wait for each other."""
    Depot.objects.select_for_update(no_key=True).get(pk=pk)


def lock_routes(route_ids: Iterable[UUID]) -> dict[UUID, Route]:
    """The only place where many routes are locked, in primary-key order, before any shipment."""
    rows = Route.objects.select_for_update(of=("self",)).select_related("depot", "vehicle")
    return {row.pk: row for row in rows.filter(pk__in=set(route_ids)).order_by("pk")}
