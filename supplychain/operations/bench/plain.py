"""The pipeline that people write today, as the bench's peer: the same services and handlers, with
``task.delay()`` on commit, one task per event and subscriber, no outbox, no inbox, no batches,
no confirms, acknowledged before they run. What dies with a process is lost."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from supplychain.celery import app
from supplychain.events.base import Event, event_classes
from supplychain.events.consumers import Consumer, consumers, subscribers
from supplychain.events.envelope import Envelope
from supplychain.events.models import InboxEntry

#: With it a task notes when it began, for the bench of latency.
NOTE_STARTS = os.environ.get("BENCH_NOTE_STARTS") == "true"


def install() -> None:
    """Put this in the place of the event machinery, in this process."""
    app.conf.task_queues = None
    for event_type in event_classes():
        event_type.signal.disconnect(dispatch_uid="outbox")
        event_type.signal.connect(delay, dispatch_uid="plain")
    for consumer in consumers():
        _register(consumer)


def queue_of(consumer: Consumer) -> str:
    return f"plain.{consumer.queue}"


def delay(sender: type[Event], envelopes: list[Envelope], **_: Any) -> None:
    """Signal receiver in place of the outbox."""
    for envelope in envelopes:
        body = envelope.to_json()
        for consumer in subscribers(envelope.event_type):
            task = app.tasks[f"plain.{consumer.name}"]
            send = partial(task.apply_async, (body,), queue=queue_of(consumer))
            transaction.on_commit(send)


def _register(consumer: Consumer) -> None:
    def run(body: str) -> None:
        envelope = Envelope.model_validate_json(body)
        if NOTE_STARTS:
            InboxEntry.objects.create(
                consumer=consumer.name, event_id=envelope.event_id, handled_at=timezone.now()
            )
        with transaction.atomic():
            consumer.call([envelope.open()])

    app.task(
        name=f"plain.{consumer.name}",
        autoretry_for=(Exception,),
        max_retries=5,
        retry_backoff=True,
        ignore_result=True,
    )(run)
