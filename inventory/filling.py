"""Promise: stock that has become available goes to the orders that have waited longest for it,
and none waits while what it waits for is there.

Set-based, and only as much of a line is read as the stock reaches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from uuid import UUID

from django.db import transaction
from django.db.models import F, OuterRef, Subquery, Sum, Window

from supplychain.events import Event
from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from . import locks
from .allocating import allocation_event, awaited, by_type
from .models import Allocation, Backorder, StockLevel
from .rules import DESTINATION, Rules
from .taking import Stock


@transaction.atomic
def fill_backorders(*, skus: Iterable[str], brought_by: Sequence[tell.StockEvent] = ()) -> None:
    """Give available stock of these products to the backorders that wait, first in line first.

    An order is filled because of the event that brought its stock, if that was a single one.
    """
    products = locks.products(skus)
    wanted_of = [products[sku] for sku in awaited(products.values())]
    if not wanted_of:
        return
    stock = Stock.lock(wanted_of)
    line = _Line.lock({product.pk for product in wanted_of}, stock.rules)
    emissions = []
    for allocation, wanted in line.served():
        shipments, short = stock.take(allocation, wanted)
        if not shipments:  # what the line was cut to had come in after the levels were locked
            continue
        outstanding = line.leave(allocation, short)
        told = allocation_event(tell.BackorderFilled, allocation, shipments, outstanding)
        cause = _cause(shipments, brought_by)
        emissions.append(
            Emission(told, allocation, cause=cause, correlation_id=allocation.correlation_id)
        )
    emissions += stock.save()
    line.save()
    emit_all(by_type(emissions))


def _cause(
    shipments: Sequence[tell.ReservedShipment], brought_by: Sequence[tell.StockEvent]
) -> Event | None:
    given = {line.sku for shipment in shipments for line in shipment.lines}
    causes = [event for event in brought_by if event.skus & given]
    return causes[0] if len(causes) == 1 else None


class _Line:
    """The orders that what is available goes to, in line, with all that they wait for."""

    def __init__(self, product_ids: set[int], allocations: dict[UUID, Allocation]) -> None:
        self._product_ids = product_ids
        self._allocations = allocations
        self._orders: dict[UUID, list[Backorder]] = defaultdict(list)
        self._changed: list[Backorder] = []
        rows = Backorder.objects.filter(allocation__in=allocations).select_related("product")
        for row in rows.order_by(*Backorder.LINE):
            self._orders[row.allocation_id].append(row)

    @classmethod
    def lock(cls, product_ids: set[int], rules: Rules) -> _Line:
        """Under the locks of these products and their levels.

        An order that is cancelled between the look at the line and its lock leaves a gap; then
        all look again, with the allocations let go (a savepoint), so that whatever the line
        turns out to be, it is locked in one sweep.
        """
        while True:
            with transaction.atomic():
                first = dict(_first_in_line(product_ids, rules))
                line = cls(product_ids, locks.allocations(first.values()))
                there = {row.pk for rows in line._orders.values() for row in rows}
                if there.issuperset(first):
                    return line
                transaction.set_rollback(True)

    def served(self) -> Iterator[tuple[Allocation, dict[str, int]]]:
        """Each order with what it wants of the locked products."""
        for pk, rows in self._orders.items():
            mine = {r.product.sku: r.quantity for r in rows if r.product_id in self._product_ids}
            yield self._allocations[pk], mine

    def leave(self, allocation: Allocation, short: Mapping[str, int]) -> dict[str, int]:
        """Only what is short still waits; gives all that the order still waits for."""
        rows = self._orders[allocation.pk]
        for row in rows:
            left = short.get(row.product.sku, 0)
            if row.product_id in self._product_ids and left != row.quantity:
                row.quantity = left
                self._changed.append(row)
        return {row.product.sku: row.quantity for row in rows if row.quantity}

    def save(self) -> None:
        shorter = [row for row in self._changed if row.quantity]
        Backorder.objects.bulk_update(shorter, ["quantity"])
        done = [row.pk for row in self._changed if not row.quantity]
        Backorder.objects.filter(pk__in=done).delete()


def _first_in_line(product_ids: set[int], rules: Rules) -> Iterable[tuple[int, UUID]]:
    """The backorders (with their orders) that what is available reaches: those before which
    fewer units of the product are waited for. However long the line, no more are fetched.

    Where some warehouse does not ship everywhere, there is a line for each destination: what
    the first may not have must not end at it."""
    lines = ["product", *(DESTINATION if rules.exclude else ())]
    mine = StockLevel.objects.filter(product=OuterRef("product"), warehouse__active=True)
    total = mine.order_by().values("product").values(total=Sum(StockLevel.PROMISABLE))
    up_to = Window(Sum("quantity"), partition_by=lines, order_by=list(Backorder.LINE))
    return (
        Backorder.objects.filter(product__in=product_ids)
        .annotate(before=up_to - F("quantity"), available=Subquery(total))
        .filter(before__lt=F("available"))
        .values_list("pk", "allocation_id")
    )
