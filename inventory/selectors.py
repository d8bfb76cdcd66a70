"""Reads of the inventory domain."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import BigIntegerField, F, OuterRef, QuerySet, Subquery, Sum, Value
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
    skus = levels.filter(on_hand__gt=F("reserved")).values_list("product__sku", flat=True)
    return set(skus)


def books_off() -> list[str]:
    """Every level whose books don't balance, in words; [] when all is well."""
    ledger = StockMovement.objects.filter(level=OuterRef("pk")).order_by().values("level")
    mine = Reservation.objects.filter(level=OuterRef("pk"), state=Reservation.State.HELD)
    held = mine.order_by().values("level")
    levels = StockLevel.objects.select_related("product", "warehouse").annotate(
        moved=_total(ledger, "delta"), held=_total(held, "quantity")
    )
    wrong = levels.exclude(moved=F("on_hand"), held=F("reserved"))
    negative = levels.filter(on_hand__lt=0) | levels.filter(reserved__gt=F("on_hand"))
    return [
        f"{level}: on hand {level.on_hand}, ledger {level.moved}; "
        f"reserved {level.reserved}, held reservations {level.held}"
        for level in (wrong | negative).distinct().iterator()
    ]


def _total(rows: QuerySet, column: str) -> Coalesce:
    total = Subquery(rows.annotate(total=Sum(column)).values("total"), BigIntegerField())
    return Coalesce(total, Value(0), output_field=BigIntegerField())
