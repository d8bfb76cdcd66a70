"""Promise: what a customer sends back is booked in once, no more of it than had left; only what
is fit to be sold is available again, and what is scrapped stands in the ledger too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple
from uuid import UUID

from django.db import transaction

from supplychain.errors import SupplyChainError
from supplychain.events.outbox import emit

from . import events as tell
from . import locks
from .ledger import Bucket, Ledger, Reason
from .models import Reservation, StockLevel, StockMovement

R = Reservation.State
Disposition = Literal["restock", "quarantine", "scrap"]
#: Where units of each disposition go, and for which reason; scrapped goods come in and go out.
_STEPS: Mapping[str, Sequence[tuple[str, str, int]]] = {
    "restock": [(Bucket.ON_HAND, Reason.RETURN, +1)],
    "quarantine": [(Bucket.QUARANTINED, Reason.RETURN, +1)],
    "scrap": [(Bucket.QUARANTINED, Reason.RETURN, +1), (Bucket.QUARANTINED, Reason.SCRAP, -1)],
}


class InvalidReturn(SupplyChainError):
    """The return doesn't fit what has left."""

    permanent = True


class ReturnLine(NamedTuple):
    sku: str
    quantity: int
    disposition: Disposition


@transaction.atomic
def take_back(
    *, shipment_id: UUID, lines: Sequence[ReturnLine], reference: str, actor: str
) -> bool:
    """Book in goods of a shipment that the customer has sent back.

    Idempotent by ``reference`` within the shipment: gives whether it was booked now. Raises
    InvalidReturn, and books nothing.
    """
    if not reference.strip():
        raise InvalidReturn("A return needs a reference: it keeps it from counting twice.")
    parcel = _Parcel(shipment_id)
    movements = _movements(lines)
    place = f"{shipment_id} {reference}"
    if booked := parcel.booked(place):
        if booked != movements:
            raise InvalidReturn(f"The reference {reference!r} is taken by another return.")
        return False
    parcel.check(lines)
    ledger = Ledger(actor=actor)
    for (sku, bucket, reason), delta in movements.items():
        ledger.move(parcel.levels[sku], delta, reason, bucket=bucket, reference=place)
    ledger.write()
    parcel.note(lines)
    told = tell.GoodsReturned(
        order_id=parcel.allocation.pk,
        shipment_id=shipment_id,
        warehouse=next(iter(parcel.levels.values())).warehouse.code,
        reference=reference,
        lines=[tell.ReturnedLine(**line._asdict()) for line in lines],
    )
    emit(told, of=parcel.allocation, correlation_id=parcel.allocation.correlation_id)
    return True


def _movements(lines: Sequence[ReturnLine]) -> dict[tuple[str, str, str], int]:
    """{(SKU, bucket, reason): delta}"""
    deltas: Counter[tuple[str, str, str]] = Counter()
    for line in lines:
        for bucket, reason, sign in _STEPS[line.disposition]:
            deltas[line.sku, bucket, reason] += sign * line.quantity
    return dict(deltas)


class _Parcel:
    """A shipment's reservations, locked with their levels and their order."""

    def __init__(self, shipment_id: UUID) -> None:
        found = Reservation.objects.filter(shipment_id=shipment_id).order_by("pk")
        ids = list(found.values_list("level_id", "allocation_id"))
        if not ids:
            raise InvalidReturn(f"There is no shipment {shipment_id}.")
        levels = locks.levels(pk for pk, _ in ids)
        [self.allocation] = locks.allocations(pk for _, pk in ids).values()
        self.levels: dict[str, StockLevel] = {level.product.sku: level for level in levels}
        skus = {level.pk: level.product.sku for level in levels}
        #: What has left, by SKU.
        self._rows = {skus[row.level_id]: row for row in found if row.state == R.COMMITTED}

    def booked(self, place: str) -> dict[tuple[str, str, str], int]:
        """The movements of an earlier return with this reference."""
        skus = {level.pk: sku for sku, level in self.levels.items()}
        rows = StockMovement.objects.filter(level__in=skus, reference=place)
        values = rows.values_list("level_id", "bucket", "reason", "delta")
        return {(skus[pk], bucket, reason): delta for pk, bucket, reason, delta in values}

    def check(self, lines: Collection[ReturnLine]) -> None:
        if not lines or any(line.quantity < 1 for line in lines):
            raise InvalidReturn("A return needs lines of at least one unit each.")
        for sku, units in _units(lines).items():
            row = self._rows.get(sku)
            if row is None:
                raise InvalidReturn(f"No {sku} has left with this shipment.")
            if units > row.quantity - row.returned:
                raise InvalidReturn(
                    f"{sku}: {row.quantity} have left and {row.returned} of them are back; "
                    f"{units} can't come back."
                )

    def note(self, lines: Collection[ReturnLine]) -> None:
        for sku, units in _units(lines).items():
            self._rows[sku].returned += units
        Reservation.objects.bulk_update(self._rows.values(), ["returned"])


def _units(lines: Collection[ReturnLine]) -> Counter[str]:
    units: Counter[str] = Counter()
    for line in lines:
        units[line.sku] += line.quantity
    return units
