"""Promise: the read models say what the events said, whatever order those came in, and can be
built again from the event store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from orders import events as told
from supplychain.events import Event

from .models import EventCount, OrderFact, whole_hour
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


@transaction.atomic
def measure(*, events: Sequence[Event]) -> None:
    """Merge events into the read models: two statements, however many events."""
    _note_steps([event for event in events if type(event) in _STEPS and not _holds(event)])
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
