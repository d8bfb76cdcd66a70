"""Promise: when a vehicle on its way runs late, its stops and its return get the times that can be
expected now, and who comes notably later is told."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from supplychain.events.outbox import Emission

from . import events as tell
from .days import place_of
from .models import Route, Shipment, Stop
from .problem import NO_WAY
from .road import SHORT_TIMEOUT, provider
from .services import lock_shipments
from .storing import notable

#: Seconds that a stop takes.
SERVICE = timedelta(seconds=300)


def timed_again(route: Route, ended: Stop | None) -> list[Emission]:
    """Time the pending stops of a route under way that is locked, after the stop that has just
    ended, or else the departure; gives what must be told.

    Only when it is late. Early is nothing one should rely on, and who plays a day at once, long
    before it, is not early.
    """
    # An answer that a phone could send only later tells of the past: the vehicle was not late then.
    now = (ended.ended_at if ended else None) or timezone.now()
    expected = ended.eta if ended else route.starts_at
    if now <= expected:
        return []
    stops = list(route.stops.filter(state=Stop.State.PENDING).order_by("position"))
    shipments = lock_shipments(stop.shipment_id for stop in stops)
    here = _where(ended)
    places = [place_of(here or route.depot), *(place_of(shipments[s.shipment_id]) for s in stops)]
    places.append(place_of(route.vehicle.end_depot or route.depot))
    _, seconds = provider(settings.TRAVEL_URL, SHORT_TIMEOUT).table(places, places)
    moment, emissions, moved = now, list[Emission](), list[Shipment]()
    for number, stop in enumerate(stops):
        moment = _arrival(moment, int(seconds[number, number + 1]), stop.eta)
        stop.eta, moment = moment, moment + SERVICE
        shipment = shipments[stop.shipment_id]
        if notable(stop.eta, shipment.told_eta):
            emissions.append(_told(route, stop, shipment))
            moved.append(shipment)
    route.ends_at = max(route.ends_at, moment + _drive(int(seconds[len(stops), len(stops) + 1])))
    route.save(update_fields=["ends_at"])
    Stop.objects.bulk_update(stops, ["eta"], batch_size=500)
    Shipment.objects.bulk_update(moved, ["told_eta", "event_sequence"], batch_size=500)
    return emissions


def _where(ended: Stop | None) -> Shipment | None:
    """Where the vehicle is; None at its depot."""
    return Shipment.objects.get(pk=ended.shipment_id) if ended else None


def _drive(seconds: int) -> timedelta:
    return timedelta(seconds=0 if seconds >= NO_WAY else seconds)


def _arrival(leaves: datetime, seconds: int, planned: datetime) -> datetime:
    """Not before it was planned: there may be a window that opens then."""
    return max(leaves + _drive(seconds), planned)


def _told(route: Route, stop: Stop, shipment: Shipment) -> Emission:
    told = tell.EtaChanged(
        shipment_id=shipment.pk,
        order_id=shipment.order_id,
        route_id=route.pk,
        eta=stop.eta,
        told_before=shipment.told_eta or stop.eta,
        reason="the vehicle is late",
        time_zone=route.depot.time_zone,
    )
    shipment.told_eta = stop.eta
    journey = shipment.correlation_id
    return Emission(told, shipment, shipment.advance(), correlation_id=journey)
