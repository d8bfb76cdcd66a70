"""Promise: a message that came off a queue ends in exactly one way: its effects are committed
once, or it waits in the broker for its next attempt, or it is a dead letter with its reason.
Only then does the caller acknowledge it.

If this process dies anywhere in here the broker delivers again, and the inbox makes of the
repetition what it should be: nothing.
"""

from __future__ import annotations

import base64
import logging
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connection, transaction
from pydantic import ValidationError

from supplychain.errors import SupplyChainError

from . import context, inbox
from .base import Event
from .consumers import Consumer, consumer_for
from .envelope import read_body
from .names import DEAD_EXCHANGE, HOME_EXCHANGE
from .wire import Outgoing, Wire, publish_or_raise


class Unsubscribed(SupplyChainError):
    """Nobody in this queue subscribed to this event type."""

    permanent = True


class KillsWorkers(SupplyChainError):
    """Its handler never came to an end: each time, its worker process died."""

    permanent = True


class DatabaseAway(SupplyChainError):
    """The database is away; the messages wait in the broker until it is back."""


logger = logging.getLogger(__name__)
T = TypeVar("T")

#: A redelivered message that was started this often and never ended is quarantined.
MAX_SUSPECT_STARTS = 3
#: Seconds that a worker waits for a lost database before it puts its messages back for PUT_BACK
#: seconds. Far below the task's time limit, which would cut the wait short.
DATABASE_PATIENCE, PUT_BACK = 60.0, 15.0
#: Conflicts of concurrent transactions are run again at once, this often.
CONFLICT_RERUNS = 5
_CONFLICTS = {"40001", "40P01"}  # serialization_failure, deadlock_detected

#: What this process has done since it started.
counters: Counter[str] = Counter()

#: Set when the process is asked to end, so that no wait outlives it.
shutting_down = threading.Event()


@dataclass(frozen=True)
class Message:
    """A message as it came off a queue."""

    queue: str
    body: bytes
    headers: dict[str, Any]
    redelivered: bool = False
    content_type: str = "application/json"

    def to_json(self) -> list[Any]:
        """A JSON value for the way to a pool process; bytes that aren't text are encoded."""
        try:
            text, encoded = self.body.decode(), False
        except UnicodeDecodeError:
            text, encoded = base64.b64encode(self.body).decode(), True
        return [self.queue, text, encoded, self.headers, self.redelivered, self.content_type]

    @classmethod
    def from_json(cls, value: list[Any]) -> Message:
        queue, text, encoded, headers, redelivered, content_type = value
        body = base64.b64decode(text) if encoded else text.encode()
        return cls(queue, body, headers, redelivered, content_type)

    @property
    def retries(self) -> int:
        """Failed attempts so far."""
        retries = self.headers.get("retries")
        return retries if isinstance(retries, int) else 0


@dataclass
class Outcome:
    """What became of a job's messages."""

    handled: int = 0
    duplicates: int = 0
    retried: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        return {
            "handled": self.handled,
            "duplicate": self.duplicates,
            "retried": len(self.retried),
            "dead": len(self.dead),
        }

    def __str__(self) -> str:
        text = ", ".join(f"{count} {word}" for word, count in self.counts().items() if count)
        return "; ".join([text or "nothing", *self.dead, *self.retried])


@dataclass(frozen=True)
class _Opened:
    message: Message
    event: Event


def handle(consumer: Consumer | None, messages: Sequence[Message], wire: Wire) -> Outcome:
    """Handle messages of one queue; ``consumer`` is None for what nobody subscribed to.

    Raises when not every message is settled, BrokerUnavailable for one; then nothing may be
    acknowledged.
    """
    job = _Job(consumer, wire)
    try:
        job.run(messages)
    finally:
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
    counters.update(job.outcome.counts())
    return job.outcome


class _Job:
    def __init__(self, consumer: Consumer | None, wire: Wire) -> None:
        self.consumer = consumer
        self.outcome = Outcome()
        self._wire = wire
        self._outgoing: list[Outgoing] = []
        self._passed_on: set[int] = set()  # by id(): equal messages may come twice

    def run(self, messages: Sequence[Message]) -> None:
        try:
            self._handle(messages)
        except DatabaseAway as away:
            self._put_back(messages, away)
        if self._outgoing:
            publish_or_raise(self._wire, self._outgoing)

    def _handle(self, messages: Sequence[Message]) -> None:
        opened = [found for message in messages if (found := self._open(message))]
        fresh = [found for found in opened if not found.message.redelivered]
        suspects = [found for found in opened if found.message.redelivered]
        if fresh:
            self._apply(fresh)
        for suspect in suspects:
            self._apply_suspect(suspect)

    def _open(self, message: Message) -> _Opened | None:
        try:
            event = _read(message)
        except Exception as unreadable:  # noqa: BLE001 - any of them makes a dead letter
            self._bury(message, "unreadable", unreadable)
            return None
        if self.consumer is None:
            reason = f"Nobody subscribed to {event.event_type} in the queue {message.queue}."
            self._bury(message, "unsubscribed", Unsubscribed(reason))
            return None
        return _Opened(message, event)

    def _apply(self, batch: list[_Opened]) -> None:
        try:
            patiently(lambda: self._commit(batch))
        except DatabaseAway:
            raise
        except Exception as failure:  # noqa: BLE001 - each becomes a retry or a dead letter
            if len(batch) == 1:
                self._fail(batch[0].message, failure)
                return
            # One of them is the cause: alone, each succeeds or fails on its own account.
            for single in batch:
                self._apply([single])

    def _apply_suspect(self, suspect: _Opened) -> None:
        """A redelivered message runs alone and its start is counted first."""
        assert self.consumer is not None
        name, event_id = self.consumer.name, suspect.event.envelope.event_id
        starts = patiently(lambda: inbox.start_suspect(name, event_id))
        if starts > MAX_SUSPECT_STARTS:
            error = KillsWorkers(f"{starts - 1} times its worker process died while handling it.")
            self._bury(suspect.message, "killed_worker", error)
        else:
            self._apply([suspect])
        patiently(lambda: inbox.clear_suspect(name, event_id))

    def _commit(self, batch: list[_Opened]) -> None:
        """Inbox rows, business rows and new events in one transaction."""
        assert self.consumer is not None
        with transaction.atomic():
            ids = [found.event.envelope.event_id for found in batch]
            new = inbox.claim(self.consumer.name, ids)
            events = list({e.event.envelope.event_id: e.event for e in batch}.values())
            events = [event for event in events if event.envelope.event_id in new]
            if events:
                with context.using(_common_context(events)):
                    self.consumer.call(events)
        self.outcome.handled += len(events)
        self.outcome.duplicates += len(batch) - len(events)

    def _put_back(self, messages: Sequence[Message], away: DatabaseAway) -> None:
        """All that is not passed on yet waits in the broker, at no attempt's cost. Of what was
        handled before the database went away the inbox knows."""
        left = [message for message in messages if id(message) not in self._passed_on]
        logger.warning("%s: %d put back for %.0f s", away, len(left), PUT_BACK)
        for message in left:
            self.outcome.retried.append(str(away))
            self._send_home(message, message.headers, PUT_BACK)

    def _send_home(self, message: Message, headers: dict[str, Any], delay: float) -> None:
        """To the queue that it came from, later."""
        self._passed_on.add(id(message))
        self._outgoing.append(
            Outgoing(
                HOME_EXCHANGE,
                message.queue,
                message.body,
                _clean(headers),
                message.content_type,
                delay,
            )
        )

    def _fail(self, message: Message, failure: Exception) -> None:
        assert self.consumer is not None
        attempts = message.retries + 1
        if _is_permanent(failure):
            self._bury(message, "permanent", failure)
        elif attempts >= self.consumer.retry.attempts:
            self._bury(message, "exhausted", failure)
        else:
            delay = self.consumer.retry.delay(attempts)
            summary = f"{type(failure).__name__}: {failure} (attempt {attempts})"
            logger.warning("%s: retry in %.1f s: %s", self.consumer.name, delay, summary)
            self.outcome.retried.append(summary)
            self._send_home(message, {**message.headers, "retries": attempts}, delay)

    def _bury(self, message: Message, reason: str, failure: Exception) -> None:
        self._passed_on.add(id(message))
        name = self.consumer.name if self.consumer else ""
        logger.error("%s: dead letter (%s): %s", name or message.queue, reason, failure)
        self.outcome.dead.append(f"{type(failure).__name__}: {failure}"[:500])
        headers = {
            **_clean(message.headers),
            "dead_reason": reason,
            "dead_queue": message.queue,
            "dead_consumer": name,
            "dead_attempts": message.retries + 1,
            "dead_exception": type(failure).__qualname__,
            "dead_message": str(failure)[:4000],
            "dead_traceback": "".join(traceback.format_exception(failure))[-16000:],
        }
        self._outgoing.append(
            Outgoing(DEAD_EXCHANGE, message.queue, message.body, headers, message.content_type)
        )


def _read(message: Message) -> Event:
    return read_body(message.body).open()


def _clean(headers: dict[str, Any]) -> dict[str, Any]:
    """Without the broker's own marks, which would make it see a cycle."""
    return {k: v for k, v in headers.items() if not k.startswith(("x-", "dead_"))}


def _common_context(events: list[Event]) -> context.Context:
    """A single event is the cause of all that happens; in a batch the service names causes."""
    if len(events) == 1:
        return context.caused_by(events[0].envelope)
    return context.Context()


def _is_permanent(failure: Exception) -> bool:
    return bool(getattr(failure, "permanent", False)) or isinstance(failure, ValidationError)


def patiently(action: Callable[[], T], patience: float = DATABASE_PATIENCE) -> T:
    """Run a transaction; wait out a lost database and rerun a lost conflict.

    A database that is away is nobody's failed attempt: burning retries would make a second
    outage, of dead letters, out of the first.
    """
    deadline = time.monotonic() + patience
    wait, conflicts = 0.1, 0
    while True:
        try:
            return action()
        except (OperationalError, InterfaceError) as failure:
            if connection.in_atomic_block:
                raise
            if _is_conflict(failure):
                conflicts += 1
                if conflicts > CONFLICT_RERUNS:
                    raise
                continue
            if connection.connection is not None and connection.is_usable():
                raise
            connection.close()
            if time.monotonic() > deadline or shutting_down.wait(wait):
                raise DatabaseAway from failure
            logger.warning("The database is away, waiting: %s", str(failure).strip())
            wait = min(wait * 2, 5.0)


def _is_conflict(failure: Exception) -> bool:
    code = getattr(failure.__cause__, "pgcode", None)
    return code in _CONFLICTS or "database is locked" in str(failure)


def route(queue: str, headers: dict[str, Any]) -> Consumer | None:
    """The consumer that a message on this queue is for, by its headers alone."""
    event_type = headers.get("task")
    return consumer_for(queue, event_type) if isinstance(event_type, str) else None
