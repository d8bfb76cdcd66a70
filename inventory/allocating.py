"""Promise: an order that was placed is promised what there is for it, or stands in line for it,
or is refused; and a cancelled one is promised nothing more. Exactly one of them, once.

Set-based: a batch of orders takes the same handful of statements as a single one. Who waits is
served by ``filling``, in a transaction of its own after the one that brought the stock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from orders.events import OrderPlaced
from supplychain.events import Event
from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from . import locks
from .models import Allocation, Backorder, Product
from .taking import Stock, quantities


@transaction.atomic
def reserve_orders(*, placed: Sequence[OrderPlaced]) -> None:
    """Reserve stock for orders, first come first served; what is short goes on backorder.

    Stock for which a backorder waits is not given to a newer order: that one joins the line,
    and the fill, which is on its way whenever such stock is there, serves the line.
    """
    products = locks.products(line.sku for event in placed for line in event.lines)
    stock = Stock.lock(product.pk for product in products.values())
    stock.withhold(awaited(products.values()))
    allocations = _new_allocations(placed, products)
    events = {event.order_id: event for event in placed if event.order_id in allocations}
    backorders: list[Backorder] = []
    emissions: list[Emission] = []
    for event in sorted(events.values(), key=lambda e: (e.placed_at, e.order_id)):
        allocation = allocations[event.order_id]
        if allocation.state == Allocation.State.REJECTED:
            emissions.append(_tell_rejected(allocation, event, products))
            continue
        shipments, short = stock.take(allocation, _wanted(event))
        backorders += [
            Backorder(
                allocation=allocation,
                product=products[sku],
                quantity=units,
                priority=allocation.priority,
                placed_at=event.placed_at,
            )
            for sku, units in short.items()
        ]
        emissions.append(_tell_reserved(allocation, event, shipments, short))
    emissions += stock.save()
    Backorder.objects.bulk_create(backorders, batch_size=1000)
    emit_all(emissions)


def awaited(products: Iterable[Product]) -> set[str]:
    """The SKUs, of these locked products, that backorders wait for."""
    rows = Backorder.objects.filter(product__in=[product.pk for product in products])
    return set(rows.values_list("product__sku", flat=True).distinct())


def _wanted(event: OrderPlaced) -> Counter[str]:
    wanted: Counter[str] = Counter()
    for line in event.lines:
        wanted[line.sku] += line.quantity
    return wanted


def _new_allocations(
    placed: Sequence[OrderPlaced], products: Mapping[str, Product]
) -> dict[UUID, Allocation]:
    """Rows for the orders that had none, locked; a cancellation that overtook its order left
    one, and so did the order itself when it comes again."""
    rows = {event.order_id: _allocation(event, products) for event in placed}
    Allocation.objects.bulk_create(
        [rows[pk] for pk in sorted(rows)], batch_size=500, ignore_conflicts=True
    )
    return {
        pk: row
        for pk, row in locks.allocations(rows).items()
        if row.event_sequence == 0 and row.state != Allocation.State.CANCELLED
    }


def _allocation(event: OrderPlaced, products: Mapping[str, Product]) -> Allocation:
    known = all(line.sku in products for line in event.lines)
    return Allocation(
        order_id=event.order_id,
        state=Allocation.State.OPEN if known else Allocation.State.REJECTED,
        channel=event.channel,
        wanted=dict(_wanted(event)),
        destination=_destination(event),
        requested_from=event.requested_from,
        requested_until=event.requested_until,
        placed_at=event.placed_at,
        correlation_id=event.envelope.correlation_id,
    )


def _destination(event: OrderPlaced) -> dict[str, Any]:
    customer = {"name": event.customer.name, "phone": event.customer.phone}
    return {**event.ship_to.model_dump(), **customer}


def _tell_rejected(
    allocation: Allocation, event: OrderPlaced, products: Mapping[str, Product]
) -> Emission:
    unknown = sorted({line.sku for line in event.lines} - set(products))
    reason = f"There is no product {', '.join(unknown)}."
    told = tell.AllocationRejected(order_id=event.order_id, reason=reason)
    return Emission(told, allocation, cause=event)


def _tell_reserved(
    allocation: Allocation,
    event: OrderPlaced,
    shipments: list[tell.ReservedShipment],
    short: Mapping[str, int],
) -> Emission:
    told: Event
    if shipments:
        told = allocation_event(tell.StockReserved, allocation, shipments, short)
    else:
        told = tell.StockShort(order_id=event.order_id, outstanding=quantities(short))
    return Emission(told, allocation, cause=event)


def allocation_event(
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
    open_ = Allocation.objects.filter(pk__in=rows, state=Allocation.State.OPEN)
    open_.update(state=Allocation.State.CANCELLED)
    Backorder.objects.filter(allocation_id__in=rows).delete()
