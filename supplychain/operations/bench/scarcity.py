"""Orders that are complete when stock is scarce: the optimiser's choice within batches of 100
against first come, first served. The demo's orders; for each batch there is three quarters of the
stock that it wants."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

from django.utils import timezone

from inventory.optimising import serve_all
from inventory.picking import PickDiary
from inventory.shelves import Demand, Shelves
from inventory.sourcing import Site
from supplychain.operations import scenario

from . import world
from .figures import Figure, Tick
from .reserve import BATCH, SEED

ORDERS, STOCKED = 2_000, 0.75
PARTS = 2
#: Enough for every batch: what it finds must not depend on how busy the machine is.
SECONDS = 10.0


def measure(folder: Path, tick: Tick) -> list[Figure]:
    orders = [_demand(body) for body in scenario.build(ORDERS).orders]
    first_come = _complete(orders, 0.0)
    tick("first come, first served")
    chosen = _complete(orders, SECONDS)
    tick("optimised")
    what = f"orders complete of {ORDERS:,}, scarce stock"
    return [Figure("scarcity", what, chosen, "first come", first_come, 1.0)]


def _complete(orders: list[Demand], seconds: float) -> int:
    batches = world.chunks(orders, BATCH)
    served = [serve_all(_shelves(batch), batch, seconds) for batch in batches]
    return sum(got.complete for batch in served for got in batch)


def _demand(body: dict[str, Any]) -> Demand:
    wanted: Counter[str] = Counter()
    for line in body["lines"]:
        wanted[line["sku"]] += line["quantity"]
    return Demand(wanted, body["ship_to"]["latitude"], body["ship_to"]["longitude"])


def _shelves(orders: list[Demand]) -> Shelves:
    """In the demo's warehouses, unevenly."""
    chance = random.Random(SEED)  # noqa: S311 - a load, not a secret
    wanted: Counter[str] = Counter()
    for order in orders:
        wanted.update(order.wanted)
    sites = [Site(key, *place[2:]) for key, place in enumerate(scenario.WAREHOUSES)]
    units: dict[int, dict[str, int]] = {site.key: {} for site in sites}
    for sku, count in sorted(wanted.items()):
        shares = [chance.random() for _ in sites]
        for site, share in zip(sites, shares, strict=True):
            units[site.key][sku] = int(count * STOCKED * share / sum(shares))
    today = timezone.now().date()
    return Shelves(sites, units, PickDiary({site.key: today for site in sites}))
