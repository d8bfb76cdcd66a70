"""Promise: ``deliver()`` moves events exactly as the relay and the workers would, through the
real wire format and the real handling, only without a broker between them.

A retry is delivered again at once, its delay is not waited for; dead letters become rows.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.utils import timezone

from . import deadletters
from .consumers import Consumer, subscribers
from .envelope import Envelope, task_body, task_headers
from .handling import Message, handle, route
from .models import OutboxEvent
from .names import DEAD_EXCHANGE
from .wire import Outgoing

__all__ = ["Delivered", "deliver", "message_of", "redeliver"]


@dataclass
class Delivered:
    """What deliver() did: events by type, and handled, duplicate, retried, dead counts."""

    events: Counter[str] = field(default_factory=Counter)
    handled: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    retried: int = 0
    dead: int = 0


class _DirectWire:
    def __init__(self) -> None:
        self.waiting: deque[Message] = deque()

    def publish(self, messages: Sequence[Outgoing]) -> dict[int, str]:
        for sent in messages:
            body = sent.body.encode() if isinstance(sent.body, str) else sent.body
            arrived = Message(sent.routing_key, body, dict(sent.headers), False, sent.content_type)
            if sent.exchange == DEAD_EXCHANGE:
                deadletters.ingest(arrived)
            else:
                self.waiting.append(arrived)
        return {}

    def close(self) -> None:
        """Nothing is open."""


def message_of(envelope: Envelope, consumer: Consumer, *, redelivered: bool = False) -> Message:
    """The message that this consumer's queue would hold for an event."""
    body = task_body(envelope.to_json()).encode()
    return Message(consumer.queue, body, task_headers(envelope), redelivered)


def deliver(limit: int = 100_000) -> Delivered:
    """Publish what the outbox holds to every subscriber, until nothing is left to do.

    Raises AssertionError after ``limit`` messages, which only an event loop can reach.
    """
    wire, done = _DirectWire(), Delivered()
    while True:
        _drain_outbox(wire, done)
        if not wire.waiting:
            return done
        while wire.waiting:
            limit -= 1
            assert limit > 0, "deliver() runs in circles: events cause each other for ever"
            _handle_one(wire, wire.waiting.popleft(), done)


def redeliver(envelope: Envelope) -> Delivered:
    """Deliver one event again to all its subscribers, as a broker may, and what follows."""
    wire, done = _DirectWire(), Delivered()
    for subscribed in subscribers(envelope.event_type):
        _handle_one(wire, message_of(envelope, subscribed, redelivered=True), done)
    rest = deliver()
    done.events += rest.events
    done.handled += rest.handled
    done.duplicates += rest.duplicates
    return done


def _drain_outbox(wire: _DirectWire, done: Delivered) -> None:
    pending = OutboxEvent.objects.filter(published_at=None, parked_at=None).order_by("id")
    for row in pending:
        envelope = Envelope.model_validate_json(row.envelope)
        done.events[row.event_type] += 1
        wire.waiting.extend(message_of(envelope, c) for c in subscribers(row.event_type))
    pending.update(published_at=timezone.now())


def _handle_one(wire: _DirectWire, message: Message, done: Delivered) -> None:
    consumer = route(message.queue, message.headers)
    outcome = handle(consumer, [message], wire)
    done.handled[consumer.name if consumer else message.queue] += outcome.handled
    done.duplicates += outcome.duplicates
    done.retried += len(outcome.retried)
    done.dead += len(outcome.dead)
