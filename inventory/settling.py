"""Promise: when a shipment leaves, stays or comes back, its units are counted once: out of
reserved, out of on hand, or back in, with the ledger telling the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from supplychain.errors import SupplyChainError
from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from . import locks
from .ledger import Ledger, Reason
from .models import Reservation, StockLevel

R = Reservation.State


class UnknownShipment(SupplyChainError):
    """An event speaks of a shipment that has no reservation here."""


@transaction.atomic
def release_shipments(*, events: Sequence[Any]) -> None:
    """Shipments that will never leave: their units are available again."""
    settled = _Settlement(events, expected=R.HELD, becomes=R.RELEASED)
    for row in settled.rows:
        settled.ledger.reserve(settled.level(row), -row.quantity)
    settled.save(tell.StockReleased)


@transaction.atomic
def commit_shipments(*, events: Sequence[Any]) -> None:
    """Shipments that have left: their units are no longer on hand."""
    settled = _Settlement(events, expected=R.HELD, becomes=R.COMMITTED)
    for row in settled.rows:
        settled.ledger.reserve(settled.level(row), -row.quantity)
    settled.move(Reason.DISPATCH, -1)
    settled.save(tell.StockCommitted)


@transaction.atomic
def return_shipments(*, events: Sequence[Any]) -> None:
    """Shipments that came back: their units are on hand again, but for those that a customer had
    sent back before.

    Raises SupplyChainError when one has not left by what is known here: its return overtook
    its dispatch and is tried again.
    """
    settled = _Settlement(events, expected=R.COMMITTED, becomes=R.RETURNED)
    if any(row.state == R.HELD for row in settled.others):
        raise SupplyChainError("A shipment came back of which it is not yet known that it left.")
    settled.move(Reason.RETURN, +1)
    settled.save(tell.StockReturned)


class _Settlement:
    """The reservations of some shipments, locked with their levels, on the way to a new state.

    Those not in the expected state are left alone: they were settled before.
    """

    def __init__(self, events: Sequence[Any], *, expected: str, becomes: str) -> None:
        self._cause = {event.shipment_id: event for event in events}
        self._becomes = becomes
        self.ledger = Ledger(actor="system")
        found = Reservation.objects.filter(shipment_id__in=self._cause).order_by("pk")
        ids = list(found.values_list("level_id", "allocation_id"))
        self._levels = {level.pk: level for level in locks.levels(pk for pk, _ in ids)}
        self._allocations = locks.allocations(pk for _, pk in ids)
        # Read under the locks: what another transaction settled meanwhile is seen as settled.
        every = list(found)
        if missing := set(self._cause) - {row.shipment_id for row in every}:
            raise UnknownShipment(f"No reservation for {', '.join(map(str, sorted(missing)))}.")
        self.rows = [row for row in every if row.state == expected]
        self.others = [row for row in every if row.state != expected]

    def level(self, row: Reservation) -> StockLevel:
        return self._levels[row.level_id]

    def move(self, reason: str, sign: int) -> None:
        for row in self.rows:
            self.ledger.move(
                self.level(row),
                sign * _units(row),
                reason,
                reference=str(row.shipment_id),
                correlation_id=self._cause[row.shipment_id].envelope.correlation_id,
            )

    def save(self, kind: type[tell.ShipmentStock]) -> None:
        self.ledger.write()
        ids = [row.pk for row in self.rows]
        Reservation.objects.filter(pk__in=ids).update(state=self._becomes)
        by_shipment: dict[UUID, list[Reservation]] = defaultdict(list)
        for row in self.rows:
            by_shipment[row.shipment_id].append(row)
        emit_all(
            [
                Emission(
                    self._tell(kind, rows),
                    self._allocations[rows[0].allocation_id],
                    cause=self._cause[pk],
                )
                for pk, rows in by_shipment.items()
            ]
        )

    def _tell(self, kind: type[tell.ShipmentStock], rows: list[Reservation]) -> tell.ShipmentStock:
        lines = [
            tell.Quantity(sku=self.level(row).product.sku, quantity=_units(row)) for row in rows
        ]
        return kind(
            order_id=rows[0].allocation_id,
            shipment_id=rows[0].shipment_id,
            warehouse=self.level(rows[0]).warehouse.code,
            lines=lines,
        )


def _units(row: Reservation) -> int:
    """What it moves: of a shipment that comes back some may be back already."""
    return row.quantity - row.returned
