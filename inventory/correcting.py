"""Promise: a level that contradicts its books is put right only on purpose, by one who says why,
and the correction stands in the ledger.

Levels and ledger are written together, so they differ only when somebody has changed the database
behind the services' backs. Who is right then? The ledger is the truth about the past: unless
somebody has looked at the shelf, the level's figure becomes the ledger's sum, and the ledger gets
a line of 0 units that says what was found. A count is the truth about the shelf: with one, the
ledger is moved to it, too. A ledger below zero can be no truth; it is moved to the level's figure.
Held reservations are promises to orders: what is reserved always becomes their sum.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db import transaction

from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from . import locks, selectors
from .checking import InvalidStockChange, a_quantity, a_reason
from .ledger import Bucket, Ledger
from .models import StockLevel


class NothingToCorrect(InvalidStockChange):
    """The books of this level balance: there is nothing to correct."""


@transaction.atomic
def correct_stock(
    *, level_id: int, reason: str, actor: str, counted: int | None = None
) -> StockLevel:
    """Make level, ledger and reservations agree; ``counted`` is what is really on hand."""
    reason = a_reason(reason, "A correction")
    if counted is not None:
        a_quantity(counted, "counted", at_least=0)
    level = next(iter(locks.levels([level_id])), None)
    if level is None:
        raise InvalidStockChange(f"There is no stock level {level_id}.")
    sums, held = selectors.level_sums(level)
    off = list(_off(level, sums, counted))
    if not off and level.reserved == held:
        raise NothingToCorrect
    _leaves_enough(level, dict((bucket, figure) for bucket, figure, _ in off), held)
    ledger = Ledger(actor=actor)
    for bucket, figure, delta in off:
        note = f"{reason} (level {getattr(level, bucket)}, ledger {sums[bucket]})"
        ledger.correct(level, bucket, figure=figure, delta=delta, note=note)
    ledger.reserve(level, held - level.reserved)
    told = tell.StockCorrected(
        warehouse=level.warehouse.code,
        sku=level.product.sku,
        on_hand=level.on_hand,
        reserved=level.reserved,
        quarantined=level.quarantined,
        in_transit=level.in_transit,
        reason=reason,
        actor=actor,
    )
    emissions = [Emission(told, level, level.advance()), *ledger.low()]
    ledger.write()
    emit_all(emissions)
    return level


def _off(
    level: StockLevel, sums: dict[str, int], counted: int | None
) -> Iterator[tuple[str, int, int]]:
    """(bucket, the figure that is right, what must be added to the ledger)"""
    for bucket in Bucket.values:
        figure, total = getattr(level, bucket), sums[bucket]
        right = total if total >= 0 else figure
        if bucket == Bucket.ON_HAND and counted is not None:
            right = counted
        if not figure == total == right:
            yield bucket, right, right - total


def _leaves_enough(level: StockLevel, figures: dict[str, int], held: int) -> None:
    on_hand = figures.get(Bucket.ON_HAND, level.on_hand)
    if held > on_hand:
        raise InvalidStockChange(
            f"{level}: {on_hand} would be on hand, but {held} are reserved for orders. Count the "
            "shelf and give what you counted, or cancel orders first."
        )
