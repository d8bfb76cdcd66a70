"""Promise: no unit is promised twice: what is reserved was available under the lock of its
stock level, and level, reservations and events commit together.

Set-based: a batch of orders takes the same handful of statements as a single one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction

from orders.events import OrderPlaced
from supplychain.events import Event
from supplychain.events.context import new_id
from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from . import locks
from .models import Allocation, Backorder, Product, Reservation, StockLevel
from .sourcing import Site, choose


@dataclass
class _Stock:
    """The locked levels of the products at hand, and what is taken from them."""

    levels: dict[tuple[int, str], StockLevel]
    available: dict[tuple[int, str], int]
    sites: list[Site]
    touched: set[int] = field(default_factory=set)
    reservations: list[Reservation] = field(default_factory=list)

    @classmethod
    def lock(cls, product_ids: Iterable[int]) -> _Stock:
        rows = locks.levels_of_products(product_ids)
        levels = {(row.warehouse_id, row.product.sku): row for row in rows}
        warehouses = {r.warehouse_id: r.warehouse for r in rows if r.warehouse.active}
        return cls(
            levels=levels,
            available={key: level.available for key, level in levels.items()},
            sites=[Site(w.pk, w.latitude, w.longitude) for w in warehouses.values()],
        )

    def take(
        self, allocation: Allocation, wanted: Mapping[str, int]
    ) -> tuple[list[tell.ReservedShipment], dict[str, int]]:
        """Reserve what there is; gives one shipment per warehouse and what is short."""
        place = allocation.destination
        parcels, short = choose(
            wanted, self.sites, self.available, place["latitude"], place["longitude"]
        )
        return [self._ship(allocation, *parcel) for parcel in parcels.items()], short

    def _ship(
        self, allocation: Allocation, site: int, units: Mapping[str, int]
    ) -> tell.ReservedShipment:
        shipment_id = new_id()
        weight, volume, warehouse = 0.0, 0.0, ""
        for sku, quantity in units.items():
            level = self.levels[site, sku]
            level.reserved += quantity
            self.available[site, sku] -= quantity
            self.touched.add(level.pk)
            weight += float(level.product.weight_kg) * quantity
            volume += float(level.product.volume_m3) * quantity
            warehouse = level.warehouse.code
            self.reservations.append(
                Reservation(
                    shipment_id=shipment_id, allocation=allocation, level=level, quantity=quantity
                )
            )
        return tell.ReservedShipment(
            shipment_id=shipment_id,
            warehouse=warehouse,
            lines=quantities(units),
            weight_kg=round(weight, 3),
            volume_m3=round(volume, 6),
        )

    def save(self) -> None:
        changed = [level for level in self.levels.values() if level.pk in self.touched]
        StockLevel.objects.bulk_update(changed, ["reserved"])
        Reservation.objects.bulk_create(self.reservations, batch_size=1000)


def quantities(units: Mapping[str, int]) -> list[tell.Quantity]:
    return [tell.Quantity(sku=sku, quantity=quantity) for sku, quantity in units.items()]


@transaction.atomic
def reserve_orders(*, placed: Sequence[OrderPlaced]) -> None:
    """Reserve stock for orders, first come first served; what is short goes on backorder."""
    products = Product.objects.filter(sku__in={line.sku for e in placed for line in e.lines})
    by_sku = {product.sku: product for product in products}
    known = _new_allocations(placed)
    batch = sorted((e for e in placed if e.order_id in known), key=lambda e: e.placed_at)
    stock = _Stock.lock(product.pk for product in by_sku.values())
    backorders: list[Backorder] = []
    emissions: list[Emission] = []
    for event in batch:
        allocation = known[event.order_id]
        if unknown := [line.sku for line in event.lines if line.sku not in by_sku]:
            emissions.append(_reject(allocation, event, unknown))
            continue
        shipments, short = stock.take(allocation, {x.sku: x.quantity for x in event.lines})
        backorders += [
            Backorder(
                allocation=allocation,
                product=by_sku[sku],
                quantity=units,
                placed_at=event.placed_at,
            )
            for sku, units in short.items()
        ]
        emissions.append(_tell_reserved(allocation, event, shipments, short))
    Allocation.objects.bulk_create(known.values(), batch_size=500)
    stock.save()
    Backorder.objects.bulk_create(backorders, batch_size=1000)
    emit_all(emissions)


def _new_allocations(placed: Sequence[OrderPlaced]) -> dict[UUID, Allocation]:
    """Rows for the orders that have none; a cancellation that overtook its order left one."""
    there = set(
        Allocation.objects.filter(pk__in=[e.order_id for e in placed]).values_list("pk", flat=True)
    )
    return {
        event.order_id: Allocation(
            order_id=event.order_id,
            event_sequence=1,
            destination=_destination(event),
            requested_from=event.requested_from,
            requested_until=event.requested_until,
            placed_at=event.placed_at,
            correlation_id=event.envelope.correlation_id,
        )
        for event in placed
        if event.order_id not in there
    }


def _destination(event: OrderPlaced) -> dict[str, Any]:
    customer = {"name": event.customer.name, "phone": event.customer.phone}
    return {**event.ship_to.model_dump(), **customer}


def _reject(allocation: Allocation, event: OrderPlaced, unknown: list[str]) -> Emission:
    allocation.state = Allocation.State.REJECTED
    reason = f"There is no product {', '.join(sorted(unknown))}."
    told = tell.AllocationRejected(order_id=event.order_id, reason=reason)
    return Emission(told, allocation, sequence=1, cause=event)


def _tell_reserved(
    allocation: Allocation,
    event: OrderPlaced,
    shipments: list[tell.ReservedShipment],
    short: Mapping[str, int],
) -> Emission:
    told: Event
    if shipments:
        told = _allocation_event(tell.StockReserved, allocation, shipments, short)
    else:
        told = tell.StockShort(order_id=event.order_id, outstanding=quantities(short))
    return Emission(told, allocation, sequence=1, cause=event)


def _allocation_event(
    kind: type[tell.AllocationEvent],
    allocation: Allocation,
    shipments: list[tell.ReservedShipment],
    outstanding: Mapping[str, int],
) -> tell.AllocationEvent:
    return kind(
        order_id=allocation.pk,
        shipments=shipments,
        outstanding=quantities(outstanding),
        ship_to=tell.Destination(**allocation.destination),
        requested_from=allocation.requested_from,
        requested_until=allocation.requested_until,
    )


def fill_backorders(*, product_ids: Iterable[int], cause: Event | None = None) -> int:
    """Give available stock to the backorders that wait for it, first come first served.

    For services that have just made stock available, in their transaction. Gives how many
    orders got something.
    """
    waiting = _waiting(product_ids)
    if not waiting:
        return 0
    allocations = locks.allocations(waiting)
    stock = _Stock.lock({b.product_id for rows in waiting.values() for b in rows})
    # Read again under the levels' locks: somebody else may have filled them meanwhile.
    waiting = _waiting(product_ids, only=set(allocations))
    emissions, changed, done = [], [], []
    for order_id in sorted(waiting, key=lambda pk: (waiting[pk][0].placed_at, pk)):
        allocation, rows = allocations[order_id], waiting[order_id]
        shipments, short = stock.take(allocation, {b.product.sku: b.quantity for b in rows})
        if not shipments:
            continue
        changed += [b for b in rows if 0 < short.get(b.product.sku, 0) < b.quantity]
        done += [b.pk for b in rows if not short.get(b.product.sku)]
        for row in rows:
            row.quantity = short.get(row.product.sku, 0)
        told = _allocation_event(tell.BackorderFilled, allocation, shipments, short)
        emissions.append(
            Emission(told, allocation, cause=cause, correlation_id=allocation.correlation_id)
        )
    stock.save()
    Backorder.objects.bulk_update(changed, ["quantity"])
    Backorder.objects.filter(pk__in=done).delete()
    emit_all(emissions)
    return len(emissions)


def _waiting(
    product_ids: Iterable[int], only: set[UUID] | None = None
) -> dict[UUID, list[Backorder]]:
    """All backorders of the orders that wait for one of these products, by order."""
    orders = Backorder.objects.filter(product_id__in=set(product_ids))
    if only is not None:
        orders = orders.filter(allocation_id__in=only)
    rows = (
        Backorder.objects.select_related("product")
        .filter(allocation_id__in=orders.values("allocation_id"))
        .order_by("placed_at", "pk")
    )
    by_order: dict[UUID, list[Backorder]] = defaultdict(list)
    for row in rows:
        by_order[row.allocation_id].append(row)
    return by_order


@transaction.atomic
def cancel_allocations(*, order_ids: Sequence[UUID], correlation_ids: Sequence[str]) -> None:
    """Nothing more is reserved for these orders.

    What is held stays held until routing says that it has not left (ShipmentCancelled): stock
    on a truck is never sold again.
    """
    Allocation.objects.bulk_create(
        [
            Allocation(order_id=pk, state=Allocation.State.CANCELLED, correlation_id=journey)
            for pk, journey in sorted(zip(order_ids, correlation_ids, strict=True))
        ],
        ignore_conflicts=True,
    )
    rows = locks.allocations(order_ids)
    Allocation.objects.filter(pk__in=rows).update(state=Allocation.State.CANCELLED)
    Backorder.objects.filter(allocation_id__in=rows).delete()
