"""From an order's commit to the start of its first handler, at a load that leaves the machine
idle most of the time: what a single order waits for."""

from __future__ import annotations

from pathlib import Path
from statistics import quantiles
from uuid import UUID

from django.db.models import Min

from supplychain.events.models import InboxEntry

from . import world
from .figures import Figure, Tick
from .pipelines import OURS, PLAIN, place, running

#: At 10 a second; the first ones, which find everything cold, don't count.
ORDERS, WARM_UP = 220, 20
PARTS = 2


def measure(folder: Path, tick: Tick) -> list[Figure]:
    waits: dict[str, tuple[float, float]] = {}
    with world.broker() as broker:
        for kind in (OURS, PLAIN):
            with running(kind, folder, broker, ORDERS) as children:
                committed = {UUID(pk): at for pk, at in place(kind, "latency", ORDERS)}
                mine = InboxEntry.objects.filter(event_id__in=committed).order_by()
                events = mine.values("event_id").distinct()
                children.wait_until(lambda: events.count() == ORDERS, 60, "first handlers")  # noqa: B023
                waits[kind] = _waits(committed)
            tick(kind)
        world.empty(broker)
    (p50, p99), (plain50, plain99) = waits[OURS], waits[PLAIN]
    return [
        Figure("latency", "ms, commit to first handler, p50", p50, "", None, 25.0, most=True),
        Figure("latency", "ms, commit to first handler, p50", p50, "plain Celery", plain50),
        Figure("latency", "ms, commit to first handler, p99", p99, "plain Celery", plain99),
    ]


def _waits(committed: dict[UUID, float]) -> tuple[float, float]:
    """p50 and p99 in ms."""
    rows = InboxEntry.objects.filter(event_id__in=committed).order_by()
    starts = dict(
        rows.values("event_id").annotate(at=Min("handled_at")).values_list("event_id", "at")
    )
    warm = list(committed.items())[WARM_UP:]
    waits = [(starts[pk].timestamp() - at) * 1000 for pk, at in warm]
    percentiles = quantiles(waits, n=100)
    return percentiles[49], percentiles[98]
