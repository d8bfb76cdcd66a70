"""Promise: the figures that tell an operator of a stuck relay, worker or broker; see
supplychain/metrics.py for how they are served and bounded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from amqp.exceptions import ChannelError
from django.conf import settings
from django.db.models import Count, Q
from django.utils import timezone
from kombu import Connection
from prometheus_client.metrics_core import Metric

from supplychain.metrics import capped, figures, figures_of_others, gauge, gauges

from . import topology
from .models import DeadLetter, OutboxEvent, SuspectDelivery

#: Seconds for each step with the broker, and for all together.
STEP_PATIENCE, PATIENCE = 1.0, 3.0
_PENDING = Q(published_at=None, parked_at=None)


@figures
def outbox() -> Iterator[Metric]:
    pending = OutboxEvent.objects.filter(_PENDING)
    oldest = pending.order_by("pk").values_list("created_at", flat=True).first()
    age = (timezone.now() - oldest).total_seconds() if oldest else 0.0
    parked = OutboxEvent.objects.filter(parked_at__isnull=False)
    yield gauge("supplychain_outbox_pending", "Events that wait for the relay.", capped(pending))
    yield gauge("supplychain_outbox_parked", "Events that can't be published.", capped(parked))
    yield gauge("supplychain_outbox_oldest_seconds", "How long the oldest has waited.", age)


@figures
def held_back() -> Iterator[Metric]:
    """Apart from the rest of the outbox, because it looks at every pending row."""
    rows = OutboxEvent.objects.filter(_PENDING, not_before__gt=timezone.now())
    yield gauge("supplychain_outbox_held_back", "Events refused and tried again.", capped(rows))


@figures
def dead_letters() -> Iterator[Metric]:
    unresolved = [DeadLetter.State.OPEN, DeadLetter.State.REDRIVING]
    rows = DeadLetter.objects.filter(state__in=unresolved).order_by()
    groups = rows.values_list("state", "queue", "reason").annotate(count=Count("pk"))
    yield gauges(
        "supplychain_dead_letters",
        "Dead letters that somebody has to decide on, or that wait to be redriven.",
        ["state", "queue", "reason"],
        [((state, queue, reason), count) for state, queue, reason, count in groups],
    )


@figures
def suspects() -> Iterator[Metric]:
    rows = SuspectDelivery.objects.all()
    text = "Redelivered messages that were started and have not ended."
    yield gauge("supplychain_suspect_deliveries", text, capped(rows))


@figures_of_others
def broker() -> Iterator[Metric]:
    """The broker's own view; without queues when it is away."""
    try:
        depths = queue_depths()
    except _connection_errors():
        yield gauge("supplychain_broker_up", "Whether the broker answers.", 0)
        return
    yield gauge("supplychain_broker_up", "Whether the broker answers.", 1)
    messages = [([name], ready) for name, (ready, _) in depths.items()]
    users = [([name], count) for name, (_, count) in depths.items()]
    yield gauges("supplychain_queue_messages", "Messages ready in a queue.", ["queue"], messages)
    yield gauges("supplychain_queue_consumers", "Consumers of a queue.", ["queue"], users)


def queue_depths() -> dict[str, tuple[int, int]]:
    """Queue → messages ready and consumers; a queue that is not there is left out.

    Raises a connection error when the broker doesn't answer within the patience.
    """
    found = {}
    until = time.monotonic() + PATIENCE
    with _connection() as connection:
        connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
        channel = connection.channel()
        for queue in topology.topology().queues:
            if time.monotonic() > until:
                raise TimeoutError("The broker answers too slowly.")
            try:
                answer = channel.queue_declare(queue.name, passive=True)
                found[queue.name] = (answer.message_count, answer.consumer_count)
            except ChannelError:  # not declared; the broker has closed the channel
                channel = connection.channel()
    return found


def _connection() -> Connection:
    limits: dict[str, Any] = {"read_timeout": STEP_PATIENCE, "write_timeout": STEP_PATIENCE}
    options = {} if settings.EMBEDDED else limits
    url = settings.CELERY_BROKER_URL
    return Connection(url, connect_timeout=STEP_PATIENCE, heartbeat=0, transport_options=options)


def _connection_errors() -> tuple[type[BaseException], ...]:
    known = _connection()
    return (OSError, *known.connection_errors, *known.channel_errors)
