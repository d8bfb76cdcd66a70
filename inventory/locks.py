"""Promise: rows of inventory are locked here and nowhere else, in one order: allocations, then
stock levels, each by primary key; backorders are read only under their level's lock. So two
transactions wait for each other in a line, never in a circle."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from .models import Allocation, StockLevel


def allocations(order_ids: Iterable[UUID]) -> dict[UUID, Allocation]:
    rows = Allocation.objects.select_for_update().filter(pk__in=set(order_ids)).order_by("pk")
    return {row.pk: row for row in rows}


def levels_of_products(product_ids: Iterable[int]) -> list[StockLevel]:
    """Every level of these products, in all warehouses."""
    return list(
        StockLevel.objects.select_for_update(of=("self",))
        .select_related("warehouse", "product")
        .filter(product_id__in=set(product_ids))
        .order_by("pk")
    )


def levels(ids: Iterable[int]) -> list[StockLevel]:
    """These levels."""
    return list(
        StockLevel.objects.select_for_update(of=("self",))
        .select_related("warehouse", "product")
        .filter(pk__in=set(ids))
        .order_by("pk")
    )
