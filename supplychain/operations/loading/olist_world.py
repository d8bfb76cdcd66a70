"""Promise: the world that Olist's orders need (products, warehouses, stock) is the same each time
it is made, and making it twice changes nothing.

Warehouses: one in each of the four states with most sellers, at the median of their points.
Stock: Olist tells none. A unit that was ordered lies in the warehouse nearest to its seller;
in the order of products and warehouses every tenth unit comes in later, so that 90 % of the
demand is there at first and the rest waits for `--receive-rest`.
Products without a weight (or weighing nothing) get the median of the others, as do those
without a size.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from statistics import median

from inventory.models import Warehouse
from inventory.services import ProductData, receive_stock, register_products, register_warehouse
from inventory.sourcing import distance_km

from .olist import Olist, Point

WAREHOUSES = 4
#: One unit in so many is not in stock at first.
LATE = 10
DEFAULT_GRAMS = 700
DEFAULT_CM3 = 6840
OPENING, REST = "olist opening", "olist rest"

Stock = dict[str, dict[str, int]]  # warehouse → SKU → units


@dataclass(frozen=True)
class Place:
    """A warehouse to be; degrees, WGS 84."""

    code: str
    latitude: float
    longitude: float


def prepare(olist: Olist) -> dict[str, int]:
    """Register products, warehouses and the stock of the beginning; gives how many of each."""
    products = list(_products(olist))
    register_products(products=products)
    places = warehouses(olist)
    for place in places:
        register_warehouse(
            code=place.code,
            name=f"Olist sellers of {place.code}",
            latitude=place.latitude,
            longitude=place.longitude,
        )
    first, _ = stock(olist, places)
    units = _receive(first, OPENING)
    return {"products": len(products), "warehouses": len(places), "units in stock": units}


def receive_rest(olist: Olist) -> int:
    """Book in what was missing at first; gives the units. Backorders are filled by it."""
    _, rest = stock(olist, warehouses(olist))
    return _receive(rest, REST)


def warehouses(olist: Olist) -> list[Place]:
    """The states with most sellers, largest first."""
    by_state: dict[str, list[Point]] = defaultdict(list)
    for seller in olist.sellers.values():
        if point := olist.point(seller["seller_zip_code_prefix"]):
            by_state[seller["seller_state"]].append(point)
    largest = sorted(by_state, key=lambda state: (-len(by_state[state]), state))[:WAREHOUSES]
    return [
        Place(
            state,
            round(median(p.latitude for p in by_state[state]), 6),
            round(median(p.longitude for p in by_state[state]), 6),
        )
        for state in largest
    ]


def stock(olist: Olist, places: list[Place]) -> tuple[Stock, Stock]:
    """What is there at first, and what comes in later."""
    home = {seller: _nearest(olist, seller, places) for seller in olist.sellers}
    known = {row["product_id"] for row in olist.rows("products", "product_id")}
    # A seller that is in no file lives where most do.
    demand = Counter(
        (home.get(unit.seller, places[0].code), unit.sku)
        for unit in olist.units()
        if unit.sku in known
    )
    first: Stock = defaultdict(dict)
    rest: Stock = defaultdict(dict)
    counted = 0
    for (code, sku), units in sorted(demand.items()):
        late = (counted + units) // LATE - counted // LATE
        counted += units
        if late:
            rest[code][sku] = late
        if units > late:
            first[code][sku] = units - late
    return first, rest


def _nearest(olist: Olist, seller: str, places: list[Place]) -> str:
    point = olist.point(olist.sellers[seller]["seller_zip_code_prefix"])
    if point is None:
        return places[0].code
    nearest = min(
        places,
        key=lambda p: distance_km(point.latitude, point.longitude, p.latitude, p.longitude),
    )
    return nearest.code


def _receive(units: Stock, reference: str) -> int:
    for code, lines in units.items():
        warehouse = Warehouse.objects.get(code=code)
        receive_stock(
            warehouse=warehouse, lines=list(lines.items()), reference=reference, actor="olist"
        )
    return sum(sum(lines.values()) for lines in units.values())


def _products(olist: Olist) -> Iterator[ProductData]:
    for row in olist.rows("products", "product_id", "product_weight_g"):
        sides = [row[f"product_{side}_cm"] for side in ("length", "height", "width")]
        volume = Decimal(DEFAULT_CM3)
        if all(sides):
            volume = Decimal(sides[0]) * Decimal(sides[1]) * Decimal(sides[2])
        grams = Decimal(row["product_weight_g"] or 0) or Decimal(DEFAULT_GRAMS)
        yield ProductData(
            sku=row["product_id"],
            name=(row["product_category_name"] or "product").replace("_", " "),
            weight_kg=grams.scaleb(-3),
            volume_m3=volume.scaleb(-6),
        )
