"""A warehouse's worth of stock levels and of ledger lines: does asking what can be promised stay
as quick, and does verifying the books stay as small, however many there are?"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import quantiles

from django.db import connection

from inventory.promising import promise
from supplychain.errors import SupplyChainError

from . import world
from .figures import Figure, Tick
from .reserve import SEED

FEW, MANY = 10_000, 1_000_000
WAREHOUSES = 4
ASKED, WARM_UP = 3_000, 200
AVAILABILITY_PARTS, VERIFICATION_PARTS = 2, 2
MOVEMENTS, PER_LEVEL = 1_000_000, 10
MOST_MB = 200.0


def availability(folder: Path, tick: Tick) -> list[Figure]:
    few = _asking(FEW)
    tick(f"{FEW:,} levels")
    many = _asking(MANY)
    tick(f"{MANY:,} levels")
    _empty()
    what = f"ms, availability p99, {MANY:,} levels"
    return [Figure("availability", what, many, f"{FEW:,} levels", few, 3.0, most=True)]


def _asking(levels: int) -> float:
    """p99 in ms, of one to three products at a time."""
    _fill(levels)
    chance = random.Random(SEED)  # noqa: S311 - a load, not a secret
    took = []
    for _ in range(ASKED + WARM_UP):
        numbers = chance.sample(range(1, levels // WAREHOUSES + 1), chance.randint(1, 3))
        lines = [(f"SKU-{number}", chance.randint(1, 12)) for number in numbers]
        began = time.perf_counter()
        promise(lines=lines, latitude=-23.5, longitude=-46.6)
        took.append((time.perf_counter() - began) * 1000)
    return quantiles(took[WARM_UP:], n=100)[98]


def verification(folder: Path, tick: Tick) -> list[Figure]:
    _fill(MOVEMENTS // PER_LEVEL)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO inventory_stockmovement (level_id, bucket, delta, reason, reference, "
            "actor, note, correlation_id, at) SELECT l.id, 'on_hand', 1, 'receipt', n::text, "
            "'bench', '', '', now() FROM inventory_stocklevel l, generate_series(1, %s) n",
            [PER_LEVEL],
        )
        cursor.execute("ANALYZE")
    tick(f"{MOVEMENTS:,} movements")
    began = time.perf_counter()
    peak = _verify()
    took = time.perf_counter() - began
    tick("verified")
    _empty()
    what = f"{MOVEMENTS:,} movements"
    return [
        Figure("verification", f"MB, stock verify, {what}", peak, "", None, MOST_MB, most=True),
        Figure("verification", f"s, stock verify, {what}", took),
    ]


def _verify() -> float:
    """Peak resident memory of the command, in MB."""
    child = subprocess.Popen(
        [sys.executable, "manage.py", "stock", "verify"], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SupplyChainError("The books that should be verified don't balance.")
    return usage.ru_maxrss / 1024


def _fill(levels: int) -> None:
    """As many levels of 10 units, of products in four warehouses."""
    _empty()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO inventory_warehouse (event_sequence, code, name, latitude, longitude, "
            "active, priority, time_zone, handling_cost, cost_per_km, count_every_days) "
            "SELECT 0, 'w' || n, 'w', -20 - n, -45 - n, true, 0, 'UTC', 0, 0, 90 "
            "FROM generate_series(1, %s) n",
            [WAREHOUSES],
        )
        cursor.execute(
            "INSERT INTO inventory_product (event_sequence, sku, name, weight_kg, volume_m3, "
            "storage_class, active) SELECT 0, 'SKU-' || n, 'thing', 1, 0.01, 'ambient', true "
            "FROM generate_series(1, %s) n",
            [levels // WAREHOUSES],
        )
        cursor.execute(
            "INSERT INTO inventory_stocklevel (event_sequence, warehouse_id, product_id, on_hand, "
            "reserved, quarantined, in_transit, safety_stock, reorder_point) "
            "SELECT 0, w.id, p.id, %s, 0, 0, 0, 0, 0 "
            "FROM inventory_product p, inventory_warehouse w",
            [PER_LEVEL],
        )
        cursor.execute("VACUUM ANALYZE")


def _empty() -> None:
    with world.broker() as broker:
        world.empty(broker)
