"""Peak resident memory of the relay and of a worker while many events wait: it should be flat."""

from __future__ import annotations

from pathlib import Path

from django.db import transaction

from audit.models import StoredEvent
from orders.events import OrderPlaced
from supplychain.events import outbox
from supplychain.events.models import OutboxEvent
from supplychain.native.processes import family
from supplychain.operations.children import Children

from . import world
from .figures import Figure, Tick
from .pipelines import OURS, environment
from .relaying import envelopes

FEW, MANY = 5_000, 50_000
PARTS = 2
PATIENCE = 300.0
MOST_MB = 200.0


def measure(folder: Path, tick: Tick) -> list[Figure]:
    peaks: dict[int, tuple[float, float]] = {}
    with world.broker() as broker:
        for count in (FEW, MANY):
            world.empty(broker)
            for piece in world.chunks(envelopes(count), 1000):
                with transaction.atomic():
                    outbox.record(OrderPlaced, piece)
            with Children(folder, environment(OURS)) as children:
                peaks[count] = _relay(children, count), _worker(children, count)
            tick(f"{count:,} events")
        world.empty(broker)
    found = []
    for part, name in enumerate(("relay", "worker (largest process)")):
        few, many = peaks[FEW][part], peaks[MANY][part]
        found += [
            Figure("memory", f"MB, {name}, {MANY:,} pending", many, "", None, MOST_MB, most=True),
            Figure("memory", f"MB, {name}, {MANY:,} pending", many, f"{FEW:,} pending", few),
        ]
    return found


def _relay(children: Children, count: int) -> float:
    child = children.relay()
    waiting = OutboxEvent.objects.filter(published_at=None)
    children.wait_until(lambda: not waiting.exists(), PATIENCE, f"{count} events to be published")
    peak = _peak_mb(child.process.pid)
    child.stop()
    children.running.remove(child)
    return peak


def _worker(children: Children, count: int) -> float:
    """Of audit: every event passes through it, in the largest batches."""
    child = children.worker("audit", 1)
    stored = StoredEvent.objects.order_by()
    children.wait_until(lambda: stored.count() == count, PATIENCE, f"{count} events to be stored")
    return max(_peak_mb(pid) for pid in family(child.process.pid))


def _peak_mb(pid: int) -> float:
    """VmHWM, the most that was ever resident (proc(5))."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)
