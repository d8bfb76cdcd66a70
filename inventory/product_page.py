"""Promise: all that is known of a product's stock is on one page, of the warehouses that whoever
looks may see; however long its history, the page reads a bounded part of it.

``templates/inventory/product_page.html`` shows what ``stock_of`` gives, as ``stock``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import F, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone
from django.utils.safestring import SafeString

from . import access
from .charts import COLOURS, Line, step_chart
from .models import (
    Backorder,
    Product,
    Receipt,
    ReceiptLine,
    StockLevel,
    StockMovement,
    Transfer,
    TransferLine,
)

#: Rows of each table, and days of the chart.
SHOWN, DAYS = 20, 90
#: Movements that the chart is drawn from at most, newest first.
DRAWN = 20_000
_FIGURES = ("on_hand", "reserved", "available", "quarantined", "in_transit")


@dataclass(frozen=True)
class Waiting:
    """The first in line, and the whole line."""

    rows: Sequence[Backorder]
    orders: int
    units: int


@dataclass(frozen=True)
class ProductStock:
    levels: Sequence[StockLevel]
    #: Of several levels: the sum of each figure.
    totals: Mapping[str, int]
    inbound: Sequence[ReceiptLine]
    on_the_way: Sequence[TransferLine]
    waiting: Waiting
    movements: Sequence[StockMovement]
    chart: SafeString | str


def stock_of(product: Product, user: Any) -> ProductStock:
    levels = list(
        access.theirs(user, StockLevel.objects.filter(product=product), "warehouse")
        .select_related("warehouse", "product")
        .order_by("warehouse__code")
    )
    totals = {name: sum(getattr(level, name) for level in levels) for name in _FIGURES}
    return ProductStock(
        levels=levels,
        totals=totals if len(levels) > 1 else {},
        inbound=_inbound(product, user),
        on_the_way=_on_the_way(product, user),
        waiting=_waiting(product, user),
        movements=_movements(levels),
        chart=_chart(product, levels),
    )


def _inbound(product: Product, user: Any) -> list[ReceiptLine]:
    lines = ReceiptLine.objects.filter(
        product=product, received__lt=F("quantity"), receipt__state=Receipt.State.EXPECTED
    )
    mine = access.theirs(user, lines, "receipt__warehouse").select_related("receipt__warehouse")
    mine = mine.annotate(missing=F("quantity") - F("received"))
    return list(mine.order_by("receipt__expected_on", "pk")[:SHOWN])


def _on_the_way(product: Product, user: Any) -> list[TransferLine]:
    open_ = (Transfer.State.PROPOSED, Transfer.State.IN_TRANSIT)
    lines = TransferLine.objects.filter(product=product, transfer__state__in=open_)
    mine = access.theirs(user, lines, "transfer__source", "transfer__target")
    return list(mine.select_related("transfer__source", "transfer__target").order_by("-pk")[:SHOWN])


def _waiting(product: Product, user: Any) -> Waiting:
    """An order waits for stock in any warehouse: whoever may see backorders sees all."""
    if not user.has_perm("inventory.view_backorder"):
        return Waiting([], 0, 0)
    rows = Backorder.objects.filter(product=product)
    line = list(rows.order_by(*Backorder.LINE)[: SHOWN + 1])
    if len(line) <= SHOWN:
        return Waiting(line, len(line), sum(row.quantity for row in line))
    units = rows.aggregate(units=Sum("quantity"))["units"] or 0
    return Waiting(line[:SHOWN], rows.count(), units)


def _movements(levels: Sequence[StockLevel]) -> list[StockMovement]:
    rows = list(StockMovement.objects.filter(level__in=levels).order_by("-pk")[:SHOWN])
    by_pk = {level.pk: level for level in levels}
    for row in rows:
        row.level = by_pk[row.level_id]
    return rows


# --- the chart ----------------------------------------------------------------------------


def _chart(product: Product, levels: Sequence[StockLevel]) -> SafeString | str:
    """On hand at the end of each day, back from what is on hand now."""
    today = timezone.now().date()
    changes = _changes(levels, timezone.now() - timedelta(days=DAYS))
    drawn = [level for level in levels if level.on_hand or changes[level.pk]]
    if not drawn:
        return ""
    # Those that matter, where there are more warehouses than colours.
    drawn = sorted(drawn, key=lambda level: -level.on_hand)[: len(COLOURS)]
    first = min((day for level in drawn for day in changes[level.pk]), default=today)
    start = min(first, today - timedelta(days=6)) - timedelta(days=1)
    days = [start + timedelta(days=n) for n in range((today - start).days + 1)]
    lines = [
        Line(level.warehouse.code, _backwards(level.on_hand, days, changes[level.pk]))
        for level in sorted(drawn, key=lambda level: level.warehouse.code)
    ]
    return step_chart(days, lines, title=f"{product.sku} on hand by warehouse")


def _changes(levels: Sequence[StockLevel], since: datetime) -> dict[int, dict[date, int]]:
    """{level: {day: what was added in sum}}; only days of which all movements are known."""
    rows = StockMovement.objects.filter(
        level__in=levels, bucket=StockMovement.Bucket.ON_HAND, at__gte=since
    )
    oldest = rows.order_by("-pk").values_list("at", flat=True)[DRAWN : DRAWN + 1].first()
    if oldest is not None:
        rows = rows.filter(at__date__gt=oldest.date())
    found: dict[int, dict[date, int]] = defaultdict(dict)
    days = rows.order_by().annotate(day=TruncDate("at")).values_list("level", "day")
    for level, day, delta in days.annotate(Sum("delta")):
        found[level][day] = delta
    return found


def _backwards(now: int, days: Sequence[date], changes: Mapping[date, int]) -> list[int]:
    values = []
    for day in reversed(days):
        values.append(now)
        now -= changes.get(day, 0)
    return values[::-1]
