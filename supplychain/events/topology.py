"""Promise: what the broker holds is derived from the declared consumers, declared the same by
whoever comes first, and never silently different from what this code expects.

One topic exchange per publishing domain; one quorum queue per consuming domain, bound to the
event types that its consumers subscribe to, and one for each kind of plain task that has a queue
of its own (CELERY_TASK_ROUTES); one home exchange by which a message reaches one queue and no
other; one dead-letter queue for each; a ladder of delay queues.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from amqp.exceptions import PreconditionFailed
from django.conf import settings
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


def work_queues() -> list[str]:
    """The domains', and those to which only plain tasks are sent: each has a worker."""
    return sorted({*queue_names(), *(to["queue"] for to in settings.CELERY_TASK_ROUTES.values())})


def work_queue(name: str) -> Queue:
    """At-least-once dead-lettering needs reject-publish (RabbitMQ docs, "Quorum Queues", section
    "At-Least-Once Dead Lettering")."""
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
    return [work_queue(name) for name in work_queues()]


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
            *(_dead_letter_queue(name, dead) for name in work_queues()),
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


def prune(connection: Connection) -> None:
    """Unbind what no consumer subscribes to any more: its events would go on coming, and die.

    The broker can't be asked over AMQP what is bound, but to unbind what isn't is no error: so
    everything that this code could have bound and doesn't want is unbound. It is for whoever
    rolls out a version, after declare(), and for nobody else: a process of the version before
    would take the new one's subscriptions away, and with them its events.
    """
    wanted = set(topology().bindings)
    with connection.channel() as channel:
        for binding in _possible_bindings():
            if binding not in wanted:
                channel.queue_unbind(binding.queue, binding.exchange, binding.routing_key)


def _possible_bindings() -> Iterator[Binding]:
    """Every event type, and everything of each producer, in every queue."""
    keys = {(e.producer, key) for e in event_classes() for key in (e.event_type, "#")}
    for queue in queue_names():
        yield from (Binding(producer, queue, key) for producer, key in sorted(keys))


def _declare(entity: Exchange | Queue, channel: StdChannel) -> None:
    try:
        entity(channel).declare()
    except PreconditionFailed as conflict:
        kind = "queue" if isinstance(entity, Queue) else "exchange"
        raise TopologyConflict(
            f"The {kind} {entity.name!r} is in the broker with other arguments than this version "
            f"declares ({conflict.reply_text}). {_advice(entity)}"
        ) from conflict


def _advice(entity: Exchange | Queue) -> str:
    """Nothing may be published meanwhile: what finds no queue or binding there is not kept."""
    command = f"`manage.py topology --recreate {entity.name}`"
    if isinstance(entity, Exchange):
        return f"Stop all relays and workers, then run {command}: it replaces the exchange."
    return (
        "Stop the relays (events then wait in the outbox), let workers of the version before "
        f"empty the queue, stop them, then run {command}: it replaces an empty queue and refuses "
        "a full one."
    )


def recreate(connection: Connection, name: str) -> None:
    """Delete what differs of a queue or exchange of ours, so that it can be declared anew.

    Raises TopologyConflict while a queue holds messages or has consumers: nothing is thrown
    away. A domain's exchange and queue have one name, so the one that is as it should be stays.
    """
    wanted = topology()
    called = [entity for entity in (*wanted.exchanges, *wanted.queues) if entity.name == name]
    if not called:
        raise TopologyConflict(f"{name!r} is no queue or exchange of this system.")
    for entity in called:
        if _differs(connection, entity):
            with connection.channel() as channel:
                _delete(channel, entity)


def _differs(connection: Connection, entity: Exchange | Queue) -> bool:
    with connection.channel() as channel:
        bound = entity(channel)
        try:
            # A queue without its exchange, which may differ, too.
            bound.queue_declare() if isinstance(entity, Queue) else bound.declare()
        except PreconditionFailed:
            return True
    return False


def _delete(channel: Any, entity: Exchange | Queue) -> None:
    """Quorum queues of RabbitMQ 3.10 don't honour if-empty, so look first."""
    if isinstance(entity, Exchange):
        channel.exchange_delete(entity.name)
        return
    _, messages, users = channel.queue_declare(entity.name, passive=True)
    if messages or users:
        raise TopologyConflict(
            f"{entity.name} holds {messages} messages and has {users} consumers; it is replaced "
            "only when both are 0. Stop the relays, let its worker empty it, then stop the worker."
        )
    channel.queue_delete(entity.name)
