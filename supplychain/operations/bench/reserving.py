"""Lines reserved per second by 8 connections at once, a process each: batches of 100 orders
against the usual way, one transaction per order (usual.py). Same orders, same stock, same tables,
and afterwards the books must balance, with no deadlock and nothing begun again.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

from django.db import connection
from django.db.models import Sum

from inventory.models import Backorder, Reservation
from inventory.selectors import books_off
from inventory.services import ProductData, receive_stock, register_products, register_warehouse
from supplychain.errors import SupplyChainError

from . import reserve, world
from .figures import Figure, Tick

CONNECTIONS = 8
ROUNDS = 3
PARTS = 2 * ROUNDS
OURS, USUAL = "ours", "usual"


class BooksOff(SupplyChainError):
    """The bench's figures mean nothing: its books don't balance."""


def measure(folder: Path, tick: Tick) -> list[Figure]:
    with world.broker() as broker:
        world.empty(broker)
    _furnish()
    wanted = sum(line.quantity for event in reserve.orders() for line in event.lines)
    rates: dict[str, list[float]] = {OURS: [], USUAL: []}
    before, again = _deadlocks(), 0
    for _ in range(ROUNDS):
        for kind in (OURS, USUAL):
            _as_at_first()
            rate, more = _run(kind)
            rates[kind].append(rate)
            again += more
            _check(wanted)
            tick(kind)
    ours, usual = median(rates[OURS]), median(rates[USUAL])
    deadlocks = _deadlocks() - before
    with world.broker() as broker:
        world.empty(broker)
    return [
        Figure("reserving", "lines/s, 8 connections", ours, "one order each", usual, 5.0),
        Figure("reserving", "deadlocks", deadlocks, "", None, 0.0, most=True),
        Figure("reserving", "transactions begun again", again, "", None, 0.0, most=True),
    ]


def _furnish() -> None:
    """Enough of everything together, but a tenth of the levels is empty: some orders split."""
    chance = random.Random(reserve.SEED)  # noqa: S311 - a load, not a secret
    skus = [reserve.sku(number) for number in range(reserve.SKUS)]
    kilo, litre = Decimal("0.500"), Decimal("0.001")
    register_products(products=[ProductData(sku, f"thing {sku}", kilo, litre) for sku in skus])
    for code, latitude, longitude in reserve.WAREHOUSES:
        place = register_warehouse(
            code=code, name=code.title(), latitude=latitude, longitude=longitude
        )
        lines = [(sku, 1_000) for sku in skus if chance.random() < 0.9]
        receive_stock(warehouse=place, lines=lines, reference="opening", actor="bench")


def _as_at_first() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE inventory_reservation, inventory_backorder, inventory_allocation, "
            "events_outboxevent CASCADE"
        )
        cursor.execute("UPDATE inventory_stocklevel SET reserved = 0")
        cursor.execute("VACUUM FULL ANALYZE inventory_stocklevel")
        cursor.execute("ANALYZE")
        cursor.execute("CHECKPOINT")


def _run(kind: str) -> tuple[float, int]:
    """Lines per second and transactions begun again."""
    children = [_start(kind, number) for number in range(CONNECTIONS)]
    try:
        answers = _answers(children)
    finally:
        for child in children:
            child.kill()
            child.wait()
    took = max(a["ended"] for a in answers) - min(a["began"] for a in answers)
    return reserve.ORDERS * reserve.LINES / took, sum(a["again"] for a in answers)


def _answers(children: list[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    for child in children:
        assert child.stdout is not None
        if child.stdout.readline() != "ready\n":
            raise SupplyChainError("A process of the bench has died: see above.")
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    return [json.loads(child.communicate(timeout=600)[0]) for child in children]


def _start(kind: str, number: int) -> subprocess.Popen[str]:
    module = ["-m", "supplychain.operations.bench.reserve"]
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, *module, kind, str(number), str(CONNECTIONS)],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "supplychain.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _check(wanted: int) -> None:
    """Every unit that was ordered is reserved or waits, and the books balance."""
    if off := list(books_off()):
        raise BooksOff(f"{len(off)} levels are off: {off[0]}")
    parts = [
        rows.objects.aggregate(n=Sum("quantity"))["n"] or 0 for rows in (Reservation, Backorder)
    ]
    if sum(parts) != wanted:
        raise BooksOff(f"{wanted} units were ordered, {parts} are reserved and on backorder.")


def _deadlocks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])
