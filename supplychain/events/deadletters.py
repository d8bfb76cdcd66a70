"""Promise: what a consumer could not handle is kept, whole, with the reason, until somebody
redrives or discards it; a redriven message goes to the one queue it died on and is handled once.
"""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from supplychain.errors import SupplyChainError

from .envelope import Envelope, MalformedMessage, read_body
from .handling import Message
from .models import DeadLetter, OutboxEvent
from .names import HOME_EXCHANGE
from .wire import Outgoing, Wire, publish_or_raise

#: The reason of an event that the relay could not publish.
UNPUBLISHABLE = "unpublishable"


class DeadLetterNotOpen(SupplyChainError):
    """Only an open dead letter can be redriven or discarded."""

    permanent = True


def ingest(message: Message) -> DeadLetter:
    """Keep a message from a dead-letter queue as a row; the same one again only updates it."""
    now = timezone.now()
    facts = _facts(message)
    with transaction.atomic():
        letter, created = DeadLetter.objects.get_or_create(
            fingerprint=_fingerprint(message, facts),
            defaults={**facts, "first_seen_at": now, "last_seen_at": now},
        )
        if not created:
            DeadLetter.objects.filter(pk=letter.pk).update(
                **facts,
                state=DeadLetter.State.OPEN,
                resolved_at=None,
                resolved_by="",
                last_seen_at=now,
                times_seen=F("times_seen") + 1,
            )
    return letter


def _facts(message: Message) -> dict[str, Any]:
    headers = message.headers
    envelope = _envelope_of(message.body)
    return {
        "queue": headers.get("dead_queue") or message.queue,
        "consumer": headers.get("dead_consumer") or "",
        "event_id": envelope.event_id if envelope else _uuid(headers.get("event_id")),
        "event_type": envelope.event_type if envelope else str(headers.get("task") or "")[:120],
        "subject": envelope.subject if envelope else "",
        "correlation_id": envelope.correlation_id if envelope else "",
        "reason": headers.get("dead_reason") or _broker_reason(headers),
        "exception": headers.get("dead_exception") or "",
        "message": _text(headers.get("dead_message") or _broker_message(headers)),
        "traceback": _text(headers.get("dead_traceback") or ""),
        "attempts": headers.get("dead_attempts") or int(headers.get("x-delivery-count") or 0),
        "body": message.body,
        "headers": {k: v for k, v in headers.items() if _is_plain(v) and k[:2] != "x-"},
        "content_type": message.content_type or "",
    }


def _text(value: Any) -> str:
    """PostgreSQL keeps no NUL in a text."""
    return str(value).replace("\x00", "\\0")


def _envelope_of(body: bytes) -> Envelope | None:
    try:
        return read_body(body)
    except MalformedMessage:
        return None


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" not in value
    return value is None or isinstance(value, int | float | bool)


def _broker_reason(headers: dict[str, Any]) -> str:
    """Why the broker itself dead-lettered it: delivery_limit, rejected, expired, maxlen."""
    deaths = headers.get("x-death") or []
    return str(deaths[0].get("reason", "unknown")) if deaths else "unknown"


def _broker_message(headers: dict[str, Any]) -> str:
    return f"The broker gave it up ({_broker_reason(headers)}); no consumer reported why."


def _fingerprint(message: Message, facts: dict[str, Any]) -> str:
    """By the body, which a retry or redrive never changes: two messages that claim one event
    id but say different things are both kept."""
    identity = hashlib.sha256(message.body).hexdigest()
    key = f"{facts['queue']}\n{facts['consumer']}\n{identity}"
    return hashlib.sha256(key.encode()).hexdigest()


def redrive(letter: DeadLetter, wire: Wire, *, by: str = "", note: str = "") -> None:
    """Send an open dead letter back to the queue it died on; raises DeadLetterNotOpen.

    The publish is confirmed before the row says so. A crash between the two leaves the row
    open, and a second redrive then is a duplicate that the inbox absorbs.
    """
    with transaction.atomic():
        locked = _lock_open(letter)
        if locked.reason == UNPUBLISHABLE:
            _unpark(locked)
            _resolve(locked, DeadLetter.State.REDRIVEN, by, note)
            return
        headers = {k: v for k, v in locked.headers.items() if not k.startswith("dead_")}
        headers["retries"] = 0
        body = bytes(locked.body)
        back = Outgoing(HOME_EXCHANGE, locked.queue, body, headers, locked.content_type)
        publish_or_raise(wire, [back])
        _resolve(locked, DeadLetter.State.REDRIVEN, by, note)


def discard(letter: DeadLetter, *, by: str = "", note: str = "") -> None:
    """Decide that a dead letter needs nothing more; the row stays. Raises DeadLetterNotOpen."""
    with transaction.atomic():
        _resolve(_lock_open(letter), DeadLetter.State.DISCARDED, by, note)


def _unpark(letter: DeadLetter) -> None:
    """An event that never got out goes by the relay again, to all its subscribers."""
    assert letter.event_id is not None
    parked = OutboxEvent.objects.filter(event_id=letter.event_id, parked_at__isnull=False)
    parked.update(parked_at=None, not_before=None, attempts=0)


def _lock_open(letter: DeadLetter) -> DeadLetter:
    locked = DeadLetter.objects.select_for_update().get(pk=letter.pk)
    if locked.state != DeadLetter.State.OPEN:
        raise DeadLetterNotOpen(f"Dead letter {locked.pk} is already {locked.state}.")
    return locked


def _resolve(letter: DeadLetter, state: str, by: str, note: str) -> None:
    letter.state, letter.resolved_by, letter.note = state, by, note[:500]
    letter.resolved_at = timezone.now()
    letter.save(update_fields=["state", "resolved_at", "resolved_by", "note"])
