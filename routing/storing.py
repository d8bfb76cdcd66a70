"""Promise: the rows and events of a day's plan are what a plan says that the validator passed, for
what can still be changed; who is not told anything has nothing to be told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Max
from django.utils import timezone

from supplychain.errors import SupplyChainError
from supplychain.events.context import new_id
from supplychain.events.outbox import Emission, emit_all
from supplychain.rows import insert, update

from . import events as tell
from .alerting import end_alerts_of_planned
from .current import Current
from .days import day_of, open_routes, window_of
from .fitting import fitted
from .models import Plan as Version
from .models import PlanRun, Route, Shipment, Stop, Vehicle
from .posing import problem_of
from .problem import Key, Plan, PlannedRoute, Problem
from .problem import Stop as PlanStop
from .road import SHORT_TIMEOUT
from .services import S
from .start import orders_of
from .validate import violations

#: Versions of a day's plan that are kept.
KEPT_VERSIONS = 50
#: Seconds, at most, in which a plan is made to fit what has changed while it was searched for.
FITTING = 2.0


class InvalidPlan(SupplyChainError):
    """The plan violates a constraint; it was not stored."""


@dataclass
class Outcome:
    """``planned`` were open before; who ``fell_out`` stood in a route and is open again."""

    planned: set[UUID] = field(default_factory=set)
    moved: set[UUID] = field(default_factory=set)
    fell_out: dict[UUID, Shipment] = field(default_factory=dict)


def must_be_valid(problem: Problem, plan: Plan) -> None:
    """Raises InvalidPlan."""
    if faults := violations(problem, plan):
        raise InvalidPlan(f"{len(faults)} faults: {'; '.join(faults[:3])}")


def visited(plan: Plan) -> list[UUID]:
    return [visit.stop.key for route in plan.routes for visit in route.visits]


def store(*, run: PlanRun, before: Current, problem: Problem, plan: Plan, why: str) -> Outcome:
    """Make it the plan of its day, in the caller's transaction.

    ``before`` is what the problem was made from; if that is some vehicles only, the others' routes
    stay as they are. What has changed since then is planned for where it costs least, all else
    staying as it is in the new plan.
    """
    current = Current.lock(
        before.depot,
        before.start,
        visited(plan),
        departs=before.departs,
        vehicles=before.vehicles,
    )
    problem, plan = _fitted(before, current, problem, plan)
    writing = _Writing(current, why, run)
    for planned in plan.routes:
        writing.put(planned)
    writing.end(set(visited(plan)))
    return writing.outcome


def _fitted(
    before: Current, current: Current, problem: Problem, plan: Plan
) -> tuple[Problem, Plan]:
    still_open = {pk: row for pk, row in current.others.items() if row.state == S.OPEN}
    there = {row.pk: row for row in current.shipments}
    if current.departs is None:
        _move_promises(current, still_open.values())
    else:  # who has a place here may have been left for a later departure
        there = {pk: row for pk, row in there.items() if pk not in plan.unserved}
    rows = there | still_open
    same_routes = _versions(before) == _versions(current) and not _booked(before, current, plan)
    unforeseen = set(rows) - set(problem.node_of)
    if same_routes and not unforeseen and set(visited(plan)) <= set(rows):
        return problem, plan
    problem = problem_of(
        current.depot,
        current.start,
        list(rows.values()),
        departs=current.departs,
        travel_timeout=SHORT_TIMEOUT,
        known=problem,
    )
    plan = fitted(problem, _orders(before, current, problem, plan), seconds=FITTING)
    must_be_valid(problem, plan)
    return problem, plan


def _booked(before: Current, current: Current, plan: Plan) -> bool:
    """Whether a vehicle of the plan has other tours by now than it was searched with: of another
    day or departure, frozen ones, or later ones than they were."""
    used = {route.vehicle.key for route in plan.routes}
    return any(vehicle in used for vehicle, *_ in current.tours - before.tours)


def _move_promises(current: Current, rows: Iterable[Shipment]) -> None:
    """To this day; a day that is over leaves the window, which a tour of that night had."""
    today = day_of(current.depot, timezone.now())
    for row in rows:
        if row.promised_day and row.promised_day < today:
            drop_place(row)
        elif row.promised_day != day_of(current.depot, current.start):
            drop_promise(row)  # the run could not keep it on its day


def _versions(current: Current) -> dict[UUID, int]:
    return {route.pk: route.version for route in current.routes}


def _orders(
    before: Current, current: Current, problem: Problem, plan: Plan
) -> dict[Key, list[PlanStop]]:
    """The plan's, but a route that somebody has changed meanwhile stays as they made it."""
    known, now = _versions(before), current.orders(problem)
    changed = {r.vehicle_id for r in current.routes if known.get(r.pk) != r.version}
    theirs = {vehicle: now[vehicle] for vehicle in changed if vehicle in now}
    taken = {stop.key for stops in theirs.values() for stop in stops}
    ours = {
        vehicle: [stop for stop in stops if stop.key not in taken]
        for vehicle, stops in orders_of(problem, plan).items()
        if vehicle not in changed
    }
    return ours | theirs


class _Writing:
    """One plan on its way into the rows, route by route."""

    def __init__(self, current: Current, why: str, run: PlanRun) -> None:
        self.outcome = Outcome()
        self._current, self._why, self._run = current, why, run
        self._now = timezone.now()
        self._day = day_of(current.depot, current.start)
        self._versions = Version.objects.filter(depot=current.depot, day=self._day)
        self._version = 1 + (self._versions.aggregate(Max("version"))["version__max"] or 0)
        self._had = {route.vehicle_id: route for route in current.routes}
        self._were = _by_route(current.stops.values())
        #: By their keys: the routes that stay or come, and those among them that are changed.
        self._routes: dict[UUID, Route] = {}
        self._changed: set[UUID] = set()
        self._stops: dict[UUID, list[Stop]] = {}
        self._shipments: dict[UUID, Shipment] = {}
        #: Of one kind each, which are written together; of a shipment the planned come first.
        self._planned: list[Emission] = []
        self._late: list[Emission] = []
        self._of_routes: list[Emission] = []
        self._vehicles = Vehicle.objects.filter(depot=current.depot).in_bulk()

    # --- a route ------------------------------------------------------------------------------

    def put(self, planned: PlannedRoute) -> None:
        route = self._had.get(planned.vehicle.key) or self._new(planned)
        is_new, started = route.pk not in self._were, route.starts_at
        self._time(route, planned)
        keys = [visit.stop.key for visit in planned.visits]
        had = [] if is_new else [(s.shipment_id, s.position) for s in self._were[route.pk]]
        changed = is_new or had != [(key, n) for n, key in enumerate(keys, start=1)]
        self._routes[route.pk] = route
        stops = [self._stop(route, n, v) for n, v in enumerate(planned.visits, start=1)]
        self._stops[route.pk] = stops
        if changed:
            self._changed.add(route.pk)
            route.version = self._version
        if changed or notable(route.starts_at, started):
            self._of_routes.append(Emission(_route_told(route, keys), route, route.advance()))

    def _new(self, planned: PlannedRoute) -> Route:
        return Route(
            id=new_id(),
            depot=self._current.depot,
            run=self._run,
            vehicle=self._vehicles[planned.vehicle.key],
            day=self._day,
            departs_at=self._current.departs,
            starts_at=self._now,
        )

    def _time(self, route: Route, planned: PlannedRoute) -> None:
        start = self._current.start
        route.planned_at = self._now
        route.cost = round(planned.cost, 4)
        route.distance_km = round(planned.distance_m / 1000, 3)
        route.load_kg, route.load_m3 = round(planned.load_kg, 3), round(planned.load_m3, 6)
        route.starts_at = start + timedelta(seconds=planned.departure_s)
        route.ends_at = start + timedelta(seconds=planned.return_s)

    def _stop(self, route: Route, position: int, visit: Any) -> Stop:
        """The one that it has, so that who knows it by its key finds it again."""
        eta = self._current.start + timedelta(seconds=visit.arrival_s)
        stop = self._current.stops.get(visit.stop.key)
        shipment = stop.shipment if stop else self._shipment(visit.stop.key)
        before = (stop.route_id, stop.position) if stop else None
        if stop is None:
            stop = Stop(shipment=shipment)
            self.outcome.planned.add(shipment.pk)
        elif stop.route_id != route.pk:
            self.outcome.moved.add(shipment.pk)
        stop.route, stop.position, stop.eta = route, position, eta
        if before != (route.pk, position) or notable(eta, shipment.told_eta):
            self._tell(stop, had_one=before is not None)
        return stop

    def _shipment(self, pk: UUID) -> Shipment:
        return self._current.promised.get(pk) or self._current.others[pk]

    def _tell(self, stop: Stop, *, had_one: bool) -> None:
        shipment, told_before = stop.shipment, stop.shipment.told_eta
        shipment.state, shipment.unplannable_reason = S.PLANNED, ""
        keep_promise(shipment, stop.eta)
        shipment.told_eta = stop.eta
        self._shipments[shipment.pk] = shipment
        self._planned.append(_of(shipment, _planned_told(stop, self._now)))
        # Within the window that it was promised, the first plan changes nothing.
        as_promised = not had_one and shipment.promised_until is not None
        if told_before and notable(stop.eta, told_before) and not as_promised:
            changed = tell.EtaChanged(
                shipment_id=shipment.pk,
                order_id=shipment.order_id,
                route_id=stop.route_id,
                eta=stop.eta,
                told_before=told_before,
                reason="planned again",
                time_zone=stop.route.depot.time_zone,
            )
            self._late.append(_of(shipment, changed))

    # --- the whole ----------------------------------------------------------------------------

    def end(self, served: set[UUID]) -> None:
        """Write it all."""
        gone = [route for route in self._current.routes if route.pk not in self._routes]
        for route in gone:
            self._withdraw(route)
        out = [stop for pk, stop in self._current.stops.items() if pk not in served]
        for stop in out:
            self._drop(stop)
        old = {route.pk for route in self._current.routes}
        Route.objects.bulk_create([r for r in self._routes.values() if r.pk not in old])
        update(self._current.routes, _ROUTE_FIELDS)
        self._write_stops(gone, out)
        update(self._shipments.values(), _SHIPMENT_FIELDS)
        if self.outcome.planned:
            end_alerts_of_planned(self._current.depot)
        if self._changed or gone:
            self._keep_version()
        emit_all([*self._planned, *self._late, *self._of_routes])

    def _withdraw(self, route: Route) -> None:
        route.state, route.version = Route.State.WITHDRAWN, self._version
        route.planned_at = self._now
        told = tell.RouteWithdrawn(
            route_id=route.pk,
            depot=route.depot.code,
            day=route.day,
            reason="planned again without it",
        )
        self._of_routes.append(Emission(told, route, route.advance()))

    def _drop(self, stop: Stop) -> None:
        stop.state, stop.ended_at = Stop.State.DROPPED, self._now
        stop.reason = "fell out of the plan"
        # A later departure may be in time; whether it is, the run says when it ends.
        open_again(stop.shipment, keep_window=self._current.departs is not None)
        self._shipments[stop.shipment_id] = stop.shipment
        self.outcome.fell_out[stop.shipment_id] = stop.shipment

    def _write_stops(self, gone: list[Route], out: list[Stop]) -> None:
        """Positions are unique at any moment, so the stops of changed routes are written anew,
        and after those to be visited those that are not."""
        touched = self._changed | {route.pk for route in gone} | {stop.route_id for stop in out}
        old = Stop.objects.filter(route__in=touched)
        left = _by_route([*old.filter(state=Stop.State.DROPPED).order_by("position"), *out])
        rows: list[Stop] = []
        for pk in touched:
            pending = self._stops.get(pk, [])
            rows += pending
            for position, stop in enumerate(left.get(pk, []), start=len(pending) + 1):
                stop.position = position
                rows.append(stop)
        old.delete()
        insert(rows)
        kept = [stop for pk, stops in self._stops.items() if pk not in touched for stop in stops]
        update(kept, ["eta"])

    def _keep_version(self) -> None:
        standing, theirs = self._untouched()
        routes, stops_of = [*self._routes.values(), *standing], {**theirs, **self._stops}
        Version.objects.create(
            depot=self._current.depot,
            day=self._day,
            departs_at=self._current.departs,
            version=self._version,
            run=self._run,
            why=self._why[:200],
            made_at=self._now,
            cost=round(sum(route.cost for route in routes), 4),
            distance_km=round(sum(route.distance_km for route in routes), 3),
            stops=sum(len(stops) for stops in stops_of.values()),
            routes=[_kept(route, stops_of[route.pk]) for route in routes],
        )
        self._versions.filter(version__lte=self._version - KEPT_VERSIONS).delete()

    def _untouched(self) -> tuple[list[Route], dict[UUID, list[Stop]]]:
        """Of the same plan, the routes of vehicles that this does not concern."""
        if self._current.vehicles is None:
            return [], {}
        rows = open_routes(self._current.depot, self._current.start, self._current.departs)
        routes = [row for row in rows if not self._current.concerns(row.vehicle_id)]
        stops = Stop.objects.filter(route__in=routes, state=Stop.State.PENDING)
        stops_of = {route.pk: list[Stop]() for route in routes}
        return routes, stops_of | _by_route(stops.order_by("position"))


_ROUTE_FIELDS = [
    *("state", "version", "planned_at", "cost", "distance_km", "load_kg", "load_m3"),
    *("starts_at", "ends_at", "event_sequence"),
]
PROMISE_FIELDS = [
    *("promised_from", "promised_until", "promised_day", "promised_vehicle", "promised_eta"),
    "promised_departs_at",
]
_SHIPMENT_FIELDS = [
    *("state", "unplannable_reason", "told_eta", "event_sequence", "ready_at"),
    *PROMISE_FIELDS,
]


def open_again(shipment: Shipment, *, keep_window: bool = False) -> None:
    """It lost its place, and with it what was promised; the planner takes it up as a new one."""
    shipment.state, shipment.unplannable_reason = S.OPEN, ""
    shipment.ready_at = timezone.now()
    drop_place(shipment) if keep_window else drop_promise(shipment)


def keep_promise(shipment: Shipment, eta: datetime) -> None:
    """Its place is a route's from now on; the window stands, unless it could not be kept."""
    opens, closes = shipment.promised_from, shipment.promised_until
    drop_promise(shipment)
    if opens and closes and opens <= eta <= closes:
        shipment.promised_from, shipment.promised_until = opens, closes


def drop_promise(shipment: Shipment) -> None:
    shipment.promised_from = shipment.promised_until = None
    drop_place(shipment)


def drop_place(shipment: Shipment) -> None:
    shipment.promised_day = shipment.promised_vehicle = shipment.promised_eta = None
    shipment.promised_departs_at = None


def _by_route(stops: Iterable[Stop]) -> dict[UUID, list[Stop]]:
    routes: dict[UUID, list[Stop]] = {}
    for stop in stops:
        routes.setdefault(stop.route_id, []).append(stop)
    return routes


def notable(moment: datetime, before: datetime | None) -> bool:
    """Whether a time is so far from what was told that it must be told again."""
    threshold = timedelta(minutes=settings.ETA_THRESHOLD_MINUTES)
    return before is None or abs(moment - before) >= threshold


def _of(shipment: Shipment, told: tell.ShipmentEvent) -> Emission:
    journey = shipment.correlation_id
    return Emission(told, shipment, shipment.advance(), correlation_id=journey)


def delayed(shipment: Shipment, reason: str) -> Emission:
    """For who waits for it: it does not come as was told."""
    told = tell.ShipmentDelayed(
        shipment_id=shipment.pk,
        order_id=shipment.order_id,
        depot=shipment.depot.code,
        reason=reason,
        requested_until=shipment.requested_until,
    )
    return _of(shipment, told)


def _planned_told(stop: Stop, now: datetime) -> tell.ShipmentPlanned:
    shipment, route = stop.shipment, stop.route
    opens, closes = window_of(shipment, now)
    return tell.ShipmentPlanned(
        shipment_id=shipment.pk,
        order_id=shipment.order_id,
        route_id=route.pk,
        depot=route.depot.code,
        vehicle=route.vehicle.name,
        position=stop.position,
        eta=stop.eta,
        window_from=opens,
        window_until=closes,
        time_zone=route.depot.time_zone,
    )


def _route_told(route: Route, shipment_ids: list[UUID]) -> tell.RoutePlanned:
    return tell.RoutePlanned(
        route_id=route.pk,
        depot=route.depot.code,
        day=route.day,
        vehicle=route.vehicle.name,
        shipments=shipment_ids,
        distance_km=route.distance_km,
        load_kg=route.load_kg,
        load_m3=route.load_m3,
        starts_at=route.starts_at,
        ends_at=route.ends_at,
        version=route.version,
    )


def _kept(route: Route, stops: list[Stop]) -> dict[str, Any]:
    return {
        "route": str(route.pk),
        "vehicle": route.vehicle.name,
        "cost": route.cost,
        "distance_km": route.distance_km,
        "stops": [
            {"shipment": str(stop.shipment_id), "eta": stop.eta.isoformat()} for stop in stops
        ],
    }
