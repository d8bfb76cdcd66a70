"""Promise: every committed event reaches the broker, at least once, in its aggregate's order;
a relay or broker that dies loses nothing, and one event that can't be published holds up no
other aggregate.

A round claims pending rows (``FOR UPDATE SKIP LOCKED``: relays share the work without
agreeing on anything), publishes them as one confirmed batch, marks them and commits. A relay
that dies in between leaves the rows pending; what it had published arrives twice, and the
inboxes absorb that.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from . import deadletters, wakeup
from .envelope import Envelope, task_body, task_headers
from .handling import Message
from .models import InboxEntry, OutboxEvent
from .wire import HELD_BACK, BrokerUnavailable, Outgoing, Wire

logger = logging.getLogger(__name__)

BATCH = 2000
MANY_OTHERS = 5000
#: Seconds. After its last find the relay looks once more after LINGER, then waits for a
#: notification, and looks every SLOW_POLL whatever happens.
LINGER = 2 * wakeup.GAP
SLOW_POLL = 1.0
#: A refused event is tried this often, with growing pauses (seconds), then parked.
PUBLISH_ATTEMPTS = 10
PUBLISH_BASE, PUBLISH_CAP = 1.0, 60.0
RECONNECT_CAP = 10.0
#: Seconds between two clean-ups, and between two parts of a large one.
TRIM_EVERY, TRIM_PAUSE = 60.0, 0.5
TRIM_BATCH = 5000

#: The columns that a message is made of; the others are for the rare failure.
_TO_SEND = ("subject", "producer", "event_type", "envelope")
_PENDING = Q(published_at=None, parked_at=None)


class Relay:
    """One relay. ``run()`` returns after ``stop()``, with the round under way completed."""

    def __init__(self, wire: Wire, *, batch: int = BATCH) -> None:
        self._wire = wire
        self._most = self._batch = batch
        self._stop = threading.Event()
        self._alarm_in, self._alarm_out = os.pipe()
        self._next_trim = 0.0
        self.published = 0

    def stop(self) -> None:
        """May be called from a signal handler or another thread."""
        self._stop.set()
        wakeup.local.set()
        os.write(self._alarm_out, b"!")

    def raise_if_stopped(self) -> None:
        """For waits before run(): leave them when the relay is asked to end."""
        if self._stop.is_set():
            raise SystemExit(0)

    def run(self) -> None:
        waiter = _Waiter(self._alarm_in)
        trouble = 0.0
        try:
            while not self._stop.is_set():
                try:
                    waiter.prepare()
                    self._rounds(waiter)
                    trouble = 0.0
                except (BrokerUnavailable, OperationalError, InterfaceError) as failure:
                    trouble = min(RECONNECT_CAP, trouble * 2 or 0.25)
                    logger.warning("Waiting %.1f s: %s", trouble, str(failure).strip())
                    connection.close()
                    waiter.close()
                    self._stop.wait(trouble)
        finally:
            waiter.close()
            self._wire.close()
            connection.close()

    def _rounds(self, waiter: _Waiter) -> None:
        """Rounds until the outbox is empty, then wait; returns now and then for a health check."""
        lingered = False
        while not self._stop.is_set():
            if self.step():
                lingered = False
            elif not lingered:
                # After a notification others may follow unannounced, for as long as GAP.
                lingered = not waiter.wait(LINGER)
            else:
                waiter.wait(SLOW_POLL)
                return
            self._trim_sometimes()

    def step(self) -> int:
        """One round; gives how many rows it dealt with. Raises BrokerUnavailable."""
        try:
            with transaction.atomic():
                rows = claim(self._batch)
                if rows:
                    self._publish(rows)
        except BrokerUnavailable as lost:
            if isinstance(lost.__cause__, TimeoutError):
                raise  # the broker is silent, and no message to blame
            # Should a single message be what breaks the connection, ever smaller batches
            # corner it; its neighbours get through meanwhile.
            self._batch = max(1, self._batch // 4)
            if self._batch == 1:
                self._blame_first()
            raise
        self._batch = min(self._most, self._batch * 2)
        return len(rows)

    def _publish(self, rows: Sequence[OutboxEvent]) -> None:
        now = timezone.now()
        messages, broken = _messages(rows)
        refused = self._wire.publish(messages)
        sent = [row for row in rows if row.pk not in broken]
        failures = broken | {sent[index].pk: reason for index, reason in refused.items()}
        done = [row.pk for row in rows if row.pk not in failures]
        _mark_published(done, now)
        for row in rows:
            if failures.get(row.pk, HELD_BACK) != HELD_BACK:
                _record_failure(row, failures[row.pk])
        self.published += len(done)

    def _blame_first(self) -> None:
        """The connection broke while one lone event was being published: count it against it,
        unless the broker is simply away."""
        try:
            self._wire.publish([])
        except BrokerUnavailable:
            return
        with transaction.atomic():
            for row in claim(1):
                _record_failure(row, "the connection broke when this event was published")

    def _trim_sometimes(self) -> None:
        """A little at a time: events go out meanwhile, and a wish to end is heard."""
        if time.monotonic() >= self._next_trim:
            more = trim_some() >= TRIM_BATCH
            self._next_trim = time.monotonic() + (TRIM_PAUSE if more else TRIM_EVERY)


def claim(limit: int) -> list[OutboxEvent]:
    """Lock up to ``limit`` publishable rows, oldest first, in the caller's transaction.

    A row waits as long as an earlier row of its subject is pending elsewhere: locked by
    another relay, or held back after a failure. That keeps each aggregate's order.
    """
    ready = OutboxEvent.objects.filter(_PENDING).order_by("pk").only(*_TO_SEND)
    ready = ready.filter(Q(not_before=None) | Q(not_before__lte=timezone.now()))
    held = OutboxEvent.objects.filter(_PENDING, not_before__gt=timezone.now())
    if held.exists():
        before = held.filter(subject=OuterRef("subject"), pk__lt=OuterRef("pk"))
        ready = ready.filter(~Exists(before))
    if connection.features.has_select_for_update_skip_locked:
        ready = ready.select_for_update(skip_locked=True)
    rows = list(ready[:limit])
    if not rows:
        return []
    earlier = _earliest_of_others(rows)
    return [row for row in rows if row.pk < earlier.get(row.subject, row.pk + 1)]


def _earliest_of_others(rows: Sequence[OutboxEvent]) -> dict[str, int]:
    """By subject: the first pending row before the last of these that is not one of them."""
    others = OutboxEvent.objects.filter(_PENDING, pk__lt=rows[-1].pk).order_by("pk")
    if others.count() < len(rows):
        return {}  # all of them are these
    # Mostly they are those of one other relay: cheaper to read than to ask for each
    # subject. Only when a great many are held back it is the other way round.
    found = list(others.values_list("subject", "pk")[: len(rows) + MANY_OTHERS])
    if len(found) == len(rows) + MANY_OTHERS:
        subjects = {row.subject for row in rows}
        found = list(others.filter(subject__in=subjects).values_list("subject", "pk"))
    mine = {row.pk for row in rows}
    earliest: dict[str, int] = {}
    for subject, pk in found:
        if pk not in mine:
            earliest.setdefault(subject, pk)
    return earliest


def _mark_published(keys: Sequence[int], now: datetime) -> None:
    """On PostgreSQL with one array instead of a thousand parameters, and without waiting for the
    disk: a mark that a power cut takes away means that the events go out once more."""
    if connection.vendor != "postgresql":
        OutboxEvent.objects.filter(pk__in=keys).update(published_at=now)
        return
    table = connection.ops.quote_name(OutboxEvent._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit TO off")
        cursor.execute(
            f"UPDATE {table} SET published_at = %s WHERE id = ANY(%s)",  # noqa: S608
            [now, list(keys)],
        )


def _messages(rows: Sequence[OutboxEvent]) -> tuple[list[Outgoing], dict[int, str]]:
    """The messages to send, and the rows of which none can be made (row id → reason)."""
    messages, broken, stuck = [], {}, set()
    for row in rows:
        if row.subject in stuck:
            broken[row.pk] = HELD_BACK
            continue
        try:
            messages.append(message_of(row))
        except ValueError as unreadable:
            broken[row.pk] = f"the stored envelope is damaged: {unreadable}"
            stuck.add(row.subject)
    return messages, broken


def message_of(row: OutboxEvent) -> Outgoing:
    """The wire form of an outbox row; raises ValueError when its envelope is damaged."""
    envelope = Envelope.model_validate_json(row.envelope)
    return Outgoing(
        exchange=row.producer,
        routing_key=row.event_type,
        body=task_body(row.envelope),
        headers=task_headers(envelope),
        order=row.subject,
    )


def _record_failure(row: OutboxEvent, reason: str) -> None:
    row.attempts += 1
    row.last_error = reason
    if row.attempts >= PUBLISH_ATTEMPTS:
        _park(row)
    else:
        pause = min(PUBLISH_CAP, PUBLISH_BASE * 2.0 ** (row.attempts - 1))
        row.not_before = timezone.now() + timedelta(seconds=pause)
        logger.warning("%s refused (%s), again in %.0f s", row, reason, pause)
    row.save(update_fields=["attempts", "last_error", "not_before", "parked_at"])


def _park(row: OutboxEvent) -> None:
    """Give up on publishing; the event becomes a dead letter and lets its successors pass."""
    logger.error("%s could not be published in %d attempts: parked", row, row.attempts)
    row.parked_at = timezone.now()
    headers = {
        "task": row.event_type,
        "event_id": str(row.event_id),
        "dead_reason": deadletters.UNPUBLISHABLE,
        "dead_queue": row.producer,
        "dead_consumer": "relay",
        "dead_message": row.last_error,
        "dead_attempts": row.attempts,
    }
    deadletters.ingest(Message(row.producer, task_body(row.envelope).encode(), headers))


def trim() -> int:
    """Delete published outbox rows and inbox rows past their retention; gives how many."""
    total = 0
    while some := trim_some():
        total += some
    return total


def trim_some() -> int:
    """One small transaction for each table, so that a clean-up of millions locks and bloats
    nothing for long."""
    now = timezone.now()
    old_events = OutboxEvent.objects.filter(published_at__lt=now - settings.OUTBOX_RETENTION)
    old_entries = InboxEntry.objects.filter(handled_at__lt=now - settings.INBOX_RETENTION)
    return _delete_some(old_events) + _delete_some(old_entries)


def _delete_some(rows: Any) -> int:
    batch = list(rows.order_by("pk").values_list("pk", flat=True)[:TRIM_BATCH])
    return int(rows.model.objects.filter(pk__in=batch).delete()[0]) if batch else 0


class _Waiter:
    """Waits for a commit: LISTEN on PostgreSQL, an Event within one process else."""

    def __init__(self, alarm: int) -> None:
        self._alarm = alarm
        self._listening: Any = None

    def prepare(self) -> None:
        """Listen before the first look, so that no commit falls between look and wait."""
        if connection.vendor != "postgresql":
            return
        connection.ensure_connection()
        if self._listening is not connection.connection:
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {wakeup.CHANNEL}")
            self._listening = connection.connection

    def wait(self, seconds: float) -> bool:
        """Gives whether a commit was announced."""
        if self._listening is None:
            heard = wakeup.local.wait(seconds)
            wakeup.local.clear()
            return heard
        raw = self._listening
        raw.poll()
        if not raw.notifies:
            readable, _, _ = select.select([raw, self._alarm], [], [], seconds)
            if raw in readable:
                raw.poll()
        heard = bool(raw.notifies)
        raw.notifies.clear()
        return heard

    def close(self) -> None:
        self._listening = None
