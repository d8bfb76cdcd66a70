"""Promise: stock on its way from one warehouse to another is counted at every moment: at the
source, in transit to the target, at the target, or as lost, with who said so and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from supplychain.events import Event
from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from . import locks
from .checking import InvalidStockChange, Lines, a_reason, is_open, products, some, units
from .ledger import Bucket, Ledger, Reason
from .models import Product, StockLevel, Transfer, TransferLine, Warehouse
from .taking import quantities

State = Transfer.State


@transaction.atomic
def propose_transfer(
    *,
    source: Warehouse,
    target: Warehouse,
    lines: Lines,
    reason: str,
    actor: str,
    expected_on: date | None = None,
) -> Transfer:
    """Say that stock should be moved; nothing moves yet.

    The source may be inactive: that is how a closed warehouse is emptied.
    """
    if source.pk == target.pk:
        raise InvalidStockChange(f"{source} can't send stock to itself; name another warehouse.")
    wanted = units(lines)
    known = products(wanted)
    row = Transfer.objects.create(
        source=source,
        target=is_open(target),
        reason=reason.strip(),
        created_by=actor,
        expected_on=expected_on,
    )
    _write_lines(row, wanted, known)
    emit_all([Emission(_proposed(row, wanted, actor), row)])
    return row


@transaction.atomic
def change_transfer(*, transfer_id: UUID, lines: Lines, actor: str) -> Transfer:
    """Move this instead of what was proposed."""
    wanted = units(lines)
    known = products(wanted)
    row = _lock(transfer_id, "changed", State.PROPOSED)
    row.lines.all().delete()
    _write_lines(row, wanted, known)
    emit_all([Emission(_proposed(row, wanted, actor), row)])
    return row


@transaction.atomic
def ship_transfer(*, transfer_id: UUID, actor: str, expected_on: date | None = None) -> Transfer:
    """The goods have left the source; only what no order has reserved may leave."""
    row = _lock(transfer_id, "shipped", State.PROPOSED)
    is_open(row.target)
    lines = _lines(row)
    at = _levels(row, lines)
    if short := [
        f"{line.product} ({at[row.source_id, line.product_id].available} available)"
        for line in lines
        if line.quantity > at[row.source_id, line.product_id].available
    ]:
        raise InvalidStockChange(
            f"{row.source} has too few of {some(short)}; change the transfer to what can be sent."
        )
    ledger = _Moves(row, actor)
    for line in lines:
        ledger.move(at[row.source_id, line.product_id], -line.quantity, Reason.TRANSFER_OUT)
        ledger.transit(at[row.target_id, line.product_id], line.quantity, Reason.TRANSFER_OUT)
    row.state, row.shipped_at = State.IN_TRANSIT, timezone.now()
    row.expected_on = expected_on or row.expected_on
    row.save(update_fields=["state", "shipped_at", "expected_on"])
    ledger.save(
        tell.TransferShipped(
            **_names(row, actor),
            lines=quantities({line.product.sku: line.quantity for line in lines}),
            expected_on=row.expected_on,
        )
    )
    return row


@transaction.atomic
def receive_transfer(
    *, transfer_id: UUID, actor: str, lines: Lines | None = None, reason: str = ""
) -> Transfer:
    """The goods have arrived: all of them, or what ``lines`` say for each product (0: none).

    What has not arrived is lost, for which a ``reason`` must be given. What turns up later is an
    adjustment.
    """
    row = _lock(transfer_id, "received", State.IN_TRANSIT)
    sent = _lines(row)
    _count_arrivals(sent, units(lines, at_least=0) if lines is not None else None)
    if any(line.received < line.quantity for line in sent):
        reason = a_reason(reason, "What was lost on the way")
    at = _levels(row, sent)
    ledger = _Moves(row, actor, note=reason)
    for line in sent:
        level = at[row.target_id, line.product_id]
        ledger.transit(level, -line.received, Reason.TRANSFER_IN)
        ledger.move(level, line.received, Reason.TRANSFER_IN)
        ledger.transit(level, line.received - line.quantity, Reason.TRANSFER_LOSS)
    TransferLine.objects.bulk_update(sent, ["received"], batch_size=500)
    _end(row, State.RECEIVED)
    arrived = [
        tell.Delivery(sku=line.product.sku, quantity=line.quantity, received=line.received)
        for line in sent
    ]
    ledger.save(tell.TransferReceived(**_names(row, actor), lines=arrived, reason=reason))
    return row


@transaction.atomic
def cancel_transfer(*, transfer_id: UUID, reason: str, actor: str) -> Transfer:
    """It won't happen; what is on the way goes back to the source and is on hand there."""
    reason = a_reason(reason, "Cancelling a transfer")
    row = _lock(transfer_id, "cancelled", State.PROPOSED, State.IN_TRANSIT)
    lines = _lines(row) if row.state == State.IN_TRANSIT else []
    at = _levels(row, lines)
    ledger = _Moves(row, actor, note=reason)
    for line in lines:
        ledger.transit(at[row.target_id, line.product_id], -line.quantity, Reason.TRANSFER_IN)
        ledger.move(at[row.source_id, line.product_id], line.quantity, Reason.TRANSFER_IN)
    _end(row, State.CANCELLED)
    back = quantities({line.product.sku: line.quantity for line in lines})
    ledger.save(tell.TransferCancelled(**_names(row, actor), came_back=back))
    return row


class _Moves:
    """The ledger's lines of one transfer, each with its id as the reference."""

    def __init__(self, transfer: Transfer, actor: str, note: str = "") -> None:
        self._transfer, self._note = transfer, note
        self._ledger = Ledger(actor=actor)

    def move(self, level: StockLevel, delta: int, reason: str) -> None:
        reference = str(self._transfer.pk)
        self._ledger.move(level, delta, reason, reference=reference, note=self._note)

    def transit(self, level: StockLevel, delta: int, reason: str) -> None:
        """On its way to this level."""
        self._ledger.move(
            level,
            delta,
            reason,
            bucket=Bucket.IN_TRANSIT,
            reference=str(self._transfer.pk),
            note=self._note,
        )

    def save(self, told: Event) -> None:
        low = self._ledger.low()
        self._ledger.write()
        emit_all([Emission(told, self._transfer), *low])


def _lock(transfer_id: UUID, what: str, *states: str) -> Transfer:
    row = locks.paper(Transfer, pk=transfer_id)
    if row is None:
        raise InvalidStockChange(f"There is no transfer {transfer_id}.")
    if row.state not in states:
        state = row.state.replace("_", " ")
        raise InvalidStockChange(f"Transfer {row.pk} is {state}; it can't be {what} now.")
    return row


def _lines(row: Transfer) -> list[TransferLine]:
    return list(row.lines.select_related("product").order_by("pk"))


def _levels(row: Transfer, lines: Iterable[TransferLine]) -> dict[tuple[int, int], StockLevel]:
    """By warehouse and product, of both ends."""
    ends = (row.source_id, row.target_id)
    return locks.levels_at((end, line.product_id) for end in ends for line in lines)


def _count_arrivals(sent: Iterable[TransferLine], arrived: Mapping[str, int] | None) -> None:
    if arrived is None:
        arrived = {line.product.sku: line.quantity for line in sent}
    shipped = {line.product.sku for line in sent}
    if strange := set(arrived) - shipped:
        raise InvalidStockChange(f"{some(strange)} is not in this transfer; adjust the stock.")
    if unsaid := shipped - set(arrived):
        raise InvalidStockChange(
            f"Say how many of {some(unsaid)} have arrived, 0 if none; each product must be named."
        )
    for line in sent:
        line.received = arrived[line.product.sku]
        if line.received > line.quantity:
            raise InvalidStockChange(
                f"{line.product}: {line.quantity} were shipped, {line.received} can't arrive; "
                f"receive {line.quantity} and adjust the stock by what is too much."
            )


def _write_lines(row: Transfer, wanted: Mapping[str, int], known: Mapping[str, Product]) -> None:
    TransferLine.objects.bulk_create(
        [
            TransferLine(transfer=row, product=known[sku], quantity=quantity)
            for sku, quantity in wanted.items()
        ],
        batch_size=1000,
    )


def _names(row: Transfer, actor: str) -> dict[str, object]:
    return {
        "transfer_id": row.pk,
        "source": row.source.code,
        "target": row.target.code,
        "actor": actor,
    }


def _proposed(row: Transfer, wanted: Mapping[str, int], actor: str) -> Event:
    return tell.TransferProposed(**_names(row, actor), lines=quantities(wanted), reason=row.reason)


def _end(row: Transfer, state: str) -> None:
    row.state, row.ended_at = state, timezone.now()
    row.save(update_fields=["state", "ended_at"])
