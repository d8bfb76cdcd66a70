"""The demo's world: real places, and warehouses, products, stock and orders from a seeded
generator, made so that some orders split, some wait for stock or for their confirmation, and
some are taken back, all or in part."""

from __future__ import annotations

import csv
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

PLACES = Path(__file__).parent / "sample" / "places.csv"
SEED = 20261124
ORDERS = 520
PRODUCTS = 60

TIME_ZONE = "America/Sao_Paulo"
#: Code, name, latitude, longitude.
WAREHOUSES = (
    ("GUARULHOS", "Guarulhos", -23.4628, -46.5333),
    ("CAMPINAS", "Campinas", -22.9056, -47.0608),
    ("SANTOS", "Santos", -23.9608, -46.3336),
)
#: GeoNames' codes of the states.
_REGIONS = {"27": "SP", "15": "MG", "21": "RJ"}
_KINDS = (
    "lamp",
    "kettle",
    "chair",
    "radio",
    "blanket",
    "clock",
    "drill",
    "basket",
    "mirror",
    "pan",
)
_NAMES = ("Ana", "Bruno", "Carla", "Diego", "Elisa", "Fabio", "Gisele", "Hugo", "Iris", "João")


@dataclass
class Scenario:
    """Stock per (warehouse, SKU); order bodies as a channel posts them; what happens to some."""

    products: list[dict[str, Any]] = field(default_factory=list)
    stock: dict[str, dict[str, int]] = field(default_factory=dict)
    late_stock: dict[str, dict[str, int]] = field(default_factory=dict)
    orders: list[dict[str, Any]] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    #: Placed with a time to confirm them by; the forgotten never are.
    confirmed: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)
    #: {external id: {SKU: units}}
    taken_back: dict[str, dict[str, int]] = field(default_factory=dict)


def build(orders: int = ORDERS, seed: int = SEED) -> Scenario:
    """The same seed gives the same world."""
    chance = random.Random(seed)  # noqa: S311 - a story, not a secret
    world = Scenario(products=[_product(chance, n) for n in range(1, PRODUCTS + 1)])
    places = _places()
    prices = {p["sku"]: p["price"] for p in world.products}
    world.orders = [_order(chance, n, places, prices) for n in range(1, orders + 1)]
    ids = [order["external_id"] for order in world.orders]
    world.cancelled = set(chance.sample(ids, k=max(1, orders // 40)))
    _stock_up(chance, world)
    _change_minds(random.Random(seed + 1), world)  # noqa: S311 - likewise
    return world


def more(world: Scenario, count: int, seed: int = SEED + 2) -> Scenario:
    """As many orders again for the same products, all that they need in stock."""
    chance = random.Random(seed)  # noqa: S311 - likewise
    prices = {p["sku"]: p["price"] for p in world.products}
    places, known = _places(), len(world.orders)
    numbers = range(known + 1, known + count + 1)
    added = Scenario(orders=[_order(chance, n, places, prices) for n in numbers])
    added.stock = {code: {} for code, *_ in WAREHOUSES}
    for sku, units in sorted(_demand(added.orders).items()):
        added.stock[chance.choice(WAREHOUSES)[0]][sku] = units
    return added


def _demand(orders: list[dict[str, Any]]) -> Counter[str]:
    demand: Counter[str] = Counter()
    for order in orders:
        demand.update({line["sku"]: line["quantity"] for line in order["lines"]})
    return demand


def _change_minds(chance: random.Random, world: Scenario) -> None:
    """Of the orders that are not cancelled some are urgent, some wait for a payment that comes
    or doesn't come, and some lose a unit."""
    rest = [order for order in world.orders if order["external_id"] not in world.cancelled]
    chance.shuffle(rest)
    for order in rest[::10]:
        order["priority"] = chance.randint(1, 9)
    some = len(world.orders) // 40
    ids = [order["external_id"] for order in rest]
    world.confirmed, world.forgotten = set(ids[:some]), set(ids[some : 2 * some])
    larger = (o for o in rest[2 * some :] if sum(line["quantity"] for line in o["lines"]) > 1)
    for order in islice(larger, 2 * some):
        world.taken_back[order["external_id"]] = {order["lines"][0]["sku"]: 1}


def _product(chance: random.Random, number: int) -> dict[str, Any]:
    kind = chance.choice(_KINDS)
    weight = round(chance.lognormvariate(0.2, 0.8), 3)
    return {
        "sku": f"{kind[:3].upper()}-{number:03}",
        "name": f"{kind.title()} no. {number}",
        "weight_kg": Decimal(str(min(weight, 25.0))),
        "volume_m3": Decimal(str(round(min(weight, 25.0) * chance.uniform(0.002, 0.006), 6))),
        "price": Decimal(chance.randrange(900, 40_000)) / 100,
    }


def _places() -> list[dict[str, str]]:
    with PLACES.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _order(
    chance: random.Random, number: int, places: list[dict[str, str]], prices: dict[str, Decimal]
) -> dict[str, Any]:
    [place] = chance.choices(places, [int(p["population"]) ** 0.5 for p in places])
    skus = sorted(prices)
    # A few products sell much better than the rest (Zipf).
    picks = chance.choices(skus, [1 / (rank + 1) for rank in range(len(skus))], k=4)
    wanted = Counter(picks[: chance.choice((1, 1, 2, 2, 3, 4))])
    name = f"{chance.choice(_NAMES)} {chance.choice('ABCDEFGHIJKLM')}."
    body: dict[str, Any] = {
        "external_id": f"DEMO-{number:05}",
        "customer": {"name": name, "email": f"customer{number}@example.com", "phone": ""},
        "ship_to": {
            "address": f"Rua {chance.randrange(1, 900)}, {chance.randrange(1, 2000)}",
            "city": place["name"],
            "region": _REGIONS.get(place["admin1code"], place["admin1code"]),
            "postal_code": f"{chance.randrange(1000, 99999):05}",
            "country": "BR",
            # Scattered over some two kilometres around the city's point.
            "latitude": round(float(place["latitude"]) + chance.gauss(0, 0.012), 6),
            "longitude": round(float(place["longitude"]) + chance.gauss(0, 0.012), 6),
        },
        "lines": [
            {"sku": sku, "quantity": units, "unit_price": str(prices[sku])}
            for sku, units in wanted.items()
        ],
        "currency": "BRL",
    }
    if chance.random() < 0.2:
        day = datetime.now(ZoneInfo(TIME_ZONE)).replace(hour=0, minute=0, second=0, microsecond=0)
        opens = day + timedelta(days=1, hours=chance.choice((8, 10, 12, 14)))
        body["requested_from"] = opens.isoformat()
        body["requested_until"] = (opens + timedelta(days=2, hours=4)).isoformat()
    return body


def _stock_up(chance: random.Random, world: Scenario) -> None:
    """93 % of the demand at first, spread unevenly over the warehouses, so that some orders
    split and some wait; the rest comes in later."""
    demand = _demand(world.orders)
    codes = [code for code, *_ in WAREHOUSES]
    world.stock = {code: {} for code in codes}
    world.late_stock = {code: {} for code in codes}
    for sku, units in sorted(demand.items()):
        first = int(units * 0.93)
        shares = [chance.random() for _ in codes]
        for code, share in zip(codes, shares, strict=True):
            if part := int(first * share / sum(shares)):
                world.stock[code][sku] = part
        missing = units - sum(stock.get(sku, 0) for stock in world.stock.values())
        if missing > 0:
            world.late_stock[chance.choice(codes)][sku] = missing
