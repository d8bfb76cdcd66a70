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

from collections.abc import Iterable
from typing import TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet

from .models import Allocation, Product, StockLevel, Warehouse

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


def levels_of(products: Iterable[Product]) -> list[StockLevel]:
    """As levels_of_products, of products that are locked already; each row refers to those and
    to one row per warehouse, which is many times cheaper than to make new ones for each level."""
    by_id = {product.pk: product for product in products}
    rows = list(
        StockLevel.objects.select_for_update(no_key=True)
        .filter(product_id__in=by_id)
        .order_by("pk")
    )
    places = Warehouse.objects.in_bulk({row.warehouse_id for row in rows})
    for row in rows:
        row.product, row.warehouse = by_id[row.product_id], places[row.warehouse_id]
    return rows


def picking(warehouse_ids: Iterable[int]) -> list[Warehouse]:
    """Those of these warehouses that have a limit of picks, so that picks are counted by one at a
    time; after the levels, before the allocations."""
    rows = Warehouse.objects.select_for_update(no_key=True).filter(pk__in=set(warehouse_ids))
    return list(rows.filter(daily_picks__isnull=False).order_by("pk"))


def write_back(rows: Iterable[StockLevel], *fields: str) -> None:
    """Save these fields of locked levels: as an upsert that always finds its row, since that is
    built many times as quickly as the CASE expressions of bulk_update."""
    StockLevel.objects.bulk_create(
        list(rows),
        batch_size=1000,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=fields,
    )


def allocations(order_ids: Iterable[UUID]) -> dict[UUID, Allocation]:
    rows = Allocation.objects.select_for_update(no_key=True).filter(pk__in=set(order_ids))
    return {row.pk: row for row in rows.order_by("pk")}


def warehouses() -> QuerySet[Warehouse]:
    """On their own: nobody who holds one locks anything else."""
    return Warehouse.objects.select_for_update(no_key=True)
