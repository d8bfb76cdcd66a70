"""Orders per second from accepted to reserved and registered for planning, and until every
consumer has had every event; ours against the plain pipeline, same handlers, same load."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from django.db.models import Count, Sum

from analytics.models import EventCount
from audit.models import StoredEvent
from inventory.models import Allocation, Reservation
from orders.models import Order, Status
from routing.models import Shipment
from supplychain.operations.children import Children

from . import world
from .figures import Figure, Tick
from .pipelines import OURS, PLAIN, place, running

ORDERS = 2000
ROUNDS = 3
PARTS = 2 * ROUNDS
PATIENCE = 600.0


def measure(folder: Path, tick: Tick) -> list[Figure]:
    reserved: dict[str, list[float]] = {OURS: [], PLAIN: []}
    complete: dict[str, list[float]] = {OURS: [], PLAIN: []}
    with world.broker() as broker:
        for _ in range(ROUNDS):
            for kind in (OURS, PLAIN):
                with running(kind, folder, broker, ORDERS) as children:
                    [began] = place(kind, "throughput", ORDERS)
                    reserved[kind].append(_rate(children, began, _registered, "reservations"))
                    complete[kind].append(_rate(children, began, _all_told, "all consumers"))
                tick(kind)
        world.empty(broker)
    return [
        _figure("orders/s, accepted to reserved and registered", reserved, 1.0),
        _figure("orders/s, until every consumer is done", complete, None),
    ]


def _figure(what: str, rates: dict[str, list[float]], goal: float | None) -> Figure:
    ours, plain = median(rates[OURS]), median(rates[PLAIN])
    return Figure("throughput", what, ours, "plain Celery", plain, goal)


def _rate(children: Children, began: float, done: Callable[[], bool], what: str) -> float:
    children.wait_until(done, PATIENCE, what)
    return ORDERS / (time.time() - began)


def _registered() -> bool:
    if Order.objects.exclude(status=Status.PLACED).count() < ORDERS:
        return False
    shipments = Reservation.objects.aggregate(n=Count("shipment_id", distinct=True))["n"]
    return bool(Shipment.objects.count() == shipments)


def _all_told() -> bool:
    """The aggregates' counters say how many events there have been."""
    emitted = sum(
        model._default_manager.aggregate(n=Sum("event_sequence"))["n"] or 0
        for model in (Order, Allocation, Shipment)
    )
    counted = EventCount.objects.aggregate(n=Sum("count"))["n"]
    return bool(StoredEvent.objects.count() == emitted == counted)
