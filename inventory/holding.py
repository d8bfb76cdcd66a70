"""Promise: stock that is held for an order goes to the order when it is confirmed in time, and
back to everybody when it is not: one of them, once. Nothing of it is shipped before.

Routing never hears of what is only held, so nobody needs to be asked before it is let go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from orders.events import OrderConfirmed
from supplychain.errors import SupplyChainError
from supplychain.events import Event
from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from . import locks
from .allocating import by_type, promise, stock_for_new, tell_reserved
from .ledger import Ledger
from .models import Allocation, Backorder, Product, Reservation, StockLevel
from .taking import Stock, quantities, reserved_shipment

A, R = Allocation.State, Reservation.State

#: Orders that expire in one transaction, and how many such transactions one run makes.
EXPIRED_AT_ONCE, EXPIRIES_PER_RUN = 500, 20


class UnknownAllocation(SupplyChainError):
    """An event speaks of an order that was not placed here (yet)."""


@dataclass
class Held:
    """Some orders, with what is held for them and not yet confirmed, all locked."""

    levels: dict[int, StockLevel]
    allocations: dict[UUID, Allocation]
    rows: list[Reservation]
    ledger: Ledger = field(default_factory=lambda: Ledger(actor="system"))

    @classmethod
    def lock(cls, order_ids: Collection[UUID], *, make: Iterable[Allocation] = ()) -> Held:
        """``make``: rows for orders that have none, in the order of their keys.

        What an order is given between the look at its reservations and its lock is not among
        the locked levels; then all look again, with everything let go (a savepoint).
        """
        new = list(make)
        while True:
            with transaction.atomic():
                levels = {row.pk: row for row in locks.levels(_levels_held(order_ids))}
                Allocation.objects.bulk_create(new, ignore_conflicts=True, batch_size=500)
                allocations = locks.allocations(order_ids)
                rows = list(_held(order_ids).order_by("pk"))
                if all(row.level_id in levels for row in rows):
                    return cls(levels, allocations, rows)
                transaction.set_rollback(True)

    def of(self, order_ids: Collection[UUID]) -> list[Reservation]:
        return [row for row in self.rows if row.allocation_id in order_ids]

    def let_go(self, rows: Iterable[Reservation], becomes: str) -> None:
        """Their units are available again."""
        gone = list(rows)
        for row in gone:
            self.ledger.reserve(self.levels[row.level_id], -row.quantity)
        Reservation.objects.filter(pk__in=[row.pk for row in gone]).update(state=becomes)
        self.ledger.write()

    def quantities(self, rows: Iterable[Reservation]) -> list[tell.Quantity]:
        """The units of each product."""
        units: dict[str, int] = defaultdict(int)
        for row in rows:
            units[self.levels[row.level_id].product.sku] += row.quantity
        return quantities(units)


def _held(order_ids: Collection[UUID]) -> QuerySet[Reservation]:
    rows = Reservation.objects.filter(allocation__in=order_ids, state=R.HELD)
    return rows.filter(expires_at__isnull=False)


def _levels_held(order_ids: Collection[UUID]) -> Iterable[int]:
    return set(_held(order_ids).values_list("level_id", flat=True))


# --- expiry -------------------------------------------------------------------------------


def expire_holds() -> int:
    """Let go what is held for orders that were not confirmed in time; gives the number looked at.

    A confirmation may be a little late here, though it was in time: hence the grace.
    """
    before = timezone.now() - timedelta(seconds=settings.EXPIRY_GRACE)
    found = 0
    for _ in range(EXPIRIES_PER_RUN):
        some = _expire_some(before)
        found += some
        if some < EXPIRED_AT_ONCE:
            break
    return found


@transaction.atomic
def _expire_some(before: datetime) -> int:
    due = Allocation.objects.filter(state=A.OPEN, confirm_by__lt=before).order_by("confirm_by")
    ids = list(due.values_list("pk", flat=True)[:EXPIRED_AT_ONCE])
    held = Held.lock(ids)
    late = {
        pk: row
        for pk, row in held.allocations.items()
        if row.state == A.OPEN and row.confirm_by and row.confirm_by < before
    }
    held.let_go(held.of(late), R.EXPIRED)
    Backorder.objects.filter(allocation__in=late).delete()
    Allocation.objects.filter(pk__in=late).update(state=A.EXPIRED)
    emit_all([_tell_expired(row, held) for row in late.values()])
    return len(ids)


def _tell_expired(allocation: Allocation, held: Held) -> Emission:
    told = tell.ReservationExpired(
        order_id=allocation.pk,
        confirm_by=allocation.confirm_by,
        lines=held.quantities(held.of({allocation.pk})),
    )
    return Emission(told, allocation, correlation_id=allocation.correlation_id)


# --- confirmation -------------------------------------------------------------------------


@transaction.atomic
def confirm_allocations(*, confirmed: Sequence[OrderConfirmed]) -> None:
    """Hand over to routing what is held for these orders. What has expired meanwhile, though its
    order was confirmed in time, is reserved anew. Raises UnknownAllocation."""
    causes: dict[UUID, Event] = {event.order_id: event for event in confirmed}
    products, stock, allocations = _lock_to_confirm(causes)
    if missing := set(causes) - set(allocations):
        raise UnknownAllocation(f"Not placed here: {', '.join(map(str, sorted(missing)))}.")
    waiting = [row for row in allocations.values() if row.confirm_by]
    held = [row for row in waiting if row.state == A.OPEN]
    expired = sorted((row for row in waiting if row.state == A.EXPIRED), key=_line)
    for row in [*held, *expired]:
        row.state, row.confirm_by = A.OPEN, None
    ids = [row.pk for row in [*held, *expired]]
    Allocation.objects.filter(pk__in=ids).update(state=A.OPEN, confirm_by=None)
    emissions = _hand_over(held, causes)
    if expired:
        emissions += promise(stock, [(row, causes[row.pk]) for row in expired], products)
        emissions += stock.save()
    emit_all(by_type(emissions))


def _line(allocation: Allocation) -> tuple[int, datetime | None, UUID]:
    """See Backorder.LINE; every order that was placed has its time."""
    return -allocation.priority, allocation.placed_at, allocation.pk


def _lock_to_confirm(
    order_ids: Collection[UUID],
) -> tuple[dict[str, Product], Stock, dict[UUID, Allocation]]:
    """Orders, and before them the stock for those that have expired. One that expires between
    the look and its lock makes all look again."""
    lost = Allocation.objects.filter(pk__in=order_ids, state=A.EXPIRED)
    while True:
        with transaction.atomic():
            seen = dict(lost.values_list("pk", "wanted"))
            products = locks.products(sku for wanted in seen.values() for sku in wanted)
            stock = stock_for_new(products.values())
            allocations = locks.allocations(order_ids)
            if all(pk in seen for pk, row in allocations.items() if row.state == A.EXPIRED):
                return products, stock, allocations
            transaction.set_rollback(True)


def _hand_over(allocations: Sequence[Allocation], causes: Mapping[UUID, Event]) -> list[Emission]:
    """What was held is reserved; gives what must be told of it."""
    rows = Reservation.objects.filter(allocation__in=allocations, state=R.HELD)
    rows.update(expires_at=None)
    shipments: dict[UUID, dict[UUID, list[Reservation]]] = defaultdict(lambda: defaultdict(list))
    for row in rows.select_related("level__product", "level__warehouse").order_by("pk"):
        shipments[row.allocation_id][row.shipment_id].append(row)
    short: dict[UUID, dict[str, int]] = defaultdict(dict)
    waiting = Backorder.objects.filter(allocation__in=allocations)
    for pk, sku, units in waiting.values_list("allocation_id", "product__sku", "quantity"):
        short[pk][sku] = units
    return [
        tell_reserved(
            allocation,
            [_shipment(parcel) for parcel in shipments[allocation.pk].values()],
            short[allocation.pk],
            causes[allocation.pk],
        )
        for allocation in allocations
    ]


def _shipment(rows: Sequence[Reservation]) -> tell.ReservedShipment:
    units = [(row.level.product, row.quantity) for row in rows]
    return reserved_shipment(rows[0].shipment_id, rows[0].level.warehouse.code, units)
