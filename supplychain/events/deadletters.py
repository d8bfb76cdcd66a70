"""Promise: what a consumer could not handle is kept, whole, with the reason, until somebody
redrives or discards it; a redriven message goes to the one queue it died on and is handled once.

open → redriving → redriven, or open → discarded; a second failure makes it open again.
"""

from __future__ import annotations

import hashlib
import logging
import math
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Case, F, Value, When
from django.utils import timezone

from supplychain.errors import SupplyChainError

from . import wakeup
from .consumers import consumer_for
from .envelope import MalformedMessage, read_body
from .handling import Message
from .models import DeadLetter, InboxEntry, OutboxEvent
from .names import HOME_EXCHANGE
from .topology import DELIVERY_LIMIT
from .wire import Outgoing, Wire

logger = logging.getLogger(__name__)

#: The reason of an event that the relay could not publish.
UNPUBLISHABLE = "unpublishable"


class DeadLetterNotOpen(SupplyChainError):
    """Only an open dead letter can be redriven or discarded."""

    permanent = True


class NothingToRedrive(SupplyChainError):
    """The event that could not be published is no longer parked in the outbox."""

    permanent = True


def ingest(message: Message) -> DeadLetter:
    """Keep a message from a dead-letter queue as a row; the same one again only updates it.

    Nothing that a message holds may make this fail: it would come back for ever and hold up
    all that is behind it.
    """
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
                state=_REOPENED,
                resolved_at=None,
                resolved_by="",
                last_seen_at=now,
                times_seen=F("times_seen") + 1,
            )
        if _was_handled(letter):
            DeadLetter.objects.filter(pk=letter.pk, state=DeadLetter.State.OPEN).update(
                state=DeadLetter.State.DISCARDED,
                resolved_at=now,
                resolved_by="system",
                note="It was handled: only its acknowledgement never came.",
            )
    return letter


def _was_handled(letter: DeadLetter) -> bool:
    """Whether the broker gave up a message whose effects are committed: its worker was killed
    between the commit and the acknowledgement, or beside others that were."""
    if letter.reason != "delivery_limit" or letter.event_id is None:
        return False
    consumer = consumer_for(letter.queue, letter.event_type)
    handled = InboxEntry.objects.filter(event_id=letter.event_id)
    return consumer is not None and handled.filter(consumer=consumer.name).exists()


#: What somebody has asked for and what is not yet done stays asked for.
_REOPENED = Case(
    When(state=DeadLetter.State.REDRIVING, then=Value(DeadLetter.State.REDRIVING)),
    default=Value(DeadLetter.State.OPEN),
)


def _facts(message: Message) -> dict[str, Any]:
    headers = message.headers
    known = _told_by_envelope(message.body) or {
        "event_id": _uuid(headers.get("event_id")),
        "event_type": headers.get("task"),
    }
    told = {
        **known,
        "queue": headers.get("dead_queue") or message.queue,
        "consumer": headers.get("dead_consumer"),
        "reason": headers.get("dead_reason") or _broker_reason(headers),
        "exception": headers.get("dead_exception"),
        "message": headers.get("dead_message") or _broker_message(headers),
        "traceback": headers.get("dead_traceback"),
        "content_type": message.content_type,
    }
    texts = {name: _text(told.get(name), _LENGTHS[name]) for name in _LENGTHS}
    return {
        **texts,
        "event_id": known["event_id"],
        "attempts": _attempts(headers),
        "body": message.body,
        "headers": {k: v for k, v in headers.items() if _is_plain(k, v)},
    }


#: The text columns, and how much fits in (None: any length).
_LENGTHS: dict[str, int | None] = {
    name: getattr(DeadLetter._meta.get_field(name), "max_length", None)
    for name in (
        "queue",
        "consumer",
        "event_type",
        "subject",
        "correlation_id",
        "reason",
        "exception",
        "message",
        "traceback",
        "content_type",
    )
}


def _text(value: Any, length: int | None = None) -> str:
    """What fits into a text column: PostgreSQL keeps no NUL and no half of a surrogate pair."""
    text = "" if value is None else str(value)
    text = text.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode()
    return text[:length]


def _attempts(headers: dict[str, Any]) -> int:
    """As told by the consumer. The broker tells only its reason: x-delivery-count begins anew
    in the dead-letter queue."""
    told = headers.get("dead_attempts")
    if _broker_reason(headers) == "delivery_limit" and told is None:
        told = DELIVERY_LIMIT + 1
    return min(told, _MOST) if isinstance(told, int) and told > 0 else 0


#: The largest number that PostgreSQL's integer holds.
_MOST = 2**31 - 1


def _told_by_envelope(body: bytes) -> dict[str, Any] | None:
    try:
        envelope = read_body(body)
    except MalformedMessage:
        return None
    return envelope.model_dump(include={"event_id", "event_type", "subject", "correlation_id"})


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _is_plain(name: str, value: Any) -> bool:
    """Whether a header can be kept as JSON and sent again; the broker's own marks can't."""
    if name.startswith("x-"):
        return False
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return value == _text(value) and name == _text(name)
    return value is None or isinstance(value, int)


def _broker_reason(headers: dict[str, Any]) -> str:
    """Why the broker itself dead-lettered it: delivery_limit, rejected, expired, maxlen."""
    deaths = headers.get("x-death")
    latest = deaths[0] if isinstance(deaths, list) and deaths else None
    return str(latest.get("reason") or "unknown") if isinstance(latest, dict) else "unknown"


def is_stale_tick(message: Message) -> bool:
    """A plain task that nobody took before it expired: beat's next ticks have come since, and
    it means nothing any more. An event never expires on its queue."""
    return _broker_reason(message.headers) == "expired" and "event_id" not in message.headers


def _broker_message(headers: dict[str, Any]) -> str:
    return f"The broker gave it up ({_broker_reason(headers)}); no consumer reported why."


def _fingerprint(message: Message, facts: dict[str, Any]) -> str:
    """By the body, which a retry or redrive never changes: two messages that claim one event
    id but say different things are both kept."""
    identity = hashlib.sha256(message.body).hexdigest()
    key = f"{facts['queue']}\n{facts['consumer']}\n{identity}"
    return hashlib.sha256(key.encode()).hexdigest()


def redrive(letter: DeadLetter, *, by: str = "", note: str = "") -> None:
    """Ask for an open dead letter to be handled again; raises DeadLetterNotOpen.

    Nothing is published here, so this can't hang on a broker that takes nothing: the
    dead-letter process does it (see send_redrives).
    """
    with transaction.atomic():
        locked = _lock_open(letter)
        if locked.reason == UNPUBLISHABLE:
            _unpark(locked)
            _resolve(locked, DeadLetter.State.REDRIVEN, by, note)
        else:
            _resolve(locked, DeadLetter.State.REDRIVING, by, note)


def send_redrives(wire: Wire, limit: int = 50) -> int:
    """Publish what was asked for, each to the queue that it died on; gives how many rows it
    dealt with. Raises BrokerUnavailable; then all are still asked for.

    The publish is confirmed before the rows say so. A crash between the two sends them once
    more, and the inbox absorbs that. What the broker refuses is open again, with its reason.
    """
    waiting = DeadLetter.objects.filter(state=DeadLetter.State.REDRIVING).order_by("pk")
    if not waiting.exists():  # the rule: look without a transaction, twice a second
        return 0
    with transaction.atomic():
        if connection.features.has_select_for_update_skip_locked:
            waiting = waiting.select_for_update(skip_locked=True)
        letters = list(waiting[:limit])
        refused = wire.publish([_message_again(letter) for letter in letters])
        for index, letter in enumerate(letters):
            _settle(letter, refused.get(index))
    return len(letters)


def _message_again(letter: DeadLetter) -> Outgoing:
    headers = {k: v for k, v in letter.headers.items() if not k.startswith("dead_")}
    headers["retries"] = 0
    body = bytes(letter.body)
    return Outgoing(HOME_EXCHANGE, letter.queue, body, headers, letter.content_type)


def _settle(letter: DeadLetter, refusal: str | None) -> None:
    if refusal is None:
        letter.state = DeadLetter.State.REDRIVEN
    else:
        logger.error("Dead letter %s could not be redriven: %s", letter.pk, refusal)
        letter.state, letter.note = DeadLetter.State.OPEN, _text(f"Not redriven: {refusal}", 500)
        letter.resolved_at, letter.resolved_by = None, ""
    letter.save(update_fields=["state", "resolved_at", "resolved_by", "note"])


def discard(letter: DeadLetter, *, by: str = "", note: str = "") -> None:
    """Decide that a dead letter needs nothing more; the row stays. Raises DeadLetterNotOpen."""
    with transaction.atomic():
        _resolve(_lock_open(letter), DeadLetter.State.DISCARDED, by, note)


def _unpark(letter: DeadLetter) -> None:
    """An event that never got out goes by the relay again, to all its subscribers."""
    parked = OutboxEvent.objects.filter(parked_at__isnull=False)
    again = {"parked_at": None, "not_before": None, "attempts": 0}
    if letter.event_id is None or not parked.filter(event_id=letter.event_id).update(**again):
        raise NothingToRedrive(f"The outbox holds no parked event {letter.event_id} any more.")
    transaction.on_commit(wakeup.wake_relay)


def _lock_open(letter: DeadLetter) -> DeadLetter:
    locked = DeadLetter.objects.select_for_update().get(pk=letter.pk)
    if locked.state != DeadLetter.State.OPEN:
        raise DeadLetterNotOpen(f"Dead letter {locked.pk} is already {locked.state}.")
    return locked


def _resolve(letter: DeadLetter, state: str, by: str, note: str) -> None:
    letter.state, letter.resolved_by = state, _text(by, 150)
    letter.note = _text(note, 500)
    letter.resolved_at = timezone.now()
    letter.save(update_fields=["state", "resolved_at", "resolved_by", "note"])
