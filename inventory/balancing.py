"""Promise: where a product runs short in one warehouse while another has more than it needs, a
transfer is proposed, once; what is proposed or on its way already counts as there.

Both are measured by their excess: what is available (or coming) above safety stock and reorder
point. A transfer moves half the distance between the two, so that both are equally well off.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F, Sum

from . import locks
from .models import Backorder, StockLevel, Transfer, TransferLine
from .transferring import propose_transfer

REASON = "balance: short there, more than enough here"
_AT_ONCE = 1000


@dataclass
class _Place:
    """A level: what it has above its own needs (negative: what it lacks)."""

    warehouse_id: int
    excess: int
    below: int
    #: What is really there, and may leave.
    spare: int


@transaction.atomic
def propose_transfers(*, actor: str) -> list[Transfer]:
    """One proposal for each pair of warehouses that can help each other."""
    # In turns: else two at once would propose the same.
    open_ = {row.pk: row for row in locks.warehouses().filter(active=True).order_by("pk")}
    moves: dict[tuple[int, int], dict[str, int]] = defaultdict(dict)
    short = _products_short(open_)
    for start in range(0, len(short), _AT_ONCE):
        for sku, source, target, units in _moves(open_, short[start : start + _AT_ONCE]):
            moves[source, target][sku] = units
    return [
        propose_transfer(
            source=open_[source],
            target=open_[target],
            lines=list(lines.items()),
            reason=REASON,
            actor=actor,
        )
        for (source, target), lines in sorted(moves.items())
    ]


def _products_short(warehouse_ids: Iterable[int]) -> list[int]:
    """The products that some warehouse has too few of, or that orders wait for."""
    below = StockLevel.objects.filter(
        warehouse__in=list(warehouse_ids),
        product__active=True,
        reorder_point__gt=0,
        on_hand__lt=F("reserved") + F("reorder_point"),
    )
    awaited = Backorder.objects.filter(product__active=True)
    return sorted(
        set(below.values_list("product", flat=True).distinct())
        | set(awaited.values_list("product", flat=True).distinct())
    )


def _moves(
    warehouse_ids: Iterable[int], product_ids: list[int]
) -> Iterator[tuple[str, int, int, int]]:
    """(SKU, source, target, units) for these products."""
    waiting = dict(
        Backorder.objects.filter(product__in=product_ids)
        .order_by()
        .values_list("product")
        .annotate(Sum("quantity"))
    )
    coming, going = _proposed("target", product_ids), _proposed("source", product_ids)
    places: dict[tuple[int, str], list[_Place]] = defaultdict(list)
    levels = StockLevel.objects.filter(product__in=product_ids, warehouse__in=list(warehouse_ids))
    for level in levels.select_related("product").order_by("product", "warehouse"):
        at = (level.warehouse_id, level.product_id)
        leaving = going.get(at, 0)
        expected = level.available + level.in_transit + coming.get(at, 0) - leaving
        needs = level.safety_stock + level.reorder_point
        places[level.product_id, level.product.sku].append(
            _Place(
                warehouse_id=level.warehouse_id,
                excess=expected - needs,
                below=max(0, level.reorder_point - expected),
                spare=level.available - leaving - needs,
            )
        )
    for (pk, sku), mine in places.items():
        for source, target, units in _balance(mine, waiting.get(pk, 0)):
            yield sku, source, target, units


def _proposed(end: str, product_ids: list[int]) -> dict[tuple[int, int], int]:
    """{(warehouse, product): units} that are proposed to come there, or to leave."""
    lines = TransferLine.objects.filter(
        product__in=product_ids, transfer__state=Transfer.State.PROPOSED
    )
    rows = lines.order_by().values_list(f"transfer__{end}", "product").annotate(Sum("quantity"))
    return {(site, product): units for site, product, units in rows}


def _balance(places: list[_Place], waiting: int) -> Iterator[tuple[int, int, int]]:
    """(source, target, units): the shortest is helped first, by whoever has most to spare."""
    if waiting and len(places) > 1:
        # Where the orders are served from is not known: where there is least.
        poorest = min(places, key=lambda p: (p.spare > 0, p.excess, p.warehouse_id))
        poorest.excess -= waiting
        poorest.below = max(poorest.below, -poorest.excess)
    for target in sorted(places, key=lambda p: (p.excess, p.warehouse_id)):
        for source in sorted(places, key=lambda p: (-p.spare, p.warehouse_id)):
            if target.below <= 0 or source is target:
                continue
            units = min(source.spare, (source.excess - target.excess) // 2)
            if units > 0:
                yield source.warehouse_id, target.warehouse_id, units
                source.spare -= units
                source.excess -= units
                target.excess += units
                target.below -= units
