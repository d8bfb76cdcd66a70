"""Promise: rows of inventory are locked here and nowhere else, in one order: paperwork (receipts,
transfers, counts, imports: one piece at a time), then products, then stock levels, then
warehouses that have a limit of picks, then allocations, each by primary key. So two transactions
wait for each other in a line, never in a circle.

- Who matches demand with stock (reserving, filling) locks the products first, so that they take
  turns even over a product that has no level yet. Else a backorder could be written just after
  a receipt's fill has looked for it, and wait while the stock is there.
- Who only changes stock or settles shipments begins with the levels; who only changes demand
  begins with the allocations. A backorder belongs to its allocation's lock.
- A new row is locked too, by its key: new levels are inserted before other levels are locked,
  new allocations before other allocations, in the order of their keys.

All locks are of the kind that lets others insert rows that refer to the locked one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Field, Model, Q, QuerySet

from .models import Allocation, Product, StockLevel, Warehouse

#: SQLite takes no more than some thirty thousand values in a statement.
WRITTEN_AT_ONCE = 1000

Paper = TypeVar("Paper", bound=Model)


def paper(kind: type[Paper], **which: UUID | str | int) -> Paper | None:
    """The piece of paperwork that this is the key of; before anything else."""
    rows = kind._default_manager.select_for_update(of=("self",), no_key=True)
    return rows.filter(**which).order_by("pk").first()


def products(skus: Iterable[str]) -> dict[str, Product]:
    rows = Product.objects.select_for_update(no_key=True).filter(sku__in=set(skus))
    return {row.sku: row for row in rows.order_by("pk")}


def levels_of_products(product_ids: Iterable[int]) -> list[StockLevel]:
    """Every level of these products, in all warehouses."""
    return _levels(product_id__in=set(product_ids))


def levels(ids: Iterable[int]) -> list[StockLevel]:
    """These levels."""
    return _levels(pk__in=set(ids))


def levels_at(places: Iterable[tuple[int, int]]) -> dict[tuple[int, int], StockLevel]:
    """The levels at these (warehouse, product), made where there were none."""
    wanted = set(places)
    mine = StockLevel.objects.filter(_at(wanted))
    new = wanted - set(mine.values_list("warehouse_id", "product_id"))
    StockLevel.objects.bulk_create(
        [StockLevel(warehouse_id=site, product_id=product) for site, product in sorted(new)],
        ignore_conflicts=True,
    )
    rows = levels(mine.values_list("pk", flat=True))
    return {(row.warehouse_id, row.product_id): row for row in rows}


def _at(places: Iterable[tuple[int, int]]) -> Q:
    products: dict[int, list[int]] = {}
    for site, product in places:
        products.setdefault(site, []).append(product)
    which = Q(pk__in=[])
    for site, mine in products.items():
        which |= Q(warehouse=site, product__in=mine)
    return which


def _levels(**which: set[int]) -> list[StockLevel]:
    rows = StockLevel.objects.select_for_update(of=("self",), no_key=True)
    return list(rows.select_related("warehouse", "product").filter(**which).order_by("pk"))


def levels_of(products: Iterable[Product]) -> Levels:
    """As levels_of_products, of products that are locked already."""
    rows = StockLevel.objects.select_for_update(no_key=True).order_by("pk")
    return Levels(products, rows.filter(product_id__in={product.pk for product in products}))


class Levels:
    """Many locked levels, of which few will change: only those become objects."""

    _FIELDS = [field.attname for field in StockLevel._meta.concrete_fields]

    def __init__(self, products: Iterable[Product], rows: QuerySet[StockLevel]) -> None:
        self._products = {product.pk: product for product in products}
        self._rows: dict[tuple[int, str], Any] = {}
        warehouse, product = (self._FIELDS.index(f"{n}_id") for n in ("warehouse", "product"))
        for row in rows.values_list(*self._FIELDS):
            self._rows[row[warehouse], self._products[row[product]].sku] = row
        #: By primary key; one row for all levels there.
        self.warehouses = Warehouse.objects.in_bulk({pk for pk, _ in self._rows})
        self._made: dict[tuple[int, str], StockLevel] = {}

    def promisable(self) -> dict[tuple[int, str], int]:
        """Of each (warehouse, SKU); see StockLevel.promisable."""
        names = ("on_hand", "reserved", "safety_stock")
        there, held, safety = (self._FIELDS.index(name) for name in names)
        return {key: max(0, r[there] - r[held] - r[safety]) for key, r in self._rows.items()}

    def __getitem__(self, key: tuple[int, str]) -> StockLevel:
        if key not in self._made:
            level = StockLevel.from_db(None, self._FIELDS, self._rows[key])
            level.warehouse = self.warehouses[level.warehouse_id]
            level.product = self._products[level.product_id]
            self._made[key] = level
        return self._made[key]


def picking(warehouse_ids: Iterable[int]) -> list[Warehouse]:
    """Those of these warehouses that have a limit of picks, so that picks are counted by one at a
    time; after the levels, before the allocations."""
    rows = Warehouse.objects.select_for_update(no_key=True).filter(pk__in=set(warehouse_ids))
    return list(rows.filter(daily_picks__isnull=False).order_by("pk"))


def write_back(rows: Sequence[StockLevel], *fields: str) -> None:
    """Save these fields of locked levels, in one statement that PostgreSQL and SQLite understand;
    bulk_update takes many times as long to build."""
    if not rows:
        return
    by_name: dict[str, Field[Any, Any]] = {f.name: f for f in StockLevel._meta.concrete_fields}
    columns = [by_name[field] for field in fields]
    names = [connection.ops.quote_name(str(field.column)) for field in columns]
    # A value's type is not seen from a list of values that may all be NULL.
    new = ", ".join(
        f"{name} = CAST(v.{name} AS {column.db_type(connection)})"
        for name, column in zip(names, columns, strict=True)
    )
    table = connection.ops.quote_name(StockLevel._meta.db_table)
    row = f"({', '.join(['%s'] * (len(columns) + 1))})"
    for start in range(0, len(rows), WRITTEN_AT_ONCE):
        some = rows[start : start + WRITTEN_AT_ONCE]
        values = [
            value
            for level in some
            for value in (
                level.pk,
                *(c.get_db_prep_save(getattr(level, c.attname), connection) for c in columns),
            )
        ]
        with connection.cursor() as cursor:
            cursor.execute(
                f"WITH v(id, {', '.join(names)}) "  # noqa: S608
                f"AS (VALUES {', '.join([row] * len(some))}) "
                f"UPDATE {table} AS l SET {new} FROM v WHERE l.id = v.id",
                values,
            )


def allocations(order_ids: Iterable[UUID]) -> dict[UUID, Allocation]:
    rows = Allocation.objects.select_for_update(no_key=True).filter(pk__in=set(order_ids))
    return {row.pk: row for row in rows.order_by("pk")}


def warehouses() -> QuerySet[Warehouse]:
    """On their own: nobody who holds one locks anything else."""
    return Warehouse.objects.select_for_update(no_key=True)
