"""Promise: the read models say what the events said, whatever order those came in, and can be
built again from the event store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from orders import events as told
from supplychain.events import Event

from .models import EventCount, OrderFact

#: Event → (status, fields that its first occurrence dates).
_STEPS: dict[type[Event], tuple[str, tuple[str, ...]]] = {
    told.OrderPlaced: ("placed", ("placed_at",)),
    told.OrderReserved: ("reserved", ("allocated_at", "reserved_at")),
    told.OrderPartiallyReserved: ("partially_reserved", ("allocated_at",)),
    told.OrderBackordered: ("backordered", ("allocated_at",)),
    told.OrderPlanned: ("planned", ("planned_at",)),
    told.OrderDispatched: ("dispatched", ("dispatched_at",)),
    told.OrderDelivered: ("delivered", ("delivered_at", "ended_at")),
    told.OrderDeliveryFailed: ("delivery_failed", ()),
    told.OrderReturned: ("returned", ("ended_at",)),
    told.OrderCancelled: ("cancelled", ("ended_at",)),
    told.OrderRejected: ("rejected", ("ended_at",)),
}
_FIELDS = [f.name for f in OrderFact._meta.fields if f.name != "order_id"]


@transaction.atomic
def measure(*, events: Sequence[Event]) -> None:
    _count(events)
    steps = [event for event in events if type(event) in _STEPS]
    _note_steps(steps)


def _count(events: Sequence[Event]) -> None:
    counts = Counter(
        (e.event_type, e.envelope.timestamp.replace(minute=0, second=0, microsecond=0))
        for e in events
    )
    keys = sorted(counts)
    EventCount.objects.bulk_create(
        [EventCount(event_type=name, hour=hour) for name, hour in keys], ignore_conflicts=True
    )
    rows = EventCount.objects.select_for_update().filter(
        event_type__in={name for name, _ in keys}, hour__in={hour for _, hour in keys}
    )
    changed = []
    for row in rows.order_by("pk"):
        if added := counts.get((row.event_type, row.hour)):
            row.count += added
            changed.append(row)
    EventCount.objects.bulk_update(changed, ["count"])


def _note_steps(steps: Sequence[Any]) -> None:
    ids = {step.order_id for step in steps}
    OrderFact.objects.bulk_create(
        [OrderFact(order_id=pk) for pk in sorted(ids)], ignore_conflicts=True
    )
    rows = OrderFact.objects.select_for_update().filter(pk__in=ids).order_by("pk")
    facts = {row.pk: row for row in rows}
    for step in steps:
        _note(facts[step.order_id], step)
    OrderFact.objects.bulk_update(facts.values(), _FIELDS)


def _note(fact: OrderFact, step: Any) -> None:
    status, dated = _STEPS[type(step)]
    when, sequence = step.envelope.timestamp, step.envelope.sequence
    fact.channel = step.channel
    if sequence > fact.status_sequence:
        fact.status, fact.status_sequence = status, sequence
    for field in dated:
        earlier = getattr(fact, field)
        setattr(fact, field, min(earlier, when) if earlier else when)
    if isinstance(step, told.OrderPlaced):
        fact.quantity = sum(line.quantity for line in step.lines)
    elif "allocated_at" in dated and fact.allocated_at == when:
        fact.first_reserved = getattr(step, "reserved", 0)
