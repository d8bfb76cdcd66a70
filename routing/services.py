"""Promise: a shipment is open, planned, on its way or ended, never two of them; what has left
is never taken back silently, and what hasn't left can be cancelled for good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db import transaction
from django.utils import timezone

from inventory.events import WarehouseChanged
from orders.events import OrderCancelled
from supplychain.errors import SupplyChainError
from supplychain.events import Event
from supplychain.events.outbox import Emission, emit_all
from supplychain.rows import update

from . import events as tell
from .alerting import end_alerts_of_cancelled
from .models import MAX_HOURS, MAX_KG, MAX_M3, Depot, OrderStanding, Shipment, Stop, Vehicle

S = Shipment.State

#: The fleet that a new depot starts with, to be changed in the admin or by `set_fleet`.
DEFAULT_VEHICLES = 6
MAX_VEHICLES = 500


class InvalidFleet(SupplyChainError):
    """A fleet needs vehicles that the models allow: see Vehicle."""

    permanent = True


@transaction.atomic
def keep_depots(*, changes: Sequence[WarehouseChanged]) -> None:
    """Take over what inventory says of its warehouses; a new depot gets the default fleet."""
    # By code, so that two batches lock the depots in one order.
    for change in sorted(changes, key=lambda c: (c.code, c.envelope.sequence)):
        depot, created = Depot.objects.select_for_update().get_or_create(
            code=change.code,
            defaults={"name": change.name, "latitude": 0.0, "longitude": 0.0},
        )
        if change.envelope.sequence > depot.sequence:
            depot.name, depot.active = change.name, change.active
            depot.latitude, depot.longitude = change.latitude, change.longitude
            depot.time_zone, depot.cut_off = _zone(change.time_zone), change.cut_off
            depot.sequence = change.envelope.sequence
            depot.save()
        if created:
            Vehicle.objects.bulk_create(
                Vehicle(depot=depot, name=f"van {n}") for n in range(1, DEFAULT_VEHICLES + 1)
            )


def _zone(name: str) -> str:
    """One that this machine knows: times must be read somehow."""
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC"


@transaction.atomic
def set_fleet(
    *, depot: Depot, vehicles: int, capacity_kg: float, capacity_m3: float, shift_hours: float
) -> None:
    """Give a depot this many equal vehicles; others are retired, their routes stay.

    Raises InvalidFleet.
    """
    limits = {
        "vehicles": (vehicles, MAX_VEHICLES),
        "capacity_kg": (capacity_kg, MAX_KG),
        "capacity_m3": (capacity_m3, MAX_M3),
        "shift_hours": (shift_hours, MAX_HOURS),
    }
    for name, (value, most) in limits.items():
        if not 0 < value <= most:  # false for nan as well
            raise InvalidFleet(f"{name} must be above 0 and at most {most:,}; it is {value:g}.")
    names = [f"vehicle {n}" for n in range(1, vehicles + 1)]
    depot.vehicles.exclude(name__in=names).update(active=False)
    Vehicle.objects.bulk_create(
        [
            Vehicle(
                depot=depot,
                name=name,
                capacity_kg=capacity_kg,
                capacity_m3=capacity_m3,
                shift_hours=shift_hours,
            )
            for name in names
        ],
        update_conflicts=True,
        unique_fields=["depot", "name"],
        update_fields=["capacity_kg", "capacity_m3", "shift_hours", "active"],
    )


def lock_shipments(shipment_ids: Iterable[UUID]) -> dict[UUID, Shipment]:
    """The only place where shipments are locked, in primary-key order."""
    rows = Shipment.objects.select_for_update(of=("self",)).select_related("depot")
    return {row.pk: row for row in rows.filter(pk__in=set(shipment_ids)).order_by("pk")}


def lock_standings(order_ids: Iterable[UUID]) -> dict[UUID, OrderStanding]:
    """One row per order, made if need be, locked in primary-key order, before any shipment."""
    ids = sorted(set(order_ids))
    OrderStanding.objects.bulk_create(
        [OrderStanding(order_id=pk) for pk in ids], ignore_conflicts=True
    )
    rows = OrderStanding.objects.select_for_update().filter(pk__in=ids).order_by("pk")
    return {row.pk: row for row in rows}


@transaction.atomic
def cancel_shipments(*, cancellations: Sequence[OrderCancelled]) -> None:
    """Cancel what has not left; what is on its way must come back and not be handed over; what
    a failed delivery has brought back is returned."""
    causes: dict[UUID, Event] = {event.order_id: event for event in cancellations}
    standings = lock_standings(causes)
    OrderStanding.objects.filter(pk__in=standings).update(cancelled=True)
    found = Shipment.objects.filter(order_id__in=causes).values_list("pk", flat=True)
    cancel_locked(set(found), causes)


def cancel_locked(shipment_ids: set[UUID], causes: dict[UUID, Event]) -> None:
    """Of orders whose standings the caller has locked."""
    rows = lock_shipments(shipment_ids).values()
    gone = [row for row in rows if row.state == S.DISPATCHED]
    Shipment.objects.filter(pk__in=[row.pk for row in gone]).update(recalled=True)
    here = [row for row in rows if row.state in (S.OPEN, S.PLANNED)]
    emissions = [
        Emission(told, row, row.advance(), cause=causes.get(row.order_id))
        for row in here
        if (told := _end_here(row))
    ]
    update(here, ["state", "event_sequence"])
    Stop.objects.filter(shipment__in=here, state=Stop.State.PENDING).update(
        state=Stop.State.DROPPED, ended_at=timezone.now(), reason="the order was cancelled"
    )
    end_alerts_of_cancelled(here)
    emit_all(emissions)


def _end_here(row: Shipment) -> tell.ShipmentEvent | None:
    """What had left once is booked out of the stock: it is returned, not just cancelled. While a
    vehicle still has it, there is nothing to tell: see ``carrying``."""
    if not row.attempts:
        row.state = S.CANCELLED
        return tell.ShipmentCancelled(shipment_id=row.pk, order_id=row.order_id)
    row.state = S.RETURNED
    if row.carried_by_id:
        return None
    return tell.ShipmentReturned(shipment_id=row.pk, order_id=row.order_id, depot=row.depot.code)
