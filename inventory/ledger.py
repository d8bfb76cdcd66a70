"""Promise: a level's figures and the ledger change together or not at all, every line says why
and by whom, and when a level falls below its reorder point it is told once.

The only module that writes stock levels and movements. Its caller holds the levels' locks.
"""

from __future__ import annotations

from collections.abc import Iterable

from supplychain.events import Event, context
from supplychain.events.outbox import Emission

from . import events as tell
from . import locks
from .models import StockLevel, StockMovement

Bucket = StockMovement.Bucket
Reason = StockMovement.Reason


class Ledger:
    """Changes to locked levels, gathered and then written in a few statements.

    ``actor`` and ``correlation_id`` (else the current one) stand in every line.
    """

    def __init__(self, *, actor: str = "", correlation_id: str = "") -> None:
        self._actor = actor
        self._journey = correlation_id or context.current().correlation_id or ""
        self._was_low: dict[int, bool] = {}
        self._touched: dict[int, StockLevel] = {}
        self._movements: list[StockMovement] = []

    def move(
        self,
        level: StockLevel,
        delta: int,
        reason: str,
        *,
        bucket: str = Bucket.ON_HAND,
        reference: str = "",
        note: str = "",
        correlation_id: str = "",
    ) -> None:
        """One line of the ledger, and the level's figure with it; nothing for a ``delta`` of 0."""
        if not delta:
            return
        self._touch(level)
        setattr(level, bucket, getattr(level, bucket) + delta)
        self._write_line(level, bucket, delta, reason, reference, note, correlation_id)

    def _write_line(
        self,
        level: StockLevel,
        bucket: str,
        delta: int,
        reason: str,
        reference: str,
        note: str,
        correlation_id: str,
    ) -> None:
        self._movements.append(
            StockMovement(
                level=level,
                bucket=bucket,
                delta=delta,
                reason=reason,
                reference=reference,
                actor=self._actor[:150],
                note=note[:300],
                correlation_id=correlation_id or self._journey,
            )
        )

    def correct(
        self, level: StockLevel, bucket: str, *, figure: int, delta: int, note: str
    ) -> None:
        """Both said something else: from now on the figure is this, and the ledger so much more.

        The line is written even where the ledger was right (``delta`` 0): it says what was found.
        """
        self._touch(level)
        setattr(level, bucket, figure)
        self._write_line(level, bucket, delta, Reason.CORRECTION, "", note, "")

    def reserve(self, level: StockLevel, units: int) -> None:
        """Hold units; negative: let them go."""
        self._touch(level)
        level.reserved += units

    def touch(self, levels: Iterable[StockLevel]) -> None:
        """These are written too: another of their fields changes (a limit: touch it first)."""
        for level in levels:
            self._touch(level)

    def _touch(self, level: StockLevel) -> None:
        self._was_low.setdefault(level.pk, _is_low(level))
        self._touched[level.pk] = level

    def write(self, *fields: str) -> None:
        """Save levels (with these fields besides the figures) and movements."""
        levels = list(self._touched.values())
        if self._movements:
            fields = (*Bucket.values, *fields)
        locks.write_back(levels, "reserved", "event_sequence", *fields)
        StockMovement.objects.bulk_create(self._movements, batch_size=1000)

    def low(self, *, cause: Event | None = None) -> list[Emission]:
        """StockLow of each level that has just fallen below its reorder point; call it before
        ``write``, which saves the sequence numbers taken here."""
        fallen = [
            level for pk, level in self._touched.items() if _is_low(level) and not self._was_low[pk]
        ]
        return [Emission(_stock_low(row), row, row.advance(), cause=cause) for row in fallen]


def _is_low(level: StockLevel) -> bool:
    return level.available < level.reorder_point


def _stock_low(level: StockLevel) -> tell.StockLow:
    return tell.StockLow(
        warehouse=level.warehouse.code,
        sku=level.product.sku,
        available=level.available,
        reorder_point=level.reorder_point,
    )
