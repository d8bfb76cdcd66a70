"""Reads of the event store; memory stays flat however long it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.db.models import Count, F, Max, Min, Q, QuerySet

from .models import ChainHead, StoredEvent
from .services import link

CHUNK = 2000


def chain_faults() -> Iterator[tuple[int, str | None]]:
    """Walk the whole chain; gives (position, fault or None) for each row and missing position."""
    expected, previous = 1, "0" * 64
    for row in StoredEvent.objects.order_by("position").iterator(chunk_size=CHUNK):
        while expected < row.position:
            yield expected, "missing"
            expected += 1
        yield row.position, _fault(row, previous)
        expected, previous = row.position + 1, row.hash
    head = ChainHead.objects.filter(pk=1).first() or ChainHead()
    if (expected - 1, previous) != (head.position, head.hash):
        for position in range(expected, head.position + 1):
            yield position, "missing at the end of the chain"
        if expected > head.position:
            yield expected - 1, f"the chain's head says {head.position} and another hash"


def _fault(row: StoredEvent, previous: str) -> str | None:
    if row.previous_hash != previous:
        return "does not follow from the row before it"
    if row.hash != link(row.previous_hash, row.position, row.body):
        return "its body or hash was changed"
    body = json.loads(row.body)
    for column in ("event_type", "event_version", "producer", "subject", "sequence"):
        if body[column] != getattr(row, column):
            return f"its column {column} was changed"
    for column in ("event_id", "correlation_id"):
        if body[column] != str(getattr(row, column)):
            return f"its column {column} was changed"
    return None


def sequence_gaps() -> QuerySet[StoredEvent, dict[str, Any]]:
    """Aggregates whose numbers are not exactly 1…n: an event of theirs is missing or doubled."""
    return (
        StoredEvent.objects.order_by()
        .values("producer", "subject")
        .annotate(
            stored=Count("pk"),
            distinct=Count("sequence", distinct=True),
            first=Min("sequence"),
            last=Max("sequence"),
        )
        .filter(~Q(first=1) | ~Q(last=F("stored")) | ~Q(distinct=F("stored")))
    )


def journey(key: str) -> QuerySet[StoredEvent]:
    """All events of one journey, by its correlation id or by any subject in it (order/…)."""
    subjects = [key, f"order/{key}", f"shipment/{key}", f"route/{key}"]
    ids = StoredEvent.objects.filter(subject__in=subjects).values("correlation_id")
    rows = StoredEvent.objects.filter(Q(correlation_id=key) | Q(correlation_id__in=ids))
    return rows.order_by("timestamp", "position")
