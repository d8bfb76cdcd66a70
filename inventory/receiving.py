"""Promise: what a supplier has announced is known before it comes, what has come counts once
however often it is booked, and what is still missing of it stays visible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from supplychain.events import Event
from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from . import locks
from .checking import (
    CHUNK,
    InvalidStockChange,
    Lines,
    is_open,
    products,
    some,
    units,
)
from .ledger import Ledger, Reason
from .models import Product, Receipt, ReceiptLine, StockLevel, StockMovement, Warehouse

State = Receipt.State


@transaction.atomic
def expect_receipt(
    *,
    warehouse: Warehouse,
    reference: str,
    supplier: str,
    expected_on: date,
    lines: Lines,
    actor: str,
) -> tuple[Receipt, bool]:
    """Announce goods; gives the receipt and whether it is new.

    The same announcement again is the one that is there. Raises InvalidStockChange when the
    reference already announces something else.
    """
    if not reference.strip():
        raise InvalidStockChange("An announcement needs a reference, like the purchase order's.")
    wanted = units(lines)
    known = products(wanted)
    row, created = Receipt.objects.get_or_create(
        warehouse=is_open(warehouse),
        reference=reference.strip(),
        defaults={"supplier": supplier, "expected_on": expected_on, "created_by": actor},
    )
    if not created:
        if (row.supplier, row.expected_on, _announced(row)) != (supplier, expected_on, wanted):
            raise InvalidStockChange(
                f"Receipt {reference!r} in {warehouse} announces something else; change that one."
            )
        return row, False
    _write_lines(row, wanted, known)
    emit_all([Emission(_expected(row, wanted, actor), row)])
    return row, True


@transaction.atomic
def change_receipt(
    *,
    receipt_id: UUID,
    actor: str,
    supplier: str | None = None,
    expected_on: date | None = None,
    lines: Lines | None = None,
) -> Receipt:
    """Change an announcement; None: leave it as it is. What has come stays counted."""
    wanted = units(lines) if lines is not None else None
    known = products(wanted or ())
    row = _lock(receipt_id, "changed")
    row.supplier = row.supplier if supplier is None else supplier
    row.expected_on = expected_on or row.expected_on
    if wanted is not None:
        _replace_lines(row, wanted, known)
    row.save(update_fields=["supplier", "expected_on"])
    emit_all([Emission(_expected(row, _announced(row), actor), row)])
    _close_if_all_is_there(row, actor)
    return row


@transaction.atomic
def cancel_receipt(*, receipt_id: UUID, actor: str) -> Receipt:
    """The goods won't come. Raises InvalidStockChange when some have: close it then."""
    row = _lock(receipt_id, "cancelled")
    if row.lines.filter(received__gt=0).exists():
        raise InvalidStockChange(
            f"Of receipt {row.reference!r} something has come already; close it instead."
        )
    _end(row, State.CANCELLED)
    told = tell.ReceiptCancelled(
        receipt_id=row.pk, warehouse=row.warehouse.code, reference=row.reference, actor=actor
    )
    emit_all([Emission(told, row)])
    return row


@transaction.atomic
def close_receipt(*, receipt_id: UUID, actor: str) -> Receipt:
    """Wait no longer for what is missing."""
    row = _lock(receipt_id, "closed")
    _close(row, actor)
    return row


def receive_stock(
    *,
    warehouse: Warehouse,
    lines: Sequence[tuple[str, int]],
    reference: str,
    actor: str,
    receipt: Receipt | None = None,
) -> int:
    """Book goods in; idempotent by ``reference`` (the delivery's) per product.

    With a ``receipt`` they count as come of what it announces, and it is closed when all of it
    is there. A long delivery is booked in several transactions; after a crash between them the
    same delivery again books the rest. Gives the number of lines booked now; raises
    InvalidStockChange and books nothing when a line is wrong.
    """
    if not reference.strip():
        raise InvalidStockChange("A receipt needs a reference: it keeps it from counting twice.")
    wanted = units(lines)
    known = products(wanted)
    is_open(warehouse)
    if receipt is not None:
        _belongs(receipt, warehouse, wanted)
    booked = 0
    for start in range(0, len(lines), CHUNK):
        part = dict(lines[start : start + CHUNK])
        with transaction.atomic():
            booked += _receive(warehouse, part, known, reference, actor, receipt)
    return booked


def _belongs(receipt: Receipt, warehouse: Warehouse, wanted: Iterable[str]) -> None:
    if receipt.warehouse_id != warehouse.pk:
        raise InvalidStockChange(
            f"Receipt {receipt.reference!r} is expected in {receipt.warehouse}, not {warehouse}."
        )
    if surprises := set(wanted) - set(_announced(receipt)):
        raise InvalidStockChange(
            f"Receipt {receipt.reference!r} does not announce {some(surprises)}; "
            "change it, or receive those without it."
        )


def _receive(
    warehouse: Warehouse,
    quantities: Mapping[str, int],
    known: Mapping[str, Product],
    reference: str,
    actor: str,
    receipt: Receipt | None,
) -> int:
    row = locks.paper(Receipt, pk=receipt.pk) if receipt is not None else None
    at = locks.levels_at((warehouse.pk, known[sku].pk) for sku in quantities)
    booked_before = set(
        StockMovement.objects.filter(
            level__in=at.values(), reason=Reason.RECEIPT, reference=reference
        ).values_list("level_id", flat=True)
    )
    levels = [level for level in at.values() if level.pk not in booked_before]
    if levels and row is not None:
        _count_up(row, {level.product_id: quantities[level.product.sku] for level in levels})
    ledger = Ledger(actor=actor)
    for level in levels:
        ledger.move(level, quantities[level.product.sku], Reason.RECEIPT, reference=reference)
    emissions = [
        Emission(_received(level, quantities, reference), level, level.advance())
        for level in levels
    ]
    ledger.write()
    emit_all(emissions)
    if levels and row is not None:
        _close_if_all_is_there(row, actor)
    return len(levels)


def _count_up(receipt: Receipt, came: Mapping[int, int]) -> None:
    if receipt.state != State.EXPECTED:
        raise InvalidStockChange(
            f"Receipt {receipt.reference!r} is {receipt.state}; receive these goods without it."
        )
    lines = list(receipt.lines.filter(product__in=came))
    for line in lines:
        line.received += came[line.product_id]
    ReceiptLine.objects.bulk_update(lines, ["received"])


def _received(level: StockLevel, quantities: Mapping[str, int], reference: str) -> Event:
    return tell.StockReceived(
        warehouse=level.warehouse.code,
        sku=level.product.sku,
        quantity=quantities[level.product.sku],
        on_hand=level.on_hand,
        reserved=level.reserved,
        reference=reference,
    )


def _lock(receipt_id: UUID, what: str) -> Receipt:
    row = locks.paper(Receipt, pk=receipt_id)
    if row is None:
        raise InvalidStockChange(f"There is no receipt {receipt_id}.")
    if row.state != State.EXPECTED:
        raise InvalidStockChange(
            f"Receipt {row.reference!r} is {row.state}; it can't be {what} any more."
        )
    return row


def _announced(receipt: Receipt) -> dict[str, int]:
    return dict(receipt.lines.values_list("product__sku", "quantity"))


def _write_lines(row: Receipt, wanted: Mapping[str, int], known: Mapping[str, Product]) -> None:
    ReceiptLine.objects.bulk_create(
        [
            ReceiptLine(receipt=row, product=known[sku], quantity=quantity)
            for sku, quantity in wanted.items()
        ],
        batch_size=1000,
    )


def _replace_lines(row: Receipt, wanted: Mapping[str, int], known: Mapping[str, Product]) -> None:
    there = {line.product.sku: line for line in row.lines.select_related("product")}
    if come := {sku for sku, line in there.items() if line.received} - set(wanted):
        raise InvalidStockChange(f"{some(come)} has come already; its line can't be left out.")
    row.lines.exclude(product__sku__in=wanted).delete()
    kept = [line for sku, line in there.items() if sku in wanted]
    for line in kept:
        line.quantity = wanted[line.product.sku]
    ReceiptLine.objects.bulk_update(kept, ["quantity"], batch_size=500)
    _write_lines(row, {sku: n for sku, n in wanted.items() if sku not in there}, known)


def _expected(row: Receipt, wanted: Mapping[str, int], actor: str) -> Event:
    return tell.ReceiptExpected(
        receipt_id=row.pk,
        warehouse=row.warehouse.code,
        reference=row.reference,
        supplier=row.supplier,
        expected_on=row.expected_on,
        lines=[tell.Quantity(sku=sku, quantity=quantity) for sku, quantity in wanted.items()],
        actor=actor,
    )


def _close_if_all_is_there(row: Receipt, actor: str) -> None:
    if all(received >= n for n, received in row.lines.values_list("quantity", "received")):
        _close(row, actor)


def _close(row: Receipt, actor: str) -> None:
    _end(row, State.RECEIVED)
    lines = row.lines.order_by("pk").values_list("product__sku", "quantity", "received")
    told = tell.ReceiptClosed(
        receipt_id=row.pk,
        warehouse=row.warehouse.code,
        reference=row.reference,
        lines=[tell.Delivery(sku=sku, quantity=n, received=got) for sku, n, got in lines],
        actor=actor,
    )
    emit_all([Emission(told, row)])


def _end(row: Receipt, state: str) -> None:
    row.state, row.ended_at = state, timezone.now()
    row.save(update_fields=["state", "ended_at"])
