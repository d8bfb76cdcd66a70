"""Promise: the read models say what the events said, whatever order those came in, and can be
built again from the event store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from orders import events as told
from routing.events import StopDelivered
from supplychain.events import Event

from .models import EventCount, OrderFact, ShipmentFact, whole_hour
from .upsert import ADD, EARLIEST, KNOWN, LATEST, earliest_by, newest_by, upsert

#: Event → (status, if it is a step, fields that its first occurrence dates).
_STEPS: dict[type[Event], tuple[str, tuple[str, ...]]] = {
    told.OrderPlaced: ("placed", ("placed_at",)),
    told.OrderReserved: ("reserved", ("allocated_at", "reserved_at")),
    told.OrderPartiallyReserved: ("partially_reserved", ("allocated_at",)),
    told.OrderBackordered: ("backordered", ("allocated_at",)),
    told.OrderPromised: ("", ("promised_at",)),
    told.OrderPlanned: ("planned", ("planned_at",)),
    told.OrderEtaChanged: ("", ("broken_at",)),
    told.OrderDelayed: ("", ("broken_at",)),
    told.OrderDispatched: ("dispatched", ("dispatched_at",)),
    told.OrderDelivered: ("delivered", ("delivered_at", "ended_at")),
    told.OrderDeliveryFailed: ("delivery_failed", ()),
    told.OrderReturned: ("returned", ("ended_at",)),
    told.OrderCancelled: ("cancelled", ("ended_at",)),
    told.OrderRejected: ("rejected", ("ended_at",)),
}
STATUSES = [status for status, _ in _STEPS.values() if status]
#: How a batch's facts meet those of earlier batches: as _note() merges them within a batch.
#: Every right-hand side sees the old row whole, so the columns' order doesn't matter.
_MERGE = {
    "channel": KNOWN,
    "status": newest_by("status_sequence"),
    "status_sequence": newest_by("status_sequence"),
    "quantity": KNOWN,
    "first_reserved": earliest_by("allocated_at"),
    "placed_at": EARLIEST,
    "allocated_at": EARLIEST,
    "reserved_at": EARLIEST,
    "promised_at": EARLIEST,
    "promised_until": LATEST,
    "broken_at": EARLIEST,
    "planned_at": EARLIEST,
    "dispatched_at": EARLIEST,
    "delivered_at": EARLIEST,
    "ended_at": EARLIEST,
}
_MERGE_SHIPMENTS = {
    "order_id": KNOWN,
    "window_sequence": newest_by("window_sequence"),
    "window_from": newest_by("window_sequence"),
    "window_until": newest_by("window_sequence"),
    "delivered_at": EARLIEST,
}


@transaction.atomic
def measure(*, events: Sequence[Event]) -> None:
    """Merge events into the read models: three statements at most, however many events."""
    _note_steps([event for event in events if type(event) in _STEPS and not _holds(event)])
    _note_shipments(events)
    _count(events)  # last: every batch wants these few rows, so their locks are held shortly


def _holds(event: Event) -> bool:
    """Whether it changes a time within the window that was promised: no promise is broken."""
    return isinstance(event, told.OrderEtaChanged) and event.within_window


def _count(events: Sequence[Event]) -> None:
    counts = Counter((e.event_type, whole_hour(e.envelope.timestamp)) for e in events)
    rows = [EventCount(event_type=n, hour=h, count=c) for (n, h), c in sorted(counts.items())]
    upsert(rows, key=["event_type", "hour"], merge={"count": ADD})


def _note_steps(steps: Sequence[Any]) -> None:
    facts: dict[Any, OrderFact] = {}
    for step in steps:
        _note(facts.setdefault(step.order_id, OrderFact(order_id=step.order_id)), step)
    rows = [facts[order_id] for order_id in sorted(facts)]
    upsert(rows, key=["order_id"], merge=_MERGE)


def _note(fact: OrderFact, step: Any) -> None:
    status, dated = _STEPS[type(step)]
    when, sequence = step.envelope.timestamp, step.envelope.sequence
    fact.channel = step.channel
    if status and sequence > fact.status_sequence:
        fact.status, fact.status_sequence = status, sequence
    if isinstance(step, told.OrderPlaced):
        fact.quantity = sum(line.quantity for line in step.lines)
    if isinstance(step, told.OrderPromised):
        fact.promised_until = max(fact.promised_until or step.window_until, step.window_until)
    if "allocated_at" in dated and (fact.allocated_at is None or when < fact.allocated_at):
        fact.first_reserved = getattr(step, "reserved", 0)
    for field in dated:
        earlier = getattr(fact, field)
        setattr(fact, field, min(earlier, when) if earlier else when)


def _note_shipments(events: Sequence[Event]) -> None:
    """When each was promised to come, and when it came."""
    facts: dict[Any, ShipmentFact] = {}
    for event in events:
        if isinstance(event, told.OrderPromised):
            _note_window(_fact_of(facts, event), event)
        elif isinstance(event, StopDelivered):
            fact, when = _fact_of(facts, event), event.delivered_at
            fact.delivered_at = min(fact.delivered_at or when, when)
    rows = [facts[shipment_id] for shipment_id in sorted(facts)]
    upsert(rows, key=["shipment_id"], merge=_MERGE_SHIPMENTS)


def _fact_of(
    facts: dict[Any, ShipmentFact], event: told.OrderPromised | StopDelivered
) -> ShipmentFact:
    own = ShipmentFact(shipment_id=event.shipment_id, order_id=event.order_id)
    return facts.setdefault(event.shipment_id, own)


def _note_window(fact: ShipmentFact, event: told.OrderPromised) -> None:
    sequence = event.envelope.sequence
    if sequence > fact.window_sequence:
        fact.window_sequence = sequence
        fact.window_from, fact.window_until = event.window_from, event.window_until
