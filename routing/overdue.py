"""Promise: nothing stays in a plan that time has gone past: a route that nobody dispatched, and a
shipment whose window was over before anybody tried, are planned for another day; a promise that
passes, and a route that nobody completes, are told. Both the customer's side and the dispatcher
hear why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from supplychain.events.outbox import Emission, emit_all
from supplychain.rows import update

from . import carrying
from . import events as tell
from .alerting import alert
from .current import lock_routes
from .days import tomorrow
from .models import Alert, Route, Shipment, Stop
from .services import S, lock_shipments
from .storing import PROMISE_FIELDS, delayed, drop_promise, open_again

#: Routes and shipments in one transaction.
AT_ONCE = 200
#: So long after its end a vehicle must be back, whatever nobody has said, and with it what it could
#: not hand over.
SURELY_BACK = timedelta(hours=24)
#: Of a route that ended longer ago nobody is told any more that it was not completed.
WORTH_TELLING = timedelta(days=7)

_NEVER_LEFT = "its route was never dispatched"
_MISSED = "its window was over before it could be planned"
_BROKEN = "the time that was promised is over, and it has not left"


def end_what_is_overdue(now: datetime) -> None:
    """Alert of routes that should have left or be back, give up those that are over, open anew what
    missed its window, and end promises that are over.

    A step that fails keeps the others from nothing; raises an ExceptionGroup at the end.
    """
    failures = []
    steps = (_alert_of_late_routes, _take_for_back, _give_up_late, _put_off_missed, _end_broken)
    for step in steps:
        try:
            step(now)
        except Exception as failure:  # noqa: BLE001 - raised below
            failures.append(failure)
    if failures:
        raise ExceptionGroup("What is overdue could not be ended", failures)


def _give_up_late(now: datetime) -> None:
    over = Route.objects.filter(state=Route.State.PLANNED, ends_at__lt=now).order_by("pk")
    _give_up(list(over.values_list("pk", flat=True)[:AT_ONCE]))


def _put_off_missed(now: datetime) -> None:
    _put_off(list(_missed(now).order_by("pk").values_list("pk", flat=True)[:AT_ONCE]))


def _missed(now: datetime) -> QuerySet[Shipment]:
    return Shipment.objects.filter(
        state=S.OPEN, requested_until__lt=now, attempts=0, missed_at=None
    )


def _end_broken(now: datetime) -> None:
    broken = Shipment.objects.filter(state=S.OPEN, promised_until__lt=now)
    broken = broken.exclude(pk__in=_missed(now)).order_by("pk")
    _end_promises(list(broken.values_list("pk", flat=True)[:AT_ONCE]))


@transaction.atomic
def _alert_of_late_routes(now: datetime) -> None:
    grace = now - timedelta(minutes=settings.DISPATCH_GRACE_MINUTES)
    late = Route.objects.filter(state=Route.State.PLANNED, starts_at__lte=grace)
    told = Alert.objects.filter(kind=Alert.Kind.NOT_DISPATCHED).values("subject_id")
    rows = late.exclude(pk__in=told).select_related("depot", "vehicle").order_by("pk")
    emissions = []
    for route in rows[:AT_ONCE]:
        text = f"{route.vehicle} was to leave at {route.starts_at:%Y-%m-%d %H:%M} UTC and has not."
        emissions += alert(route.depot, Alert.Kind.NOT_DISPATCHED, {route.pk: text})
    emit_all(emissions)


@transaction.atomic
def _give_up(route_ids: list[UUID]) -> None:
    """Routes whose time is over, frozen or not."""
    now = timezone.now()
    routes = [
        route
        for route in lock_routes(route_ids).values()
        if route.state == Route.State.PLANNED and route.ends_at < now
    ]
    stops = list(Stop.objects.filter(route__in=routes, state=Stop.State.PENDING))
    locked = lock_shipments(stop.shipment_id for stop in stops)
    # A cancellation may have come in between, which needs only the shipment's lock.
    shipments = {pk: row for pk, row in locked.items() if row.state == S.PLANNED}
    stops = [stop for stop in stops if stop.shipment_id in shipments]
    emissions = []
    for stop in stops:
        stop.state, stop.ended_at, stop.reason = Stop.State.DROPPED, now, _NEVER_LEFT
    for shipment in shipments.values():
        open_again(shipment)
        emissions.append(delayed(shipment, _NEVER_LEFT))
    for route in routes:
        route.state = Route.State.WITHDRAWN
        emissions.append(_withdrawn(route))
        emissions += alert(route.depot, Alert.Kind.NOT_DISPATCHED, {route.pk: _text(route)})
    update(stops, ["state", "ended_at", "reason"])
    update(routes, ["state", "event_sequence"])
    _save(shipments.values())
    emit_all(emissions)


@transaction.atomic
def _put_off(shipment_ids: list[UUID]) -> None:
    """To the next day, at any time: the customer has to be asked anyway."""
    now = timezone.now()
    emissions, missed = [], []
    for shipment in lock_shipments(shipment_ids).values():
        until = shipment.requested_until
        if shipment.state != S.OPEN or shipment.missed_at or not until or until >= now:
            continue
        missed.append(shipment)
        shipment.missed_at, shipment.ready_at = now, now
        shipment.release_at = tomorrow(now, shipment.depot.zone)
        shipment.unplannable_reason = ""
        drop_promise(shipment)
        emissions.append(delayed(shipment, _MISSED))
        text = f"Shipment {shipment.pk} to {shipment.customer}: {_MISSED}."
        emissions += alert(shipment.depot, Alert.Kind.WINDOW_MISSED, {shipment.pk: text})
    _save(missed)
    emit_all(emissions)


@transaction.atomic
def _end_promises(shipment_ids: list[UUID]) -> None:
    """They stay as open as they were, and no longer wait for what can't be any more."""
    now = timezone.now()
    emissions, broken = [], []
    for shipment in lock_shipments(shipment_ids).values():
        until = shipment.promised_until
        if shipment.state != S.OPEN or not until or until >= now:
            continue
        broken.append(shipment)
        shipment.unplannable_reason = ""
        drop_promise(shipment)
        emissions.append(delayed(shipment, _BROKEN))
    _save(broken)
    emit_all(emissions)


@transaction.atomic
def _take_for_back(now: datetime) -> None:
    """Vehicles that nobody says are back: what they could not hand over is planned or returned
    now. What became of their other stops only people know."""
    news = set(_unanswered(now))
    rows = lock_routes([*news, *_still_loaded(now)]).values()
    routes = [route for route in rows if route.state == Route.State.DISPATCHED]
    emissions = carrying.unload(routes)
    for route in routes:
        if route.pk in news:
            texts = {route.pk: _not_completed(route)}
            emissions += alert(route.depot, Alert.Kind.NOT_COMPLETED, texts)
    emit_all(emissions)


def _unanswered(now: datetime) -> Iterable[UUID]:
    """Of those that should have been back not too long ago, the routes nobody was told of. There is
    an index for this question, which each tick asks."""
    alerts = Alert.objects.filter(kind=Alert.Kind.NOT_COMPLETED, subject_id=OuterRef("pk"))
    rows = Route.objects.filter(
        state=Route.State.DISPATCHED,
        ends_at__lt=now - SURELY_BACK,
        ends_at__gt=now - WORTH_TELLING,
    )
    return rows.exclude(Exists(alerts)).order_by("pk").values_list("pk", flat=True)[:AT_ONCE]


def _still_loaded(now: datetime) -> Iterable[UUID]:
    """From the shipments, of which few are on a vehicle; the routes of years may be unanswered."""
    rows = Shipment.objects.filter(
        carried_by__isnull=False,
        carried_by__state=Route.State.DISPATCHED,
        carried_by__ends_at__lt=now - SURELY_BACK,
    )
    routes = rows.order_by("carried_by").values_list("carried_by", flat=True)
    return routes.distinct()[:AT_ONCE]


def _not_completed(route: Route) -> str:
    left = route.stops.filter(state=Stop.State.PENDING).count()
    return (
        f"{route.vehicle} should have been back at {route.ends_at:%Y-%m-%d %H:%M} UTC, and {left} "
        "of its stops have no answer. Ask the driver, and answer them."
    )


def _save(shipments: Iterable[Shipment]) -> None:
    fields = ["state", "missed_at", "release_at", "ready_at", "unplannable_reason"]
    names = [*fields, *PROMISE_FIELDS, "event_sequence"]
    update(shipments, names)


def _text(route: Route) -> str:
    return f"{route.vehicle} did not leave on {route.day}; its shipments are planned again."


def _withdrawn(route: Route) -> Emission:
    told = tell.RouteWithdrawn(
        route_id=route.pk, depot=route.depot.code, day=route.day, reason="it was never dispatched"
    )
    return Emission(told, route, route.advance())
