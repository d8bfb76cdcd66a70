"""Promise: an event is recorded if and only if the change that it tells of is committed.

``emit()`` sends the event class's signal inside the caller's transaction; the outbox is one
receiver of it and writes a row that commits or rolls back with the caller's own rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from supplychain import rows
from supplychain.errors import SupplyChainError

from . import context, wakeup
from .base import Event, event_classes
from .envelope import Envelope
from .models import Aggregate, OutboxEvent


class EmitOutsideTransaction(SupplyChainError):
    """emit() needs a transaction: open one around the change and its events."""

    permanent = True


@dataclass(frozen=True)
class Emission:
    """An event to emit with what it happened to.

    ``sequence`` is given by a service that took it with ``row.advance()`` and saves the row
    itself; else it is taken from the row here. ``cause`` is the event that led to this one.
    """

    event: Event
    of: Aggregate
    sequence: int | None = None
    cause: Event | None = None
    correlation_id: str | None = None


def emit(
    event: Event,
    *,
    of: Aggregate,
    sequence: int | None = None,
    cause: Event | None = None,
    correlation_id: str | None = None,
) -> Envelope:
    """Record one event in the caller's transaction; raises EmitOutsideTransaction."""
    return emit_all([Emission(event, of, sequence, cause, correlation_id)])[0]


def emit_all(emissions: Sequence[Emission]) -> list[Envelope]:
    """Record events, in this order, with a number of statements that doesn't grow with them."""
    if not connection.in_atomic_block:
        raise EmitOutsideTransaction
    sequences = _take_sequences(emissions)
    envelopes = [_seal(e, n) for e, n in zip(emissions, sequences, strict=True)]
    pairs = zip(emissions, envelopes, strict=True)
    for event_type, run in groupby(pairs, key=lambda pair: type(pair[0].event)):
        event_type.signal.send(sender=event_type, envelopes=[envelope for _, envelope in run])
    return envelopes


def _take_sequences(emissions: Sequence[Emission]) -> list[int]:
    """Each emission's number; one UPDATE and one SELECT per model for those not yet taken."""
    untaken = [e.of for e in emissions if e.sequence is None]
    by_model: dict[type[Aggregate], dict[Any, int]] = defaultdict(lambda: defaultdict(int))
    for row in untaken:
        by_model[type(row)][row.pk] += 1
    following = {model: _reserve(model, counts) for model, counts in by_model.items()}
    numbers = []
    for emission in emissions:
        if emission.sequence is not None:
            numbers.append(emission.sequence)
            continue
        pending = following[type(emission.of)]
        pending[emission.of.pk] += 1
        emission.of.event_sequence = pending[emission.of.pk]
        numbers.append(pending[emission.of.pk])
    return numbers


def _reserve(model: type[Aggregate], counts: dict[Any, int]) -> dict[Any, int]:
    """Advance the rows' counters in the database; gives each one's last number before that.

    The UPDATE takes the row's lock, so two transactions never share a number. Keys are
    sorted for callers that lock nothing themselves.
    """
    before: dict[Any, int] = {}
    for count in sorted(set(counts.values())):
        keys = sorted(key for key, wanted in counts.items() if wanted == count)
        rows = model._default_manager.filter(pk__in=keys)
        rows.update(event_sequence=F("event_sequence") + count)
        before |= {pk: last - count for pk, last in rows.values_list("pk", "event_sequence")}
    return before


def _seal(emission: Emission, sequence: int) -> Envelope:
    event, inherited = emission.event, context.current()
    if emission.cause is not None:
        inherited = context.caused_by(emission.cause.envelope)
    return Envelope(
        event_id=context.new_id(),
        event_type=event.event_type,
        event_version=event.event_version,
        timestamp=timezone.now(),
        producer=event.producer,
        subject=event.subject,
        sequence=sequence,
        correlation_id=emission.correlation_id or inherited.correlation_id or str(context.new_id()),
        causation_id=inherited.causation_id,
        traceparent=inherited.traceparent,
        data=event.model_dump(mode="json"),
    )


def record(sender: type[Event], envelopes: list[Envelope], **_: Any) -> None:
    """Signal receiver: write the outbox rows and see to it that the relay wakes on commit."""
    rows.insert(
        [
            OutboxEvent(
                event_id=envelope.event_id,
                event_type=envelope.event_type,
                producer=envelope.producer,
                subject=envelope.subject,
                envelope=envelope.to_json(),
            )
            for envelope in envelopes
        ]
    )
    transaction.on_commit(wakeup.wake_relay)


def connect() -> None:
    """Listen to every event class; called once all apps' events are imported."""
    for event_type in event_classes():
        event_type.signal.connect(record, dispatch_uid="outbox")
