"""Reads of the event store; memory stays flat however long it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Count, F, Max, Min, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from pydantic import ValidationError

from supplychain.events.envelope import Envelope

from .models import GENESIS, ChainHead, StoredEvent
from .services import link

CHUNK = 2000
_COLUMNS = (
    "event_id",
    "event_type",
    "event_version",
    "producer",
    "subject",
    "sequence",
    "correlation_id",
    "causation_id",
    "timestamp",
)


def chain_faults() -> Iterator[tuple[int, str | None]]:
    """Walk the chain up to the head it has now; gives (position, fault or None) for each row,
    and one fault for each run of missing rows. What others append meanwhile is left alone.

    Whoever may write to the database can rewrite the whole chain with its head: keep the
    head that `audit verify` prints somewhere else to find that too.
    """
    head = ChainHead.objects.filter(pk=1).first() or ChainHead()
    expected, previous = 1, GENESIS
    for row in _rows(head.position):
        if row.position > expected:
            yield expected, _missing(expected, row.position - 1)
        yield row.position, _fault(row, previous, follows=row.position == expected)
        expected, previous = row.position + 1, row.hash
    if expected <= head.position:
        yield expected, f"{_missing(expected, head.position)} at the end of the chain"
    elif previous != head.hash:
        yield head.position, "changed: its hash is not the one that the chain's head has"
    for position in _beyond_head():
        yield position, "added beyond the chain's head"


def _rows(last: int) -> Iterator[StoredEvent]:
    """In slices by position, and not with a cursor: no long transaction, no copy on the server.
    Sound because rows never change."""
    rows = StoredEvent.objects.filter(position__lte=last).order_by("position")
    piece = list(rows[:CHUNK])
    while piece:
        yield from piece
        piece = list(rows.filter(position__gt=piece[-1].position)[:CHUNK])


def _beyond_head() -> QuerySet[StoredEvent, int]:
    """One statement, hence one view of both tables, while others go on appending."""
    end = Subquery(ChainHead.objects.filter(pk=1).values("position"))
    rows = StoredEvent.objects.filter(position__gt=Coalesce(end, 0)).order_by("position")
    return rows.values_list("position", flat=True)[:CHUNK]


def _missing(first: int, last: int) -> str:
    return "missing" if first == last else f"missing, up to {last}"


def _fault(row: StoredEvent, previous: str, *, follows: bool) -> str | None:
    if row.position < 1:
        return "added: positions begin at 1"
    if link(row.previous_hash, row.position, row.body) != row.hash:
        return "changed: its hash is not that of its body and position"
    if follows and row.previous_hash != previous:
        return "changed: it does not follow from the row before it"
    return _column_fault(row)


def _column_fault(row: StoredEvent) -> str | None:
    try:
        told = Envelope.model_validate_json(row.body)
    except ValidationError:
        return "changed: its body is not an event"
    differing = [name for name in _COLUMNS if getattr(row, name) != getattr(told, name)]
    return f"changed: {', '.join(differing)} not as in its body" if differing else None


def sequence_gaps() -> QuerySet[StoredEvent, Any]:
    """Aggregates whose numbers are not exactly 1…n: an event of theirs is missing or doubled.

    Dictionaries of producer, subject, stored, distinct, first and last. None proves that
    nothing was lost up to each aggregate's last stored event.
    """
    return (
        StoredEvent.objects.order_by()
        .values("subject", "producer")
        .annotate(
            stored=Count("sequence"),
            distinct=Count("sequence", distinct=True),
            first=Min("sequence"),
            last=Max("sequence"),
        )
        .filter(~Q(first=1) | ~Q(last=F("stored")) | ~Q(distinct=F("stored")))
        .order_by("subject", "producer")
    )


def journey(key: str) -> QuerySet[StoredEvent]:
    """All events of one journey, by its correlation id or by any subject in it (order/…)."""
    subjects = [key, f"order/{key}", f"shipment/{key}", f"route/{key}"]
    about = StoredEvent.objects.order_by().filter(subject__in=subjects)
    # Fetched, because an OR with a subquery keeps PostgreSQL from using the index.
    ids = {key, *about.values_list("correlation_id", flat=True).distinct()}
    return StoredEvent.objects.filter(correlation_id__in=ids).order_by("timestamp", "position")
