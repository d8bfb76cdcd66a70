"""Promise: whoever is about to change stock sees beforehand what would come of it: the very
figures, by the very service that will do it, in a transaction that leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet

from .models import StockLevel

#: The figures of a level that people change.
FIGURES = ("on_hand", "reserved", "quarantined", "in_transit", "safety_stock", "reorder_point")


@dataclass(frozen=True)
class Change:
    """A figure of a level, before and after."""

    warehouse: str
    sku: str
    figure: str
    before: int
    after: int

    @property
    def difference(self) -> int:
        return self.after - self.before


def try_out(action: Callable[[], object], levels: QuerySet[StockLevel]) -> list[Change]:
    """What the action would change about these levels; raises what it raises."""
    with transaction.atomic():
        before = _figures(levels)
        action()
        after = _figures(levels)
        transaction.set_rollback(True)
    return [
        Change(*at, figure.replace("_", " "), was, now)
        for at, figures in after.items()
        for figure, was, now in zip(FIGURES, before.get(at, [0] * 6), figures, strict=True)
        if was != now
    ]


def _figures(levels: QuerySet[StockLevel]) -> dict[tuple[str, str], list[int]]:
    rows = levels.order_by("product__sku", "warehouse__code")
    return {
        (warehouse, sku): figures
        for warehouse, sku, *figures in rows.values_list(
            "warehouse__code", "product__sku", *FIGURES
        )
    }
