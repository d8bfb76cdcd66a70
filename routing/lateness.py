"""Promise: the stops of a vehicle on its way, and its return, have the times that can be expected
now, later than planned or not, and whose time is notably another than was told is told."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from supplychain.events.outbox import Emission
from supplychain.rows import update

from . import events as tell
from .days import place_of
from .models import Route, Shipment, Stop
from .problem import NO_WAY
from .road import SHORT_TIMEOUT, provider
from .services import lock_shipments
from .storing import notable

#: Seconds that a stop takes.
SERVICE = timedelta(seconds=300)


def timed_again(route: Route) -> list[Emission]:
    """Time the pending stops of a route under way that is locked, after the stop that ended last,
    or else the departure; gives what must be told.

    Later when the vehicle is late, and back again when it has caught up, or was not late at all and
    only answered late; never before what was planned. Early is nothing one should rely on, and
    who plays a day at once, long before it, is not early.
    """
    ended = _ended_last(route)
    stops = list(route.stops.filter(state=Stop.State.PENDING).order_by("position"))
    # An answer that a phone could send only later tells of the past: the vehicle was not late then.
    now = (ended.ended_at if ended else None) or timezone.now()
    if now <= _expected(route, ended) and not _was_late(route, stops):
        return []
    shipments = lock_shipments(stop.shipment_id for stop in stops)
    here = _where(ended)
    places = [place_of(here or route.depot), *(place_of(shipments[s.shipment_id]) for s in stops)]
    places.append(place_of(route.vehicle.end_depot or route.depot))
    _, seconds = provider(settings.TRAVEL_URL, SHORT_TIMEOUT).table(places, places)
    moment, emissions, moved = now, list[Emission](), list[Shipment]()
    for number, stop in enumerate(stops):
        stop.planned_eta = _planned(stop)
        stop.eta = _arrival(moment, int(seconds[number, number + 1]), stop.planned_eta)
        moment = stop.eta + SERVICE
        shipment = shipments[stop.shipment_id]
        if notable(stop.eta, shipment.told_eta):
            emissions.append(_told(route, stop, shipment))
            moved.append(shipment)
    _end(route, moment + _drive(int(seconds[len(stops), len(stops) + 1])))
    update(stops, ["eta", "planned_eta"])
    update(moved, ["told_eta", "event_sequence"])
    return emissions


def _ended_last(route: Route) -> Stop | None:
    """Answers may come in another order than things happened."""
    ended = route.stops.filter(state__in=(Stop.State.DELIVERED, Stop.State.FAILED))
    return ended.order_by("-ended_at", "-position").first()


def _expected(route: Route, ended: Stop | None) -> datetime:
    """When it was to be done there."""
    return _planned(ended) + SERVICE if ended else route.starts_at


def _planned(stop: Stop) -> datetime:
    return stop.planned_eta or stop.eta


def _was_late(route: Route, stops: list[Stop]) -> bool:
    """By what is known so far."""
    late = route.planned_ends_at not in (None, route.ends_at)
    return late or any(stop.eta != _planned(stop) for stop in stops)


def _end(route: Route, moment: datetime) -> None:
    route.planned_ends_at = route.planned_ends_at or route.ends_at
    route.ends_at = max(route.planned_ends_at, moment)
    route.save(update_fields=["ends_at", "planned_ends_at"])


def _where(ended: Stop | None) -> Shipment | None:
    """Where the vehicle is; None at its depot."""
    return Shipment.objects.get(pk=ended.shipment_id) if ended else None


def _drive(seconds: int) -> timedelta:
    return timedelta(seconds=0 if seconds >= NO_WAY else seconds)


def _arrival(leaves: datetime, seconds: int, planned: datetime) -> datetime:
    """Not before it was planned: there may be a window that opens then."""
    return max(leaves + _drive(seconds), planned)


def _told(route: Route, stop: Stop, shipment: Shipment) -> Emission:
    before = shipment.told_eta or stop.eta
    told = tell.EtaChanged(
        shipment_id=shipment.pk,
        order_id=shipment.order_id,
        route_id=route.pk,
        eta=stop.eta,
        told_before=before,
        reason="the vehicle has caught up" if stop.eta < before else "the vehicle is late",
        time_zone=route.depot.time_zone,
    )
    shipment.told_eta = stop.eta
    journey = shipment.correlation_id
    return Emission(told, shipment, shipment.advance(), correlation_id=journey)
