"""Promise: the warehouse can give up what it has reserved for an order (it is broken, lost, needed
elsewhere), and neither is a unit that may be on a truck promised again nor an order forgotten: it
waits in line for other units.

Routing alone knows what has left, so it is asked (ShipmentCutRequested); until it has answered
the units stay reserved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from supplychain.events.context import new_id
from supplychain.events.outbox import Emission, emit_all

from . import adjusting, locks
from . import events as tell
from .checking import InvalidStockChange, a_reason
from .ledger import Bucket, Ledger, Reason
from .models import Allocation, Backorder, Cut, Product, Reservation, StockLevel
from .taking import measures, quantities


@transaction.atomic
def release_reservation(
    *, reservation_id: UUID, reason: str, actor: str, set_aside: bool = False
) -> Cut:
    """Ask for the units of a reservation back.

    When they have not left they are available again and the order goes to the end of the line;
    ``set_aside``: they go into quarantine, and the order keeps its place.
    """
    reason = a_reason(reason, "Releasing a reservation")
    found = Reservation.objects.filter(pk=reservation_id)
    allocation = next(
        iter(locks.allocations(found.values_list("allocation_id", flat=True)).values()), None
    )
    if allocation is None:
        raise InvalidStockChange(f"There is no reservation {reservation_id}.")
    row = found.select_related("level__product", "level__warehouse").get()
    asked = _asked(row)
    units = _free(row, asked)
    product = row.level.product
    cut = Cut.objects.create(
        id=new_id(),
        allocation=allocation,
        shipment_id=row.shipment_id,
        units={product.sku: units},
        back_in_line=True,
        set_aside=set_aside,
        reason=reason,
        asked_by=actor,
    )
    asked[product.sku] += units
    held = Reservation.objects.filter(
        shipment_id=row.shipment_id, state=Reservation.State.HELD
    ).values_list("level__product__sku", "quantity")
    empties = all(quantity == asked[sku] for sku, quantity in held)
    told = cut_request(cut, {product.sku: product}, empties=empties)
    emit_all([Emission(told, allocation, correlation_id=allocation.correlation_id)])
    return cut


def cut_request(
    cut: Cut, products: Mapping[str, Product], *, empties: bool
) -> tell.ShipmentCutRequested:
    """The question to routing; ``empties``: nothing is left of the shipment then."""
    weight, volume = measures([(products[sku], units) for sku, units in cut.units.items()])
    return tell.ShipmentCutRequested(
        cut_id=cut.pk,
        shipment_id=cut.shipment_id,
        order_id=cut.allocation_id,
        lines=quantities(cut.units),
        weight_kg=weight,
        volume_m3=volume,
        empties=empties,
    )


def _asked(row: Reservation) -> Counter[str]:
    """Units of its shipment that routing has been asked for and has not answered for."""
    cuts = Cut.objects.filter(shipment_id=row.shipment_id, state=Cut.State.ASKED)
    asked: Counter[str] = Counter()
    for units in cuts.values_list("units", flat=True):
        asked.update(units)
    return asked


def _free(row: Reservation, asked: Counter[str]) -> int:
    """The units of it that can be asked for."""
    if row.state != Reservation.State.HELD:
        raise InvalidStockChange(f"{row.level}: this reservation is {row.state} already.")
    if row.expires_at is not None:
        raise InvalidStockChange(
            f"{row.level}: the order is not confirmed yet. Unless it is, the units are free again "
            f"at {row.expires_at:%Y-%m-%d %H:%M} UTC; or cancel the order."
        )
    units = row.quantity - asked[row.level.product.sku]
    if units <= 0:
        raise InvalidStockChange(
            f"{row.level}: all of it was asked for already; wait for the answer."
        )
    return units


def put_back_in_line(
    cut: Cut, allocation: Allocation, freed: Sequence[tuple[StockLevel, int]]
) -> list[Emission]:
    """Routing has agreed, and so many units of these locked levels are available again. Gives
    what must be told besides."""
    ledger = Ledger(actor=cut.asked_by)
    emissions = []
    for level, units in freed:
        if allocation.state == Allocation.State.OPEN:
            _wait_again(cut, allocation, level, units)
        if cut.set_aside:
            ledger.move(level, -units, Reason.QUARANTINE, note=cut.reason)
            ledger.move(level, units, Reason.QUARANTINE, bucket=Bucket.QUARANTINED, note=cut.reason)
            told = adjusting.set_aside(
                tell.StockQuarantined, level, units, cut.reason, cut.asked_by
            )
            emissions.append(Emission(told, level, level.advance()))
    ledger.write()
    return emissions


def _wait_again(cut: Cut, allocation: Allocation, level: StockLevel, units: int) -> None:
    since = allocation.placed_at if cut.set_aside else None
    row, made = Backorder.objects.get_or_create(
        allocation=allocation,
        product=level.product,
        defaults={
            "quantity": units,
            "priority": allocation.priority,
            "placed_at": since or timezone.now(),
        },
    )
    if not made:
        row.quantity += units
        row.save(update_fields=["quantity"])
