"""Reservation as it is usually written with Django's models, as the bench's peer: one transaction
per order, its level rows locked with select_for_update in the order of their SKUs, then each row
saved or created by itself, and its event written into the outbox.

It writes the same rows to the same tables and chooses warehouses by the same code. It leaves out
what ours does besides: whether somebody waits in line, rules, limits of picks, numbers of events
taken from the database, waking the relay.
"""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from inventory import events as tell
from inventory.models import Allocation, Backorder, Product, Reservation, StockLevel
from inventory.sourcing import Site, choose, fewest_shipments
from orders.events import OrderPlaced
from supplychain.events import Event
from supplychain.events.context import new_id
from supplychain.events.envelope import Envelope
from supplychain.events.models import OutboxEvent


@transaction.atomic
def reserve_order(placed: OrderPlaced) -> None:
    wanted = {line.sku: line.quantity for line in placed.lines}
    allocation = Allocation.objects.create(
        order_id=placed.order_id,
        channel=placed.channel,
        wanted=wanted,
        destination={**placed.ship_to.model_dump(), "name": placed.customer.name},
        placed_at=placed.placed_at,
        correlation_id=placed.envelope.correlation_id,
        event_sequence=1,
    )
    levels = (
        StockLevel.objects.select_for_update(of=("self",))
        .select_related("warehouse", "product")
        .filter(product__sku__in=wanted, warehouse__active=True)
        .order_by("product__sku", "pk")
    )
    rows = {(row.warehouse_id, row.product.sku): row for row in levels}
    parcels, short = _choose(placed, wanted, rows)
    shipments = [_ship(allocation, rows, site, units) for site, units in parcels.items()]
    for sku, units in short.items():
        Backorder.objects.create(
            allocation=allocation,
            product=Product.objects.get(sku=sku),
            quantity=units,
            placed_at=placed.placed_at,
        )
    _tell(placed, allocation, shipments, short)


def _choose(
    placed: OrderPlaced, wanted: dict[str, int], rows: dict[tuple[int, str], StockLevel]
) -> tuple[dict[int, dict[str, int]], dict[str, int]]:
    stock: dict[int, dict[str, int]] = defaultdict(dict)
    for (site, sku), row in rows.items():
        stock[site][sku] = row.promisable
    places = {row.warehouse_id: row.warehouse for row in rows.values()}
    sites = [Site(pk, place.latitude, place.longitude) for pk, place in places.items()]
    place = placed.ship_to
    return choose(fewest_shipments, wanted, sites, stock, place.latitude, place.longitude)


def _ship(
    allocation: Allocation,
    rows: dict[tuple[int, str], StockLevel],
    site: int,
    units: dict[str, int],
) -> tell.ReservedShipment:
    shipment_id: UUID = new_id()
    weight = volume = 0.0
    for sku, quantity in units.items():
        row = rows[site, sku]
        row.reserved += quantity
        row.save(update_fields=["reserved"])
        Reservation.objects.create(
            shipment_id=shipment_id,
            allocation=allocation,
            level=row,
            quantity=quantity,
            pick_on=timezone.now().date(),
        )
        weight += float(row.product.weight_kg) * quantity
        volume += float(row.product.volume_m3) * quantity
    return tell.ReservedShipment(
        shipment_id=shipment_id,
        warehouse=row.warehouse.code,
        lines=_quantities(units),
        weight_kg=weight,
        volume_m3=volume,
    )


def _tell(
    placed: OrderPlaced,
    allocation: Allocation,
    shipments: list[tell.ReservedShipment],
    short: dict[str, int],
) -> None:
    told: Event = tell.StockShort(order_id=placed.order_id, outstanding=_quantities(short))
    if shipments:
        told = tell.StockReserved(
            order_id=placed.order_id,
            shipments=shipments,
            outstanding=_quantities(short),
            ship_to=tell.Destination(**allocation.destination),
        )
    envelope = Envelope(
        event_id=new_id(),
        event_type=told.event_type,
        event_version=told.event_version,
        timestamp=timezone.now(),
        producer=told.producer,
        subject=told.subject,
        sequence=1,
        correlation_id=allocation.correlation_id,
        causation_id=placed.envelope.event_id,
        data=told.model_dump(mode="json"),
    )
    OutboxEvent.objects.create(
        event_id=envelope.event_id,
        event_type=envelope.event_type,
        producer=envelope.producer,
        subject=envelope.subject,
        envelope=envelope.to_json(),
    )


def _quantities(units: dict[str, int]) -> list[tell.Quantity]:
    return [tell.Quantity(sku=sku, quantity=quantity) for sku, quantity in units.items()]
