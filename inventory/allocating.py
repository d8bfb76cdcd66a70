"""Promise: an order that was placed is promised what there is for it, or stands in line for it,
or is refused. Exactly one of them, once.

Set-based: a batch of orders takes the same handful of statements as a single one. Who waits is
served by ``filling``, in a transaction of its own after the one that brought the stock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from orders.events import OrderPlaced
from supplychain.events import Event
from supplychain.events.outbox import Emission, emit_all
from supplychain.rows import insert_new

from . import events as tell
from . import locks
from .models import Allocation, Backorder, Product
from .rules import DESTINATION, Rules
from .taking import Stock, quantities


@transaction.atomic
def reserve_orders(*, placed: Sequence[OrderPlaced]) -> None:
    """Reserve stock for orders, first come first served but for what completes more of them; what
    is short goes on backorder.

    Stock for which a backorder waits is not given to a newer order: that one joins the line,
    and the fill, which is on its way whenever such stock is there, serves the line.
    """
    rows = [_allocation(event) for event in placed]  # before the locks: it takes its time
    products = locks.products(line.sku for event in placed for line in event.lines)
    stock = stock_for_new(products.values())
    allocations = _new_allocations(rows, products)
    events = {event.order_id: event for event in placed if event.order_id in allocations}
    emissions: list[Emission] = []
    orders: list[tuple[Allocation, Event]] = []
    for event in sorted(events.values(), key=_line):
        allocation = allocations[event.order_id]
        if allocation.state == Allocation.State.REJECTED:
            emissions.append(_tell_rejected(allocation, event, products))
        else:
            orders.append((allocation, event))
    emissions += promise(stock, orders, products)
    # One event each, their first, whose number the rows were inserted with.
    emissions = [replace(emission, sequence=1) for emission in emissions]
    emissions += stock.save()
    emit_all(by_type(emissions))


def by_type(emissions: Iterable[Emission]) -> list[Emission]:
    """Those of one type together, which the outbox writes in one go."""
    return sorted(emissions, key=lambda emission: emission.event.event_type)


def stock_for_new(products: Iterable[Product]) -> Stock:
    """The stock of these locked products that no backorder waits for, locked."""
    stock = Stock.lock(products)
    for sku, excluded in _waited_for(products, stock.rules):
        stock.shelves.withhold(sku, excluded)
    return stock


def promise(
    stock: Stock, orders: Sequence[tuple[Allocation, Event]], products: Mapping[str, Product]
) -> list[Emission]:
    """Take what there is for orders (with the causes) that stand in line like this; what is
    short goes on backorder. Gives what must be told."""
    emissions: list[Emission] = []
    backorders: list[Backorder] = []
    served = stock.serve([(row, row.wanted) for row, _ in orders], optimise=True)
    for (allocation, cause), got in zip(orders, served, strict=True):
        backorders += _backorders(allocation, got.short, products)
        shipments = stock.ship(allocation, got)
        emissions.append(tell_reserved(allocation, shipments, got.short, cause))
    Backorder.objects.bulk_create(backorders, batch_size=1000)
    return emissions


def _backorders(
    allocation: Allocation, short: Mapping[str, int], products: Mapping[str, Product]
) -> Iterator[Backorder]:
    for sku, units in short.items():
        yield Backorder(
            allocation=allocation,
            product=products[sku],
            quantity=units,
            priority=allocation.priority,
            placed_at=allocation.placed_at or timezone.now(),
        )


def _waited_for(products: Iterable[Product], rules: Rules) -> Iterator[tuple[str, frozenset[int]]]:
    """The SKUs, of these locked products, that backorders wait for, with the warehouses that the
    waiting order can't be sent from: what is there is not withheld from others for its sake."""
    if not rules.exclude:
        yield from ((sku, frozenset()) for sku in awaited(products))
        return
    rows = Backorder.objects.filter(product__in=[product.pk for product in products])
    for sku, *where in rows.values_list("product__sku", *DESTINATION).distinct():
        yield sku, rules.excluded(*where)


def awaited(products: Iterable[Product]) -> set[str]:
    """The SKUs, of these locked products, that backorders wait for."""
    rows = Backorder.objects.filter(product__in=[product.pk for product in products])
    return set(rows.values_list("product__sku", flat=True).distinct())


def _line(event: OrderPlaced) -> tuple[int, datetime, UUID]:
    """Where an order stands in line; see Backorder.LINE."""
    return -event.priority, event.placed_at, event.order_id


def _wanted(event: OrderPlaced) -> Counter[str]:
    wanted: Counter[str] = Counter()
    for line in event.lines:
        wanted[line.sku] += line.quantity
    return wanted


def _new_allocations(
    rows: Iterable[Allocation], products: Mapping[str, Product]
) -> dict[UUID, Allocation]:
    """The rows of the orders that had none, now inserted in the order of their keys, and so
    locked; a cancellation that overtook its order left one, and so did the order itself when it
    comes again."""
    by_order = {row.pk: row for row in rows}
    for row in by_order.values():
        if not row.wanted.keys() <= products.keys():
            row.state = Allocation.State.REJECTED
    new = insert_new([by_order[pk] for pk in sorted(by_order)])
    return {pk: row for pk, row in by_order.items() if pk in new}


def _allocation(event: OrderPlaced) -> Allocation:
    return Allocation(
        order_id=event.order_id,
        event_sequence=1,
        channel=event.channel,
        priority=event.priority,
        confirm_by=event.confirm_by,
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


def tell_reserved(
    allocation: Allocation,
    shipments: list[tell.ReservedShipment],
    short: Mapping[str, int],
    cause: Event,
) -> Emission:
    told: Event
    if shipments or allocation.confirm_by:
        told = allocation_event(tell.StockReserved, allocation, shipments, short)
    else:
        told = tell.StockShort(order_id=allocation.pk, outstanding=quantities(short))
    return Emission(told, allocation, cause=cause, correlation_id=allocation.correlation_id)


def allocation_event(
    kind: type[tell.AllocationEvent],
    allocation: Allocation,
    shipments: list[tell.ReservedShipment],
    outstanding: Mapping[str, int],
) -> tell.AllocationEvent:
    """What an allocation says of new shipments: of this kind, or, when it is not yet confirmed,
    that they are held."""
    said: dict[str, Any] = {
        "order_id": allocation.pk,
        "shipments": shipments,
        "outstanding": quantities(outstanding),
        "ship_to": tell.Destination(**allocation.destination),
        "requested_from": allocation.requested_from,
        "requested_until": allocation.requested_until,
        "priority": allocation.priority,
    }
    if allocation.confirm_by:
        return tell.StockHeld(**said, confirm_by=allocation.confirm_by)
    return kind(**said)
