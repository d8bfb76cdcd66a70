"""Reads of the inventory domain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import BigIntegerField, F, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from .models import Reservation, StockLevel, StockMovement


def stock(sku: str = "", warehouse: str = "") -> QuerySet[StockLevel]:
    levels = StockLevel.objects.select_related("product", "warehouse").order_by("pk")
    if sku:
        levels = levels.filter(product__sku=sku)
    return levels.filter(warehouse__code=warehouse) if warehouse else levels


def skus_available(*, warehouses: Iterable[str]) -> set[str]:
    """The products of which something is available in these warehouses (codes)."""
    levels = StockLevel.objects.filter(warehouse__code__in=list(warehouses))
    skus = (
        levels.alias(free=StockLevel.PROMISABLE)
        .filter(free__gt=0)
        .values_list("product__sku", flat=True)
    )
    return set(skus)


def books_off() -> Iterator[str]:
    """Every level whose books don't balance, in words; streamed, however many there are."""
    moved = {
        bucket: _total(StockMovement.objects.filter(bucket=bucket), "delta")
        for bucket in StockMovement.Bucket.values
    }
    held = _total(Reservation.objects.filter(state=Reservation.State.HELD), "quantity")
    levels = StockLevel.objects.select_related("product", "warehouse").annotate(
        **{f"moved_{bucket}": total for bucket, total in moved.items()}, held=held
    )
    balanced = Q(held=F("reserved"), reserved__lte=F("on_hand"))
    for bucket in moved:
        balanced &= Q(**{f"moved_{bucket}": F(bucket), f"{bucket}__gte": 0})
    for level in levels.exclude(balanced).iterator():
        yield f"{level}: " + ", ".join(_figures(level))


def _figures(level: Any) -> Iterator[str]:
    for bucket in StockMovement.Bucket.values:
        figure, moved = getattr(level, bucket), getattr(level, f"moved_{bucket}")
        if figure or moved:
            yield f"{bucket.replace('_', ' ')} {figure}, ledger {moved}"
    yield f"reserved {level.reserved}, held reservations {level.held}"


def _total(rows: QuerySet[Any], column: str) -> Coalesce:
    mine = rows.filter(level=OuterRef("pk")).order_by().values("level")
    total = Subquery(mine.annotate(total=Sum(column)).values("total"), BigIntegerField())
    return Coalesce(total, Value(0), output_field=BigIntegerField())
