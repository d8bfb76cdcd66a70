"""Promise: all that is known of a product's stock is on one page, of the warehouses that whoever
looks may see; however long its history, the page reads a bounded part of it.

``templates/inventory/product_page.html`` shows what ``stock_of`` gives, as ``stock``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, QuerySet, Sum
from django.db.models.functions import Trunc
from django.utils import timezone
from django.utils.dateformat import format as date_format
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


@dataclass(frozen=True)
class _Scale:
    """What the chart counts in: a moment is the end of so long a step, and is written as Django
    writes dates."""

    kind: str
    step: timedelta
    label: str

    def moments(self, first: datetime, now: datetime) -> list[datetime]:
        """From the step before the first change to the one that is not over."""
        moments = [first - self.step]
        while moments[-1] + self.step <= now:
            moments.append(moments[-1] + self.step)
        return moments


_MINUTES = _Scale("minute", timedelta(minutes=1), "G:i")
_HOURS = _Scale("hour", timedelta(hours=1), "j M H:00")
_DAYS = _Scale("day", timedelta(days=1), "j M")


def _scale(history: timedelta) -> _Scale:
    if history < timedelta(hours=3):
        return _MINUTES
    return _HOURS if history < timedelta(days=4) else _DAYS


def _chart(product: Product, levels: Sequence[StockLevel]) -> SafeString | str:
    """On hand at the end of each step (UTC), back from what is on hand now."""
    now = timezone.now()
    rows = _drawn(levels, now)
    first = rows.order_by("at").values_list("at", flat=True).first()
    scale = _scale(now - first) if first else _DAYS
    changes = _changes(rows, scale)
    shown = [level for level in levels if level.on_hand or changes[level.pk]]
    if not shown:
        return ""
    # Those that matter, where there are more warehouses than colours.
    shown = sorted(shown, key=lambda level: -level.on_hand)[: len(COLOURS)]
    begin = min((at for level in shown for at in changes[level.pk]), default=now)
    moments = scale.moments(begin, now)
    lines = [
        Line(level.warehouse.code, _backwards(level.on_hand, moments, changes[level.pk]))
        for level in sorted(shown, key=lambda level: level.warehouse.code)
    ]
    labels = [date_format(at, scale.label) for at in moments]
    return step_chart(labels, lines, title=f"{product.sku} on hand by warehouse")


def _drawn(levels: Sequence[StockLevel], now: datetime) -> QuerySet[StockMovement]:
    """The movements of the last days; where they are too many, only of days that are known in
    whole."""
    rows = StockMovement.objects.filter(
        level__in=levels, bucket=StockMovement.Bucket.ON_HAND, at__gte=now - timedelta(days=DAYS)
    )
    oldest = rows.order_by("-pk").values_list("at", flat=True)[DRAWN : DRAWN + 1].first()
    return rows.filter(at__date__gt=oldest.date()) if oldest is not None else rows


def _changes(rows: QuerySet[StockMovement], scale: _Scale) -> dict[int, dict[datetime, int]]:
    """{level: {beginning of a step: what was added in it}}"""
    found: dict[int, dict[datetime, int]] = defaultdict(dict)
    steps = rows.order_by().annotate(step=Trunc("at", scale.kind)).values_list("level", "step")
    for level, step, delta in steps.annotate(Sum("delta")):
        found[level][step] = delta
    return found


def _backwards(now: int, moments: Sequence[datetime], changes: Mapping[datetime, int]) -> list[int]:
    values = []
    for at in reversed(moments):
        values.append(now)
        now -= changes.get(at, 0)
    return values[::-1]
