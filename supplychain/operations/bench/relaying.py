"""The relay, from pending rows to confirmed and marked, against kombu as people use it: messages
made and serialised one by one, without confirms, and with a confirm awaited after each.

Both send the same events to the same exchange, which copies them to the same four queues.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from kombu import Connection, Producer

from orders import events as tell
from supplychain.events import outbox
from supplychain.events.context import new_id
from supplychain.events.envelope import Envelope, task_headers
from supplychain.events.relay import Relay
from supplychain.events.wires import open_wire
from supplychain.operations import scenario

from . import world
from .figures import Figure, Tick

EVENTS = 20_000
#: The slowest peer gets fewer: its rate doesn't depend on their number.
ONE_BY_ONE = 2_000
ROUNDS = 3
PARTS = 3 * ROUNDS


def measure(folder: Path, tick: Tick) -> list[Figure]:
    with world.broker() as broker:
        rates: dict[str, list[float]] = {"relay": [], "no confirms": [], "one by one": []}
        for _ in range(ROUNDS):
            world.empty(broker)
            events = envelopes(EVENTS)
            rates["relay"].append(_relay(events))
            tick("relay")
            _purge(broker)
            rates["no confirms"].append(_kombu(events, confirm=False))
            tick("kombu without confirms")
            _purge(broker)
            rates["one by one"].append(_kombu(events[:ONE_BY_ONE], confirm=True))
            tick("kombu, confirm per message")
        world.empty(broker)
    relay, plain, single = (median(rates[name]) for name in rates)
    return [
        Figure("relay", "events/s, confirmed and marked", relay, "kombu, no confirms", plain, 0.8),
        Figure("relay", "events/s, confirmed and marked", relay, "confirm each", single, 4.0),
    ]


def envelopes(count: int) -> list[Envelope]:
    """Of as many orders; made beforehand, since both sides need them."""
    bodies = scenario.build(200).orders
    return [_envelope(bodies[n % len(bodies)]) for n in range(count)]


def _envelope(body: dict[str, Any]) -> Envelope:
    now = timezone.now()
    event = tell.OrderPlaced(
        order_id=new_id(),
        channel="bench",
        external_id=body["external_id"],
        customer=tell.Customer(**body["customer"]),
        ship_to=tell.Address(**body["ship_to"]),
        lines=[tell.OrderLine(**line) for line in body["lines"]],
        currency="BRL",
        total=Decimal(sum(Decimal(x["unit_price"]) * x["quantity"] for x in body["lines"])),
        placed_at=now,
    )
    return Envelope(
        event_id=new_id(),
        event_type=event.event_type,
        event_version=event.event_version,
        timestamp=now,
        producer=event.producer,
        subject=event.subject,
        sequence=1,
        correlation_id=str(new_id()),
        data=event.model_dump(mode="json"),
    )


def _relay(envelopes: list[Envelope]) -> float:
    for piece in world.chunks(envelopes, 1000):
        with transaction.atomic():
            outbox.record(tell.OrderPlaced, piece)
    world.analyze()
    relay = Relay(open_wire())
    relay.step()  # connects
    return _rate(len(envelopes) - relay.published, lambda: _drain(relay))


def _drain(relay: Relay) -> None:
    while relay.step():
        pass


def _kombu(envelopes: list[Envelope], *, confirm: bool) -> float:
    ready = [(task_headers(e), json.loads(e.to_json()), e.event_type) for e in envelopes]
    options = {"confirm_publish": confirm}
    with Connection(settings.CELERY_BROKER_URL, transport_options=options) as connection:
        producer = Producer(connection.channel())

        def send() -> None:
            for headers, data, key in ready:
                producer.publish(
                    [[data], {}, {"callbacks": None, "errbacks": None}],
                    exchange="orders",
                    routing_key=key,
                    headers=headers,
                    serializer="json",
                    delivery_mode=2,
                )
            # In order on one channel: when this is answered, all before has arrived.
            producer.channel.queue_declare("audit", passive=True)

        return _rate(len(ready), send)


def _rate(count: int, action: Callable[[], None]) -> float:
    """Both sides without the garbage collector's walks over what this process holds besides."""
    gc.collect()
    gc.freeze()
    began = time.perf_counter()
    action()
    return count / (time.perf_counter() - began)


def _purge(broker: Connection) -> None:
    with broker.channel() as channel:
        for queue in ("audit", "analytics", "inventory", "notifications"):
            channel.queue_purge(queue)
