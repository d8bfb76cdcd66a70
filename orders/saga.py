"""Promise: what inventory and routing tell moves orders on, in any order of arrival, in a
number of statements that doesn't grow with the number of events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any
from uuid import UUID

from django.db import transaction

from inventory.events import (
    AllocationEvent,
    AllocationReduced,
    AllocationRejected,
    ReservationExpired,
    StockHeld,
    StockShort,
)
from routing.events import (
    EtaChanged,
    ShipmentCancelled,
    ShipmentDelayed,
    ShipmentDispatched,
    ShipmentPlanned,
    ShipmentPromised,
    ShipmentReturned,
    ShipmentUnplannable,
    StopDelivered,
    StopFailed,
)
from supplychain.errors import SupplyChainError
from supplychain.events import Event
from supplychain.events.outbox import Emission, emit_all
from supplychain.rows import update

from . import arrivals
from . import events as tell
from .journeys import Journey
from .lifecycle import FINAL, TRANSITIONS, derive, path
from .models import Order, OrderLine, OrderShipment, Status, StatusChange

S = OrderShipment.State


class UnknownOrder(SupplyChainError):
    """An event speaks of an order that is not here (yet)."""


@transaction.atomic
def advance(*, events: Sequence[Any]) -> None:
    """Apply the events, whatever their order; raises UnknownOrder."""
    journeys = _load({event.order_id for event in events})
    of_lines = {event.order_id for event in events if isinstance(event, AllocationReduced)}
    for line in OrderLine.objects.filter(order_id__in=of_lines):
        journeys[line.order_id].lines[line.sku] = line
    for event in events:
        journey = journeys[event.order_id]
        _FACTS[type(event)](journey, event)
        _move(journey, event)
        arrivals.tell_news(journey)
    _save(list(journeys.values()))


def _load(order_ids: set[UUID]) -> dict[UUID, Journey]:
    """The orders, locked in primary-key order (the only place where orders are locked in bulk)."""
    rows = (
        Order.objects.select_for_update(of=("self",))
        .select_related("channel")
        .filter(pk__in=order_ids)
        .order_by("pk")
    )
    journeys = {order.pk: Journey(order) for order in rows}
    if missing := order_ids - set(journeys):
        raise UnknownOrder(f"Orders not known here: {', '.join(map(str, sorted(missing)))}")
    for shipment in OrderShipment.objects.filter(order_id__in=order_ids):
        journeys[shipment.order_id].shipments[shipment.pk] = shipment
    return journeys


_SHIPMENT_FIELDS = [
    *("state", "quantity", "warehouse", "sequence"),
    *("eta", "eta_sequence", "time_zone"),
    *("window_from", "window_until", "trouble", "reason", "outlook_sequence"),
    *("told_eta", "told_from", "told_until", "owed"),
]


def _save(journeys: list[Journey]) -> None:
    update(
        [j.order for j in journeys],
        [
            "status",
            "cancelled_quantity",
            "reserved_quantity",
            "outstanding_quantity",
            "allocation_sequence",
            "event_sequence",
            "updated_at",
        ],
    )
    OrderShipment.objects.bulk_create(
        [j.shipments[pk] for j in journeys for pk in sorted(j.touched)],
        update_conflicts=True,
        unique_fields=["shipment_id"],
        update_fields=_SHIPMENT_FIELDS,
    )
    update([line for j in journeys for line in j.lines.values()], ["kept"])
    StatusChange.objects.bulk_create([step for j in journeys for step in j.steps])
    emit_all(_in_rounds([j.emissions for j in journeys]))


def _in_rounds(emissions: Sequence[Sequence[Emission]]) -> list[Emission]:
    """Every order's first event, then every order's second, and so on: each order's own stay in
    their order, and those of one type come together, which the outbox writes in one go."""
    rounds = zip_longest(*emissions)
    return [
        emission
        for one in rounds
        for emission in sorted(filter(None, one), key=lambda e: e.event.event_type)
    ]


# --- facts: what each event says of an order and its shipments ----------------------------


def _allocated(journey: Journey, event: AllocationEvent) -> None:
    for reserved in event.shipments:
        shipment = journey.shipment(reserved.shipment_id)
        _at_most(shipment, sum(line.quantity for line in reserved.lines))
        shipment.warehouse = reserved.warehouse
    _count_reserved(journey)
    _outstanding(journey, event, sum(line.quantity for line in event.outstanding))


def _at_most(shipment: OrderShipment, quantity: int) -> None:
    """A shipment only ever shrinks; the news that it has may come before those of what it was."""
    known = shipment.quantity
    shipment.quantity = quantity if known is None else min(known, quantity)


def _count_reserved(journey: Journey) -> None:
    known = [s.quantity for s in journey.shipments.values() if s.quantity]
    journey.order.reserved_quantity = sum(known)


def _held(journey: Journey, event: StockHeld) -> None:
    """It shows, and that is all: where the order stands is decided when it is confirmed."""
    order = journey.order
    if event.envelope.sequence > order.allocation_sequence:
        order.allocation_sequence = event.envelope.sequence
        outstanding = sum(line.quantity for line in event.outstanding)
        order.reserved_quantity = max(0, order.wanted - outstanding)


def _expired(journey: Journey, event: ReservationExpired) -> None:
    """Nothing to an order that was confirmed in time: inventory is about to hear of it."""
    order = journey.order
    if event.envelope.sequence > order.allocation_sequence:
        order.allocation_sequence = event.envelope.sequence
        order.reserved_quantity = 0
    if order.awaits_confirmation:
        reason = f"not confirmed by {event.confirm_by:%Y-%m-%d %H:%M:%S %Z}"
        _step(journey, Status.CANCELLED, event, reason)


def _reduced(journey: Journey, event: AllocationReduced) -> None:
    """What could not be taken back is in its line again."""
    for left in event.shipments:
        _at_most(journey.shipment(left.shipment_id), left.quantity)
    if kept := list(_kept(journey, event)):
        told = tell.OrderLinesKept(**journey.about(), lines=kept, reason=event.reason)
        journey.tell(told, event)
    _count_reserved(journey)
    _outstanding(journey, event, sum(line.quantity for line in event.outstanding))


def _kept(journey: Journey, event: AllocationReduced) -> Iterator[tell.LineKept]:
    for kept in event.kept:
        line = journey.lines[kept.sku]
        if (units := kept.quantity - line.kept) > 0:
            line.kept = kept.quantity
            journey.order.cancelled_quantity -= units
            journey.note(f"{units} × {kept.sku} could not be taken back: {event.reason}", event)
            yield tell.LineKept(sku=kept.sku, quantity=units, total=line.kept)


def _short(journey: Journey, event: StockShort) -> None:
    _outstanding(journey, event, sum(line.quantity for line in event.outstanding))


def _outstanding(journey: Journey, event: Event, quantity: int) -> None:
    if event.envelope.sequence > journey.order.allocation_sequence:
        journey.order.allocation_sequence = event.envelope.sequence
        journey.order.outstanding_quantity = quantity


def _rejected(journey: Journey, event: AllocationRejected) -> None:
    _step(journey, Status.REJECTED, event, event.reason)


def _shipment_is(
    state: str, outlook: Callable[[Journey, Any], None] | None = None
) -> Callable[[Journey, Any], None]:
    """``outlook``: what the event says besides, of when it comes."""

    def apply(journey: Journey, event: Any) -> None:
        shipment = journey.shipment(event.shipment_id)
        if event.envelope.sequence > shipment.sequence:
            shipment.sequence = event.envelope.sequence
            shipment.state = state
        if outlook:
            outlook(journey, event)

    return apply


_FACTS: dict[type[Event], Callable[[Journey, Any], None]] = defaultdict(
    lambda: _allocated,
    {
        StockHeld: _held,
        ReservationExpired: _expired,
        AllocationReduced: _reduced,
        StockShort: _short,
        AllocationRejected: _rejected,
        ShipmentPromised: arrivals.note_outlook,
        ShipmentPlanned: _shipment_is(S.PLANNED, arrivals.note_outlook),
        EtaChanged: arrivals.note_eta,
        ShipmentDelayed: arrivals.note_outlook,
        ShipmentUnplannable: arrivals.note_outlook,
        ShipmentDispatched: _shipment_is(S.DISPATCHED),
        StopDelivered: _shipment_is(S.DELIVERED),
        StopFailed: _shipment_is(S.FAILED, arrivals.note_outlook),
        ShipmentReturned: _shipment_is(S.RETURNED),
        ShipmentCancelled: _shipment_is(S.CANCELLED, arrivals.note_outlook),
    },
)


# --- steps: how an order gets to where the facts put it ------------------------------------


def _move(journey: Journey, cause: Event) -> None:
    order = journey.order
    if order.status in FINAL:
        return
    target = derive(
        quantity=order.wanted,
        reserved=order.reserved_quantity,
        outstanding=order.outstanding_quantity,
        states=[shipment.state for shipment in journey.shipments.values()],
    )
    steps = path(order.status, target)
    for status in steps:
        reason = getattr(cause, "reason", "") if status == steps[-1] else ""
        _step(journey, status, cause, reason)


def _step(journey: Journey, status: str, cause: Event, reason: str = "") -> None:
    order = journey.order
    if status not in TRANSITIONS[order.status]:
        return
    order.status = status
    journey.note(reason, cause)
    journey.tell(_event(journey, status, reason), cause)


def _event(journey: Journey, status: str, reason: str) -> Event:
    order, base = journey.order, journey.about()
    amounts = {"quantity": order.wanted, "reserved": order.reserved_quantity}
    match status:
        case Status.RESERVED:
            return tell.OrderReserved(**base, **amounts)
        case Status.PARTIALLY_RESERVED:
            return tell.OrderPartiallyReserved(**base, **amounts)
        case Status.BACKORDERED:
            return tell.OrderBackordered(**base, quantity=order.wanted)
        case Status.PLANNED:
            return arrivals.planned(journey)
        case Status.DELIVERY_FAILED:
            return tell.OrderDeliveryFailed(**base, reason=reason or "not delivered")
        case Status.REJECTED:
            return tell.OrderRejected(**base, reason=reason)
        case Status.CANCELLED:
            return tell.OrderCancelled(**base, reason=reason)
    return _PLAIN[status](**base)


_PLAIN: dict[str, type[tell.OrderEvent]] = {
    Status.DISPATCHED: tell.OrderDispatched,
    Status.DELIVERED: tell.OrderDelivered,
    Status.RETURNED: tell.OrderReturned,
}
