"""Reads of the inventory domain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.db.models import BigIntegerField, F, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from .models import Reservation, StockLevel, StockMovement


def stock(sku: str = "", warehouse: str = "") -> QuerySet[StockLevel]:
    levels = StockLevel.objects.select_related("product", "warehouse").order_by("pk")
    if sku:
        levels = levels.filter(product__sku=sku)
    return levels.filter(warehouse__code=warehouse) if warehouse else levels


def held_reservations(sku: str = "", warehouse: str = "") -> QuerySet[Reservation]:
    """Those whose shipment has not left."""
    rows = Reservation.objects.filter(state=Reservation.State.HELD)
    rows = rows.select_related("level__warehouse", "level__product")
    if sku:
        rows = rows.filter(level__product__sku=sku)
    return rows.filter(level__warehouse__code=warehouse) if warehouse else rows


def skus_available(*, warehouses: Iterable[str]) -> set[str]:
    """The products of which something is available in these warehouses (codes)."""
    levels = StockLevel.objects.filter(warehouse__code__in=list(warehouses))
    skus = (
        levels.alias(free=StockLevel.PROMISABLE)
        .filter(free__gt=0)
        .values_list("product__sku", flat=True)
    )
    return set(skus)


def books_off(on_the_way: Callable[[int], object] = lambda levels: None) -> Iterator[str]:
    """Every level whose books don't balance, in words; streamed, however many there are.

    Sums of many levels at once are quick; a level that looks off is judged again by a statement
    of its own, so that what happens meanwhile can't look like a fault. After each span of levels
    ``on_the_way`` is told how many have been looked at.
    """
    seen = 0
    for span in _spans(StockLevel.objects.all()):
        suspects = _with_sums(StockLevel.objects.filter(pk__in=_suspects(span)))
        for level in suspects.exclude(_BALANCED).order_by("pk"):
            yield f"{level}: " + ", ".join(_figures(level))
        seen += _SPAN
        on_the_way(seen)


def _suspects(span: tuple[int, int]) -> list[int]:
    """The levels, from the first to the last of this span, that look off."""
    first, last = span
    sums: dict[int, dict[str, int]] = defaultdict(dict)
    lines = StockMovement.objects.filter(level__gte=first, level__lte=last).order_by()
    for pk, bucket, total in lines.values_list("level", "bucket").annotate(Sum("delta")):
        sums[pk][bucket] = total
    held = Reservation.objects.filter(state=Reservation.State.HELD)
    held = held.filter(level__gte=first, level__lte=last).order_by()
    for pk, total in held.values_list("level").annotate(Sum("quantity")):
        sums[pk]["reserved"] = total
    names = ["on_hand", "reserved", "quarantined", "in_transit"]
    levels = StockLevel.objects.filter(pk__gte=first, pk__lte=last)
    return [
        pk
        for pk, *figures in levels.values_list("pk", *names)
        if figures != [sums[pk].get(name, 0) for name in names]
        or figures[1] > figures[0]
        or min(figures) < 0
    ]


def _spans(rows: QuerySet[Any]) -> Iterator[tuple[int, int]]:
    """The first and the last primary key of each so many rows."""
    keys = rows.order_by("pk").values_list("pk", flat=True)
    first = keys.first()
    while first is not None:
        rest = keys.filter(pk__gte=first)
        ends = list(rest[_SPAN - 1 : _SPAN + 1])
        yield first, ends[0] if ends else rest.last() or first
        first = ends[1] if len(ends) > 1 else None


def level_sums(level: StockLevel) -> tuple[dict[str, int], int]:
    """What ledger (by bucket) and held reservations say of a level."""
    row: Any = _with_sums(StockLevel.objects.filter(pk=level.pk)).get()
    return {name: getattr(row, f"moved_{name}") for name in _BUCKETS}, row.held


def _with_sums(levels: QuerySet[StockLevel]) -> QuerySet[StockLevel]:
    moved = {
        f"moved_{name}": _total(StockMovement.objects.filter(bucket=name), "delta")
        for name in _BUCKETS
    }
    held = _total(Reservation.objects.filter(state=Reservation.State.HELD), "quantity")
    return levels.select_related("product", "warehouse").annotate(**moved, held=held)


def _balanced() -> Q:
    rule = Q(held=F("reserved"), reserved__lte=F("on_hand"))
    for name in _BUCKETS:
        rule &= Q(**{f"moved_{name}": F(name), f"{name}__gte": 0})
    return rule


_BUCKETS = StockMovement.Bucket.values
_BALANCED = _balanced()
#: Levels that are looked at in one statement.
_SPAN = 5_000


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
