"""Promise: each order of an Olist folder is given with its real lines, prices and place, or with
the reason why it can't be.

Read are the files of ../shared/data/olist or, when those aren't there, those of the original
release. What Olist doesn't tell is made up so that it shows: the name ("Customer 5e274e7a"),
the address ("CEP 35182") and the e-mail (at example.com). Its times lie in the past and are
left out: an order is placed when it is loaded, without a delivery window.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .items import Broken, Fault, Found, Item
from .rows import Row, Table, UnusableFile

_FILES = {
    "orders": ("orders_sample.csv.gz", "olist_orders_dataset.csv"),
    "items": ("order_items_sample.csv.gz", "olist_order_items_dataset.csv"),
    "products": ("products_full.csv.gz", "olist_products_dataset.csv"),
    "sellers": ("sellers_full.csv.gz", "olist_sellers_dataset.csv"),
    "customers": ("customer_zip_full.csv.gz", "olist_customers_dataset.csv"),
    "points": ("zip_point_full.csv.gz", "olist_geolocation_dataset.csv"),
}
#: Degrees; the box around Brazil, islands included. Points outside are typing errors.
_SOUTH, _NORTH, _WEST, _EAST = -33.8, 5.3, -74.0, -28.8


@dataclass(frozen=True)
class Point:
    latitude: float
    longitude: float
    city: str
    state: str


@dataclass(frozen=True)
class Unit:
    """One row of the items: Olist has no quantities, a unit is a row."""

    sku: str
    seller: str
    price: str


class Olist:
    """The look-up tables in memory, the orders as a stream. Raises UnusableFile."""

    damage = ""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.points = self._read_points()
        self.sellers = {row["seller_id"]: row for row in self.rows("sellers", "seller_id")}
        self._customers = {
            row["customer_id"]: row["customer_zip_code_prefix"]
            for row in self.rows("customers", "customer_id", "customer_zip_code_prefix")
        }
        self._units: dict[str, list[Unit]] = defaultdict(list)
        for row in self.rows("items", "order_id", "product_id", "seller_id", "price"):
            unit = Unit(row["product_id"], row["seller_id"], row["price"])
            self._units[row["order_id"]].append(unit)
        self._orders = self._table("orders", "order_id", "customer_id")
        self.total = self._orders.total

    @property
    def position(self) -> int:
        return self._orders.position

    def __iter__(self) -> Iterator[Item]:
        for row in self._orders:
            yield self._item(row)
        self.damage = self._orders.damage

    def units(self) -> Iterator[Unit]:
        """Every unit of every order that can be offered."""
        for row in self._orders:
            if not self._problem(row):
                yield from self._units[row.cells["order_id"]]

    def point(self, prefix: str) -> Point | None:
        """Leading zeros are lost in some files, so prefixes are compared as numbers."""
        return self.points.get(int(prefix)) if prefix.isdecimal() else None

    def rows(self, kind: str, *needed: str) -> Iterator[dict[str, str]]:
        """A look-up table must be whole: what it lacks would silently change other orders."""
        table = self._table(kind, *needed)
        for row in table:
            if row.fault:
                raise UnusableFile(f"{self._path(kind)}, line {row.number}: {row.fault}.")
            yield row.cells

    def _table(self, kind: str, *needed: str) -> Table:
        return Table(self._path(kind), needed=frozenset(needed))

    def _path(self, kind: str) -> Path:
        names = _FILES[kind]
        found = next((p for name in names if (p := self._folder / name).is_file()), None)
        if found is None:
            raise UnusableFile(f"{self._folder} has no {' or '.join(names)}.")
        return found

    def _read_points(self) -> dict[int, Point]:
        """The first point of each postcode prefix that lies in Brazil."""
        points: dict[int, Point] = {}
        for row in self.rows("points", "geolocation_zip_code_prefix"):
            latitude, longitude = float(row["geolocation_lat"]), float(row["geolocation_lng"])
            if _SOUTH <= latitude <= _NORTH and _WEST <= longitude <= _EAST:
                place = (row["geolocation_city"], row["geolocation_state"])
                prefix = int(row["geolocation_zip_code_prefix"])
                points.setdefault(prefix, Point(latitude, longitude, *place))
        return points

    def _item(self, row: Row) -> Item:
        order_id = row.cells.get("order_id", "")
        if problem := self._problem(row):
            return Broken(order_id, (Fault(row.number, *problem),))
        # Equal product and price are one line; the same product at two prices are two, which
        # the API refuses.
        lines = Counter((unit.sku, unit.price) for unit in self._units[order_id])
        body = {
            "external_id": order_id,
            "lines": [
                {"sku": sku, "quantity": count, "unit_price": price}
                for (sku, price), count in lines.items()
            ],
            "currency": "BRL",
            **self._customer(row.cells["customer_id"]),
        }
        return Found(order_id, (row.number,), body)

    def _problem(self, row: Row) -> tuple[str, str] | None:
        """The field and the reason why the order can't be offered."""
        if row.fault:
            return "", row.fault
        if row.cells["order_id"] not in self._units:
            return "lines", "The order has no items."
        prefix = self._customers.get(row.cells["customer_id"])
        if prefix is None:
            return "customer", "The customer is in no file."
        if self.point(prefix) is None:
            return "ship_to", f"No point in Brazil is known for postcode '{prefix}'."
        return None

    def _customer(self, customer_id: str) -> dict[str, Any]:
        prefix = self._customers[customer_id]
        point = self.point(prefix)
        assert point is not None
        postal_code = prefix.zfill(5)
        name, email = f"Customer {customer_id[:8]}", f"{customer_id}@example.com"
        return {
            "customer": {"name": name, "email": email},
            "ship_to": {
                "address": f"CEP {postal_code}",
                "city": point.city,
                "region": point.state,
                "postal_code": postal_code,
                "country": "BR",
                "latitude": point.latitude,
                "longitude": point.longitude,
            },
        }
