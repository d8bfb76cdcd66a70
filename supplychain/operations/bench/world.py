"""What every bench needs: an empty system, a world of orders, figures of the broker."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from kombu import Connection

from orders.management.commands.create_channel import Command as CreateChannel
from orders.models import CatalogueItem, Channel
from supplychain.events import topology
from supplychain.events.models import OutboxEvent
from supplychain.operations import scenario
from supplychain.operations.furnish import furnish as make


def empty(broker: Connection) -> None:
    """No rows, no messages."""
    call_command("flush", interactive=False, verbosity=0)
    wanted = topology.declare(broker)
    with broker.channel() as channel:
        for queue in wanted.queues:
            channel.queue_purge(queue.name)


def broker() -> Connection:
    return Connection(settings.CELERY_BROKER_URL)


def depth(broker: Connection, queue: str) -> int:
    """Messages ready in a queue."""
    with broker.channel() as channel:
        return int(channel.queue_declare(queue, passive=True).message_count)


def furnish(orders: int) -> tuple[Channel, list[dict[str, Any]]]:
    """Warehouses, products and stock for ``orders`` orders, all of them known everywhere; gives
    the channel and the bodies. What this tells is not part of any bench and is thrown away."""
    world = scenario.build(orders)
    make(world, actor="bench")
    _know(world)
    with transaction.atomic():
        OutboxEvent.objects.all().delete()
    CreateChannel.channel_token("bench")
    return Channel.objects.get(code="bench"), world.orders


def _know(world: scenario.Scenario) -> None:
    """Orders' catalogue and routing's depots, as their consumers would have made them."""
    from routing.models import Depot

    CatalogueItem.objects.bulk_create(
        CatalogueItem(sku=p["sku"], name=p["name"], active=True, sequence=1) for p in world.products
    )
    Depot.objects.bulk_create(
        Depot(code=code, name=name, latitude=latitude, longitude=longitude, sequence=1)
        for code, name, latitude, longitude in scenario.WAREHOUSES
    )


def analyze() -> None:
    """Statistics as a system has them that has run for a while."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while piece := list(itertools.islice(rest, size)):
        yield piece
