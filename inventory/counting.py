"""Promise: what somebody counted on a shelf is what the books say from that moment on, with who
counted it; what one has counted no other overwrites unawares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from . import locks
from .checking import InvalidStockChange, Lines, products, some, units
from .ledger import Ledger, Reason
from .models import CountLine, CycleCount, StockLevel, Warehouse

State = CycleCount.State


class AlreadyCounted(InvalidStockChange):
    """Somebody else has counted this already."""


@transaction.atomic
def open_count(
    *,
    warehouse: Warehouse,
    due_on: date,
    actor: str,
    skus: Sequence[str] | None = None,
    due_only: bool = False,
) -> CycleCount:
    """Have stock counted: all levels of a warehouse, those of some products, or those whose last
    count is too long ago (and that no open count holds)."""
    levels = StockLevel.objects.filter(warehouse=warehouse)
    if skus is not None:
        levels = _levels_of(warehouse, skus)
    if due_only:
        levels = levels.filter(_due(warehouse)).exclude(
            pk__in=CountLine.objects.filter(
                count__warehouse=warehouse, count__state=State.OPEN
            ).values("level")
        )
    ids = list(levels.order_by("pk").values_list("pk", flat=True))
    if not ids:
        what = "is due to be counted" if due_only else "has a stock level"
        raise InvalidStockChange(f"Nothing in {warehouse} {what}.")
    row = CycleCount.objects.create(warehouse=warehouse, due_on=due_on, created_by=actor)
    CountLine.objects.bulk_create(
        [CountLine(count=row, level_id=pk) for pk in ids], batch_size=5000
    )
    told = tell.CountOpened(**_names(row, actor), due_on=due_on, levels=len(ids))
    emit_all([Emission(told, row)])
    return row


def _levels_of(warehouse: Warehouse, skus: Sequence[str]) -> QuerySet[StockLevel]:
    known = products(skus, active=False)
    levels = StockLevel.objects.filter(
        warehouse=warehouse, product__in=[row.pk for row in known.values()]
    )
    there = set(levels.values_list("product__sku", flat=True))
    if never := set(known) - there:
        raise InvalidStockChange(
            f"{some(never)} was never in {warehouse}; receive or adjust what is found there."
        )
    return levels


def _due(warehouse: Warehouse) -> Q:
    since = timezone.now() - timedelta(days=warehouse.count_every_days)
    return Q(counted_at=None) | Q(counted_at__lt=since)


@transaction.atomic
def record_count(
    *, count_id: UUID, lines: Lines, actor: str, recount: bool = False
) -> list[CountLine]:
    """This is what was counted; the difference to what is on hand at this moment is booked.

    Raises AlreadyCounted when a line was counted before, unless it is a ``recount``. Nothing is
    booked when a line is wrong.
    """
    counted = units(lines, at_least=0)
    row = _lock(count_id)
    mine = CountLine.objects.filter(count=row, level__product__sku__in=counted)
    mine = mine.select_related("level__product")
    found = {line.level.product.sku: line for line in mine}
    if strange := set(counted) - set(found):
        raise InvalidStockChange(f"{some(strange)} is not part of this count of {row.warehouse}.")
    if not recount:
        _are_new(found.values())
    levels = {level.pk: level for level in locks.levels(line.level_id for line in found.values())}
    for line in found.values():
        line.level = levels[line.level_id]
        _is_possible(line.level, counted[line.level.product.sku])
    _book(row, [(line, counted[sku]) for sku, line in found.items()], actor)
    return list(found.values())


def _are_new(lines: Iterable[CountLine]) -> None:
    for line in lines:
        if line.counted_at is not None:
            raise AlreadyCounted(
                f"{line.level}: {line.counted_by} counted {line.counted} at "
                f"{line.counted_at:%Y-%m-%d %H:%M} UTC. Count it again only as a recount."
            )


def _is_possible(level: StockLevel, counted: int) -> None:
    if counted < level.reserved:
        raise InvalidStockChange(
            f"{level}: {counted} counted, but {level.reserved} are reserved for orders. Look "
            "again; if they are really gone, release reservations (or cancel orders) first, "
            "then count."
        )


def _book(row: CycleCount, found: Sequence[tuple[CountLine, int]], actor: str) -> None:
    now = timezone.now()
    ledger, emissions = Ledger(actor=actor), []
    for line, counted in found:
        level = line.level
        line.expected, line.counted = level.on_hand, counted
        line.counted_by, line.counted_at = actor, now
        sequence = level.advance()
        ledger.touch([level])
        # A recount books once more: its own number keeps the two apart.
        ledger.move(level, counted - level.on_hand, Reason.COUNT, reference=f"{row.pk}/{sequence}")
        level.counted_at = now
        told = tell.StockCounted(
            warehouse=level.warehouse.code,
            sku=level.product.sku,
            count_id=row.pk,
            expected=line.expected,
            counted=counted,
            reserved=level.reserved,
            actor=actor,
        )
        emissions.append(Emission(told, level, sequence))
    emissions += ledger.low()
    ledger.write("counted_at")
    CountLine.objects.bulk_update(
        [line for line, _ in found],
        ["expected", "counted", "counted_by", "counted_at"],
        batch_size=500,
    )
    emit_all(emissions)


@transaction.atomic
def close_count(*, count_id: UUID, actor: str) -> CycleCount:
    """The count is over; what was not counted stays due."""
    row = _lock(count_id)
    _end(row, State.CLOSED)
    lines = row.lines.all()
    counted = lines.filter(counted_at__isnull=False)
    told = tell.CountClosed(
        **_names(row, actor),
        counted=counted.count(),
        uncounted=lines.filter(counted_at=None).count(),
        differing=counted.exclude(counted=F("expected")).count(),
    )
    emit_all([Emission(told, row)])
    return row


@transaction.atomic
def cancel_count(*, count_id: UUID, actor: str) -> CycleCount:
    """Give the count up; what was counted stays counted."""
    row = _lock(count_id)
    _end(row, State.CANCELLED)
    emit_all([Emission(tell.CountCancelled(**_names(row, actor)), row)])
    return row


def _lock(count_id: UUID) -> CycleCount:
    row = locks.paper(CycleCount, pk=count_id)
    if row is None:
        raise InvalidStockChange(f"There is no count {count_id}.")
    if row.state != State.OPEN:
        raise InvalidStockChange(f"This {row} is {row.state}; open another one.")
    return row


def _names(row: CycleCount, actor: str) -> dict[str, object]:
    return {"count_id": row.pk, "warehouse": row.warehouse.code, "actor": actor}


def _end(row: CycleCount, state: str) -> None:
    row.state, row.ended_at = state, timezone.now()
    row.save(update_fields=["state", "ended_at"])
