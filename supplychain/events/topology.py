"""Promise: what the broker holds is derived from the declared consumers, declared the same by
whoever comes first, and never silently different from what this code expects.

One topic exchange per publishing domain; one quorum queue per consuming domain, bound to the
event types that its consumers subscribe to; one home exchange by which a message reaches one
queue and no other; one dead-letter queue per domain; a ladder of delay queues.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from amqp.exceptions import PreconditionFailed
from kombu import Connection, Exchange, Queue
from kombu.transport.base import StdChannel

from supplychain.errors import SupplyChainError

from .base import event_classes
from .consumers import consumers, queue_names
from .names import (
    DEAD_EXCHANGE,
    DELAY_LEVELS,
    HOME_EXCHANGE,
    dead_queue,
    delay_name,
)

#: A safety net only: a message that kills its workers is quarantined by our own count first
#: (see models.SuspectDelivery), which does not punish its neighbours in the prefetch buffer.
DELIVERY_LIMIT = 20


class TopologyConflict(SupplyChainError):
    """A queue or exchange exists in the broker with other arguments than this code declares."""

    permanent = True


@dataclass(frozen=True)
class Binding:
    exchange: str
    queue: str
    routing_key: str


@dataclass(frozen=True)
class Topology:
    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]


def home() -> Exchange:
    return Exchange(HOME_EXCHANGE, type="direct", durable=True)


def work_queue(name: str) -> Queue:
    """A domain's queue. At-least-once dead-lettering needs reject-publish (RabbitMQ docs,
    "Quorum Queues", section "At-Least-Once Dead Lettering")."""
    return Queue(
        name,
        home(),
        routing_key=name,
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": DEAD_EXCHANGE,
            "x-dead-letter-routing-key": name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )


def celery_queues() -> list[Queue]:
    """What Celery's workers consume from and plain tasks are sent to."""
    return [work_queue(name) for name in queue_names()]


def topology() -> Topology:
    producers = sorted({event_type.producer for event_type in event_classes()})
    dead = Exchange(DEAD_EXCHANGE, type="direct", durable=True)
    levels = [Exchange(delay_name(level), type="fanout", durable=True) for level in DELAY_LEVELS]
    return Topology(
        exchanges=(
            *(Exchange(name, type="topic", durable=True) for name in producers),
            home(),
            dead,
            *levels,
        ),
        queues=(
            *celery_queues(),
            *(_dead_letter_queue(name, dead) for name in queue_names()),
            *(_delay_queue(n, exchange) for n, exchange in zip(DELAY_LEVELS, levels, strict=True)),
        ),
        bindings=tuple(_bindings(producers)),
    )


def _dead_letter_queue(name: str, exchange: Exchange) -> Queue:
    arguments = {"x-queue-type": "quorum"}
    return Queue(dead_queue(name), exchange, routing_key=name, queue_arguments=arguments)


def _delay_queue(level: int, exchange: Exchange) -> Queue:
    """Messages wait here and expire into the home exchange; their key is their queue's name."""
    arguments = {
        "x-queue-type": "quorum",
        "x-message-ttl": level * 1000,
        "x-dead-letter-exchange": HOME_EXCHANGE,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    return Queue(delay_name(level), exchange, routing_key="", queue_arguments=arguments)


def _bindings(producers: list[str]) -> Iterator[Binding]:
    for declared in consumers():
        if declared.everything:
            yield from (Binding(producer, declared.queue, "#") for producer in producers)
        else:
            for event_type in declared.types:
                yield Binding(event_type.producer, declared.queue, event_type.event_type)


def declare(connection: Connection) -> Topology:
    """Declare everything, idempotently; raises TopologyConflict with what to do."""
    wanted = topology()
    with connection.channel() as channel:
        for exchange in wanted.exchanges:
            _declare(exchange, channel)
        for queue in wanted.queues:
            _declare(queue, channel)
        for binding in wanted.bindings:
            Queue(binding.queue, channel=channel).bind_to(
                exchange=Exchange(binding.exchange, type="topic"), routing_key=binding.routing_key
            )
    return wanted


def _declare(entity: Exchange | Queue, channel: StdChannel) -> None:
    try:
        entity(channel).declare()
    except PreconditionFailed as conflict:
        kind = "queue" if isinstance(entity, Queue) else "exchange"
        raise TopologyConflict(
            f"The {kind} {entity.name!r} is in the broker with other arguments than this version "
            f"declares ({conflict.reply_text}). Stop the processes that use it, then run "
            f"`manage.py topology --recreate {entity.name}`: it replaces an empty {kind} and "
            f"refuses a full one."
        ) from conflict


def recreate(connection: Connection, name: str) -> None:
    """Delete an unused, empty queue (or an exchange of ours) so that it can be declared anew.

    Raises TopologyConflict while it holds messages or has consumers: nothing is thrown away.
    """
    wanted = topology()
    with connection.channel() as channel:
        try:
            if any(queue.name == name for queue in wanted.queues):
                _delete_empty(channel, name)
            elif any(exchange.name == name for exchange in wanted.exchanges):
                channel.exchange_delete(name)
            else:
                raise TopologyConflict(f"{name!r} is no queue or exchange of this system.")
        except PreconditionFailed as refused:
            raise TopologyConflict(
                f"{name} is still in use or not empty ({refused.reply_text}). Stop its worker's "
                "publishers, let the worker empty it, stop the worker, and try again."
            ) from refused


def _delete_empty(channel: Any, name: str) -> None:
    """Quorum queues of RabbitMQ 3.10 don't honour if-empty, so look first."""
    _, messages, users = channel.queue_declare(name, passive=True)
    if messages or users:
        raise TopologyConflict(
            f"{name} holds {messages} messages and has {users} consumers; it is replaced only "
            "when both are 0. Let its worker empty it, then stop the worker."
        )
    channel.queue_delete(name)
