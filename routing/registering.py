"""Promise: what is reserved is planned, unless its order was taken back; and who ordered it is told
at once when it comes, if there is a place for it in the plan."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from inventory.events import AllocationEvent, Destination, ReservedShipment
from supplychain.errors import SupplyChainError
from supplychain.rows import insert_new

from .days import midnight
from .goods import goods_of, units
from .models import SKILLS, Depot, Shipment
from .promising import promises_to
from .services import cancel_locked, lock_standings

#: The highest that the planner knows.
TOP_PRIORITY = 9


class UnknownDepot(SupplyChainError):
    """A shipment names a depot that is not known here (yet)."""


@transaction.atomic
def register_shipments(*, allocations: Sequence[AllocationEvent]) -> None:
    """Shipments to plan; those of an order that was cancelled meanwhile are cancelled at once.

    Raises UnknownDepot.
    """
    pairs = [(event, reserved) for event in allocations for reserved in event.shipments]
    codes = {reserved.warehouse for _, reserved in pairs}
    depots = {depot.code: depot for depot in Depot.objects.filter(code__in=codes)}
    if missing := codes - set(depots):
        raise UnknownDepot(f"Not known here: {', '.join(sorted(missing))}")
    causes = {event.order_id: event for event in allocations}
    standings = lock_standings(causes)
    rows = [_new_shipment(event, r, depots[r.warehouse]) for event, r in pairs]
    known = set(
        Shipment.objects.filter(pk__in=[row.pk for row in rows]).values_list("pk", flat=True)
    )
    new = {row.pk: row for row in rows if row.pk not in known}
    promises = promises_to([r for r in new.values() if not standings[r.order_id].cancelled])
    insert_new([*new.values()])
    late = {row.pk for row in rows if standings[row.order_id].cancelled}
    if late:
        cancel_locked(late, dict(causes))
    promises.tell()


def _new_shipment(event: AllocationEvent, reserved: ReservedShipment, depot: Depot) -> Shipment:
    to, goods = event.ship_to, goods_of(reserved.lines)
    return Shipment(
        shipment_id=reserved.shipment_id,
        order_id=event.order_id,
        depot=depot,
        customer=to.name,
        address=_address(to),
        latitude=to.latitude,
        longitude=to.longitude,
        weight_kg=reserved.weight_kg,
        volume_m3=reserved.volume_m3,
        items=units(goods),
        goods=goods,
        priority=max(0, min(event.priority, TOP_PRIORITY)),
        skills=[need for need in reserved.storage_classes if need in SKILLS],
        release_at=_release(depot),
        requested_from=event.requested_from,
        requested_until=event.requested_until,
        correlation_id=event.envelope.correlation_id,
        ready_at=timezone.now(),
    )


def _release(depot: Depot) -> datetime | None:
    """What comes after the cut-off is picked the next day."""
    local = timezone.now().astimezone(depot.zone)
    if depot.cut_off is None or local.time() < depot.cut_off:
        return None
    return midnight(local + timedelta(days=1), depot.zone)


def _address(to: Destination) -> str:
    parts = [to.address, f"{to.postal_code} {to.city}".strip(), to.region, to.country]
    return ", ".join(part for part in parts if part)[:250]
