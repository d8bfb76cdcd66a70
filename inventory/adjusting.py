"""Promise: what staff change about one stock level (its figure, its limits, what is set aside as
quarantined) takes nothing from an order, stands in the ledger with who and why, and is told."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from supplychain.events import Event
from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from . import locks
from .checking import (
    MAX_QUANTITY,
    InvalidStockChange,
    a_quantity,
    a_reason,
    untouched_by_orders,
)
from .ledger import Bucket, Ledger, Reason
from .models import StockLevel, StockMovement


@transaction.atomic
def adjust_stock(
    *, level_id: int, delta: int, reason: str, actor: str, reference: str = ""
) -> StockLevel:
    """Correct the stock on hand by ``delta``, once per ``reference`` if there is one."""
    if type(delta) is not int or delta == 0 or abs(delta) > MAX_QUANTITY:
        raise InvalidStockChange(
            "An adjustment must change something, by a whole number of at most 10⁹."
        )
    reason = a_reason(reason, "An adjustment")
    level = _lock(level_id)
    if reference and _was_booked(level, Reason.ADJUSTMENT, reference):
        return level
    untouched_by_orders(level, -delta)
    ledger = Ledger(actor=actor)
    ledger.move(level, delta, Reason.ADJUSTMENT, reference=reference, note=reason)
    return _save(ledger, level, adjusted(level, delta, reason))


@transaction.atomic
def quarantine_stock(
    *, level_id: int, quantity: int, reason: str, actor: str, reference: str = ""
) -> StockLevel:
    """Set units aside, so that they are neither promised nor on hand until they are looked at;
    once per ``reference`` if there is one."""
    level, ledger = _begin(level_id, quantity, reason, "Quarantine", actor)
    if reference and _was_booked(level, Reason.QUARANTINE, reference):
        return level
    untouched_by_orders(level, quantity)
    ledger.move(level, -quantity, Reason.QUARANTINE, reference=reference, note=reason)
    ledger.move(
        level,
        quantity,
        Reason.QUARANTINE,
        bucket=Bucket.QUARANTINED,
        reference=reference,
        note=reason,
    )
    return _save(ledger, level, set_aside(tell.StockQuarantined, level, quantity, reason, actor))


@transaction.atomic
def restock_quarantined(
    *, level_id: int, quantity: int, reason: str, actor: str, reference: str = ""
) -> StockLevel:
    """Put units that turned out to be good back on hand, once per ``reference`` if there is one."""
    level, ledger = _begin(level_id, quantity, reason, "Restocking", actor)
    if reference and _was_booked(level, Reason.RESTOCK, reference):
        return level
    _are_quarantined(level, quantity)
    ledger.move(
        level,
        -quantity,
        Reason.RESTOCK,
        bucket=Bucket.QUARANTINED,
        reference=reference,
        note=reason,
    )
    ledger.move(level, quantity, Reason.RESTOCK, reference=reference, note=reason)
    return _save(ledger, level, set_aside(tell.StockRestocked, level, quantity, reason, actor))


@transaction.atomic
def scrap_stock(
    *,
    level_id: int,
    quantity: int,
    reason: str,
    actor: str,
    bucket: str = Bucket.QUARANTINED,
    reference: str = "",
) -> StockLevel:
    """Write units off for good, from quarantine or from what is on hand, once per ``reference``
    if there is one."""
    level, ledger = _begin(level_id, quantity, reason, "Scrapping", actor)
    if reference and _was_booked(level, Reason.SCRAP, reference):
        return level
    if bucket == Bucket.QUARANTINED:
        _are_quarantined(level, quantity)
    elif bucket == Bucket.ON_HAND:
        untouched_by_orders(level, quantity)
    else:
        raise InvalidStockChange("Units are scrapped from on_hand or from quarantined.")
    ledger.move(level, -quantity, Reason.SCRAP, bucket=bucket, reference=reference, note=reason)
    return _save(ledger, level, set_aside(tell.StockScrapped, level, quantity, reason, actor))


@transaction.atomic
def set_limits(
    *,
    level_id: int,
    actor: str,
    safety_stock: int | None = None,
    reorder_point: int | None = None,
) -> StockLevel:
    """Change what is never promised and when more is ordered; None: leave it as it is."""
    wanted = {"safety_stock": safety_stock, "reorder_point": reorder_point}
    limits = {
        name: a_quantity(value, name, at_least=0)
        for name, value in wanted.items()
        if value is not None
    }
    level = _lock(level_id)
    ledger = Ledger(actor=actor)
    told = change_limits(level, limits, ledger, actor)
    return _save(ledger, level, told, *wanted) if told else level


def change_limits(
    level: StockLevel, limits: Mapping[str, int], ledger: Ledger, actor: str
) -> tell.StockLimitsChanged | None:
    """Of a locked level, to be written by the ledger; None when they are these already."""
    if all(getattr(level, name) == value for name, value in limits.items()):
        return None
    ledger.touch([level])
    for name, value in limits.items():
        setattr(level, name, value)
    return tell.StockLimitsChanged(
        warehouse=level.warehouse.code,
        sku=level.product.sku,
        safety_stock=level.safety_stock,
        reorder_point=level.reorder_point,
        actor=actor,
    )


def adjusted(level: StockLevel, delta: int, reason: str) -> tell.StockAdjusted:
    """What is told of a level whose stock on hand was just corrected."""
    return tell.StockAdjusted(
        warehouse=level.warehouse.code,
        sku=level.product.sku,
        delta=delta,
        on_hand=level.on_hand,
        reserved=level.reserved,
        reason=reason,
    )


def _begin(
    level_id: int, quantity: int, reason: str, what: str, actor: str
) -> tuple[StockLevel, Ledger]:
    a_reason(reason, what)
    a_quantity(quantity, what)
    return _lock(level_id), Ledger(actor=actor)


def _lock(level_id: int) -> StockLevel:
    level = next(iter(locks.levels([level_id])), None)
    if level is None:
        raise InvalidStockChange(f"There is no stock level {level_id}.")
    return level


def _was_booked(level: StockLevel, reason: str, reference: str) -> bool:
    return StockMovement.objects.filter(level=level, reason=reason, reference=reference).exists()


def _are_quarantined(level: StockLevel, quantity: int) -> None:
    if quantity > level.quarantined:
        raise InvalidStockChange(
            f"{level}: {level.quarantined} in quarantine; {quantity} can't be taken from there."
        )


def set_aside(
    kind: type[tell.SetAside], level: StockLevel, quantity: int, reason: str, actor: str
) -> tell.SetAside:
    return kind(
        warehouse=level.warehouse.code,
        sku=level.product.sku,
        quantity=quantity,
        on_hand=level.on_hand,
        reserved=level.reserved,
        quarantined=level.quarantined,
        reason=reason,
        actor=actor,
    )


def _save(ledger: Ledger, level: StockLevel, told: Event, *fields: str) -> StockLevel:
    emissions = [Emission(told, level, level.advance()), *ledger.low()]
    ledger.write(*fields)
    emit_all(emissions)
    return level
