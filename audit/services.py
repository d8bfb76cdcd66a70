"""Promise: every event of every domain is kept once, in one chain in which each row vouches for
the one before it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from supplychain.events import Event

from .models import ChainHead, StoredEvent


def link(previous_hash: str, position: int, body: str) -> str:
    """The hash of a row: SHA-256 over its predecessor's hash, its position and its body."""
    return hashlib.sha256(f"{previous_hash}\n{position}\n{body}".encode()).hexdigest()


@transaction.atomic
def record(*, events: Sequence[Event]) -> int:
    """Append events; one that is stored already is left out. Gives how many were new.

    Four statements, however many events; writers take turns at the chain's head.
    """
    head = _lock_head()
    stored = StoredEvent.objects.filter(event_id__in=[e.envelope.event_id for e in events])
    known = set(stored.values_list("event_id", flat=True))
    rows = []
    for event in events:
        if event.envelope.event_id not in known:
            known.add(event.envelope.event_id)
            rows.append(_append(head, event))
    if rows:
        StoredEvent.objects.bulk_create(rows)
        head.save(update_fields=["position", "hash"])
    return len(rows)


def _lock_head() -> ChainHead:
    """It is missing only before the first event ever (and after a test's flush)."""
    locked = ChainHead.objects.select_for_update()
    head = locked.filter(pk=1).first()
    if head is None:
        ChainHead.objects.bulk_create([ChainHead()], ignore_conflicts=True)
        head = locked.get(pk=1)
    return head


def _append(head: ChainHead, event: Event) -> StoredEvent:
    envelope = event.envelope
    body = envelope.to_json()
    previous, head.position = head.hash, head.position + 1
    head.hash = link(previous, head.position, body)
    return StoredEvent(
        position=head.position,
        event_id=envelope.event_id,
        event_type=envelope.event_type,
        event_version=envelope.event_version,
        producer=envelope.producer,
        subject=envelope.subject,
        sequence=envelope.sequence,
        correlation_id=envelope.correlation_id,
        causation_id=envelope.causation_id,
        timestamp=envelope.timestamp,
        recorded_at=timezone.now(),
        body=body,
        previous_hash=previous,
        hash=head.hash,
    )
