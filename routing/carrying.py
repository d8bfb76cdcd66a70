"""Promise: what a vehicle could not hand over is at its depot when the vehicle is, and not before:
until then it does not leave with another. What is not tried again is told as returned when the last
stop is answered, which is when the vehicle turns home, and not before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from supplychain.events.outbox import Emission
from supplychain.rows import update

from . import events as tell
from .alerting import alert
from .models import Alert, Route, Shipment, Stop
from .services import S, lock_shipments
from .storing import delayed, open_again


def carried(route: Route) -> Iterable[UUID]:
    """What it could not hand over and has not yet brought back; changes only under its lock."""
    return Shipment.objects.filter(carried_by=route).values_list("pk", flat=True)


def hold_back(route: Route, shipments: Iterable[Shipment]) -> None:
    """They may leave again when the vehicle is expected; the caller has locked and saves them."""
    for shipment in shipments:
        shipment.release_at = _leaves_again(max(route.ends_at, timezone.now()))


def bring_back(route: Route, shipments: Iterable[Shipment]) -> list[Emission]:
    """The last stop has ended, and the vehicle is on its way home; the caller has locked and saves
    them."""
    return _unloaded(shipments, timezone.now() + _way_home(route))


def unload(routes: Collection[Route]) -> list[Emission]:
    """The vehicles of these locked routes must be back by now."""
    # Of all at once: all locks in one order.
    loaded = Shipment.objects.filter(carried_by__in=routes).values_list("pk", flat=True)
    shipments = list(lock_shipments(loaded).values())
    emissions = _unloaded(shipments, timezone.now())
    update(shipments, ["carried_by", "release_at", "event_sequence"])
    return emissions


def elsewhere(route: Route, shipments: Collection[Shipment]) -> dict[Shipment, Route]:
    """Those that another vehicle than that of this route still has, each with its route. What is
    on the same one came back with it."""
    away = {row.pk: row.carried_by_id for row in shipments if row.carried_by_id}
    on_the_way = [row.pk for row in shipments if _comes_home(row, route)]
    failed = Stop.objects.filter(shipment__in=on_the_way, state=Stop.State.FAILED)
    away |= dict(failed.order_by("ended_at").values_list("shipment_id", "route_id"))
    rows = Route.objects.filter(pk__in=away.values()).exclude(vehicle=route.vehicle_id)
    others = {row.pk: row for row in rows.select_related("vehicle")}
    return {row: others[away[row.pk]] for row in shipments if away.get(row.pk) in others}


def _comes_home(shipment: Shipment, route: Route) -> bool:
    """Whether it is on its way to the depot after the last stop of its vehicle. A route that was
    planned to leave after that is taken at its word, though it leaves early."""
    back = shipment.release_at
    if shipment.carried_by_id or not shipment.attempts or not back or back <= route.starts_at:
        return False
    return _leaves_again(timezone.now()) < back


def leave_behind(route: Route, shipments: Mapping[Shipment, Route]) -> list[Emission]:
    """They were planned for a route that leaves now, and are planned again; the caller has locked
    them."""
    now, emissions = timezone.now(), list[Emission]()
    for shipment, other in shipments.items():
        open_again(shipment)
        if shipment.carried_by_id:
            why = f"it was still on {other.vehicle} when {route.vehicle} left"
            hold_back(other, [shipment])
        else:
            why = f"{other.vehicle} was still on its way home with it when {route.vehicle} left"
        emissions.append(delayed(shipment, why))
        text = f"Shipment {shipment.pk} to {shipment.customer}: {why}."
        emissions += alert(route.depot, Alert.Kind.FELL_OUT, {shipment.pk: text})
        stop = route.stops.filter(shipment=shipment, state=Stop.State.PENDING)
        stop.update(state=Stop.State.DROPPED, ended_at=now, reason=why[:300])
        shipment.save()
    return emissions


def _leaves_again(back: datetime) -> datetime:
    return back + timedelta(minutes=settings.TURN_AROUND_MINUTES)


def _way_home(route: Route) -> timedelta:
    """As planned, with what the last stop takes."""
    last = route.stops.exclude(state=Stop.State.DROPPED).order_by("position").last()
    return max(timedelta(), route.ends_at - last.eta) if last else timedelta()


def _unloaded(shipments: Iterable[Shipment], back: datetime) -> list[Emission]:
    emissions = []
    for shipment in shipments:
        shipment.carried_by, shipment.release_at = None, _leaves_again(back)
        if shipment.state == S.RETURNED:
            emissions.append(_returned(shipment))
    return emissions


def _returned(shipment: Shipment) -> Emission:
    told = tell.ShipmentReturned(
        shipment_id=shipment.pk, order_id=shipment.order_id, depot=shipment.depot.code
    )
    journey = shipment.correlation_id
    return Emission(told, shipment, shipment.advance(), correlation_id=journey)
