"""Promise: what is known of when a shipment comes is the newest that routing told, in whatever
order it came. Who was told a time hears when it no longer holds, and the next one; and nothing
twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from routing.events import (
    EtaChanged,
    ShipmentDelayed,
    ShipmentEvent,
    ShipmentPlanned,
    ShipmentPromised,
    ShipmentUnplannable,
    StopFailed,
)
from supplychain.events import Event

from . import events as tell
from .journeys import Journey
from .lifecycle import FINAL
from .models import OrderShipment

Trouble = OrderShipment.Trouble

#: A window that is wider than this tells nobody when to be at home.
WIDEST = timedelta(days=1)

_TROUBLES: dict[type[Event], str] = {
    ShipmentDelayed: Trouble.DELAYED,
    ShipmentUnplannable: Trouble.UNPLANNABLE,
}


# --- facts --------------------------------------------------------------------------------


def note_outlook(journey: Journey, event: Any) -> None:
    """What an event says of when a shipment comes, or that this is open (again), and why."""
    shipment, sequence = journey.shipment(event.shipment_id), event.envelope.sequence
    if sequence <= shipment.outlook_sequence:
        return
    shipment.outlook_sequence = sequence
    shipment.window_from = getattr(event, "window_from", None)
    shipment.window_until = getattr(event, "window_until", None)
    shipment.trouble = _TROUBLES.get(type(event), "")
    shipment.reason = getattr(event, "reason", "")[:300]
    _note_eta(shipment, event)
    journey.news.append(event)


def note_eta(journey: Journey, event: EtaChanged) -> None:
    if _note_eta(journey.shipment(event.shipment_id), event):
        journey.news.append(event)


def _note_eta(shipment: OrderShipment, event: Any) -> bool:
    if event.envelope.sequence <= shipment.eta_sequence:
        return False
    shipment.eta_sequence = event.envelope.sequence
    shipment.eta = getattr(event, "eta", None)
    shipment.time_zone = getattr(event, "time_zone", shipment.time_zone)
    return True


# --- what is told of them -----------------------------------------------------------------


def tell_news(journey: Journey) -> None:
    """Tell what has changed of what was told before; of an order that has ended, nothing."""
    news, journey.news = journey.news, []
    for event in news:
        told = _TELL.get(type(event))
        if told and journey.order.status not in FINAL:
            told(journey, journey.shipments[event.shipment_id], event)


def planned(journey: Journey) -> tell.OrderPlanned:
    """That all of it is planned, with the time of what comes last. From now on all times count
    as told, but for those of other parts that break what was told of them: each is news."""
    coming = [shipment for shipment in journey.shipments.values() if shipment.eta]
    last = max(coming, key=lambda shipment: (shipment.eta, shipment.pk), default=None)
    said = _said(last, _window(last)) if last else {}
    known = bool(coming) and all(shipment.comes_as_told for shipment in coming)
    for shipment in coming:
        if shipment is last or not (shipment.owed or shipment.breaks_what_was_told):
            _now_told(journey, shipment, _window(shipment))
    return tell.OrderPlanned(**journey.about(), **said, as_promised=known)


def _promised(journey: Journey, shipment: OrderShipment, event: ShipmentPromised) -> None:
    window = (event.window_from, event.window_until)
    if window == (shipment.told_from, shipment.told_until):
        return
    told = tell.OrderPromised(**_about(journey, shipment), **_said(shipment, window))
    _now_told(journey, shipment, window)
    _say(journey, told, event, f"promised for {_between(window, shipment)}")


def _planned(journey: Journey, shipment: OrderShipment, event: ShipmentPlanned) -> None:
    """The order's own step may have told it just now, or EtaChanged before."""
    broken = shipment.breaks_what_was_told
    if shipment.eta and shipment.eta != shipment.told_eta and (shipment.owed or broken):
        _tell_eta(journey, shipment, event, "planned again")


def _eta_changed(journey: Journey, shipment: OrderShipment, event: EtaChanged) -> None:
    if shipment.told_eta not in (None, shipment.eta):
        _tell_eta(journey, shipment, event, event.reason)


def _tell_eta(journey: Journey, shipment: OrderShipment, cause: Event, why: str) -> None:
    holds, before = shipment.comes_as_told, shipment.told_eta
    window = (shipment.told_from, shipment.told_until) if holds else _window(shipment)
    told = tell.OrderEtaChanged(
        **_about(journey, shipment),
        **_said(shipment, window),
        told_before=before,
        within_window=holds,
        reason=why,
    )
    _now_told(journey, shipment, window)
    instead = f" instead of {_moment(before, shipment)}" if before else ""
    _say(journey, told, cause, f"expected at {_moment(shipment.eta, shipment)}{instead}: {why}")


def _delayed(journey: Journey, shipment: OrderShipment, event: ShipmentDelayed) -> None:
    """Once, until there is a new time."""
    if shipment.owed:
        journey.note(f"delayed: {event.reason}", event)
        return
    _tell_delay(journey, shipment, event)


def _unplannable(journey: Journey, shipment: OrderShipment, event: ShipmentUnplannable) -> None:
    """A matter for the staff, as long as nobody was told a time that it breaks."""
    if shipment.told_eta:
        _tell_delay(journey, shipment, event)
        return
    told = tell.OrderUnplannable(**_about(journey, shipment), reason=event.reason)
    _say(journey, told, event, f"not planned: {event.reason}")


def _tell_delay(
    journey: Journey, shipment: OrderShipment, event: ShipmentDelayed | ShipmentUnplannable
) -> None:
    told = tell.OrderDelayed(
        **_about(journey, shipment), told_before=shipment.told_eta, reason=event.reason
    )
    shipment.owe_time()
    _say(journey, told, event, f"delayed: {event.reason}")


def _failed(journey: Journey, shipment: OrderShipment, event: StopFailed) -> None:
    """The order's step tells it; a time that was told is over."""
    if shipment.told_eta:
        shipment.owe_time()


_TELL: dict[type[Event], Callable[[Journey, OrderShipment, Any], None]] = {
    ShipmentPromised: _promised,
    ShipmentPlanned: _planned,
    EtaChanged: _eta_changed,
    ShipmentDelayed: _delayed,
    ShipmentUnplannable: _unplannable,
    StopFailed: _failed,
}


# --- in words and figures -----------------------------------------------------------------

Window = tuple[datetime | None, datetime | None]


def _say(journey: Journey, told: Event, cause: ShipmentEvent | Event, words: str) -> None:
    journey.tell(told, cause)
    journey.note(words, cause)


def _about(journey: Journey, shipment: OrderShipment) -> dict[str, Any]:
    others = [s for s in journey.shipments.values() if s.state != OrderShipment.State.CANCELLED]
    partial = len(others) > 1 or bool(journey.order.outstanding_quantity)
    return {**journey.about(), "shipment_id": shipment.pk, "partial": partial}


def _said(shipment: OrderShipment, window: Window) -> dict[str, Any]:
    return {
        "eta": shipment.eta,
        "window_from": window[0],
        "window_until": window[1],
        "time_zone": shipment.time_zone,
    }


def _window(shipment: OrderShipment) -> Window:
    """That the shipment comes in, if one may tell people to be there."""
    opens, closes, eta = shipment.window_from, shipment.window_until, shipment.eta
    if opens and closes and eta and opens <= eta <= closes and closes - opens <= WIDEST:
        return opens, closes
    return None, None


def _now_told(journey: Journey, shipment: OrderShipment, window: Window) -> None:
    journey.touched.add(shipment.pk)
    shipment.told_eta, shipment.owed = shipment.eta, False
    shipment.told_from, shipment.told_until = window


def _between(window: Window, shipment: OrderShipment) -> str:
    return " to ".join(_moment(moment, shipment) for moment in window)


def _moment(moment: datetime | None, shipment: OrderShipment) -> str:
    return f"{moment.astimezone(_zone(shipment)):%Y-%m-%d %H:%M %Z}" if moment else "?"


def _zone(shipment: OrderShipment) -> ZoneInfo:
    try:
        return ZoneInfo(shipment.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
