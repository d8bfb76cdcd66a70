"""Promise: nothing stays in a plan that time has gone past: a route that nobody dispatched, and a
shipment whose window was over before anybody tried, are planned for another day, and both the
customer's side and the dispatcher are told why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from .alerting import alert
from .current import lock_routes
from .days import tomorrow
from .models import Alert, Route, Shipment, Stop
from .services import S, lock_shipments
from .storing import PROMISE_FIELDS, drop_promise, open_again

#: Routes and shipments in one transaction.
AT_ONCE = 200

_NEVER_LEFT = "its route was never dispatched"
_MISSED = "its window was over before it could be planned"


def end_what_is_overdue(now: datetime) -> None:
    """Alert of routes that should have left, give up those that are over, and open anew what
    missed its window."""
    _alert_of_late_routes(now)
    over = Route.objects.filter(state=Route.State.PLANNED, ends_at__lt=now).order_by("pk")
    _give_up(list(over.values_list("pk", flat=True)[:AT_ONCE]))
    missed = Shipment.objects.filter(
        state=S.OPEN, requested_until__lt=now, attempts=0, missed_at=None
    )
    _put_off(list(missed.order_by("pk").values_list("pk", flat=True)[:AT_ONCE]))


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
        emissions.append(_delayed(shipment, _NEVER_LEFT))
    for route in routes:
        route.state = Route.State.WITHDRAWN
        emissions.append(_withdrawn(route))
        emissions += alert(route.depot, Alert.Kind.NOT_DISPATCHED, {route.pk: _text(route)})
    Stop.objects.bulk_update(stops, ["state", "ended_at", "reason"], batch_size=500)
    Route.objects.bulk_update(routes, ["state", "event_sequence"], batch_size=500)
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
        emissions.append(_delayed(shipment, _MISSED))
        text = f"Shipment {shipment.pk} to {shipment.customer}: {_MISSED}."
        emissions += alert(shipment.depot, Alert.Kind.WINDOW_MISSED, {shipment.pk: text})
    _save(missed)
    emit_all(emissions)


def _save(shipments: Iterable[Shipment]) -> None:
    fields = ["state", "missed_at", "release_at", "ready_at", "unplannable_reason"]
    names = [*fields, *PROMISE_FIELDS, "event_sequence"]
    Shipment.objects.bulk_update(list(shipments), names, batch_size=500)


def _delayed(shipment: Shipment, reason: str) -> Emission:
    told = tell.ShipmentDelayed(
        shipment_id=shipment.pk,
        order_id=shipment.order_id,
        depot=shipment.depot.code,
        reason=reason,
        requested_until=shipment.requested_until,
    )
    journey = shipment.correlation_id
    return Emission(told, shipment, shipment.advance(), correlation_id=journey)


def _text(route: Route) -> str:
    return f"{route.vehicle} did not leave on {route.day}; its shipments are planned again."


def _withdrawn(route: Route) -> Emission:
    told = tell.RouteWithdrawn(
        route_id=route.pk, depot=route.depot.code, day=route.day, reason="it was never dispatched"
    )
    return Emission(told, route, route.advance())
