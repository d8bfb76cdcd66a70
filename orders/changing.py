"""Promise: what a channel says of an order after it was placed is taken or refused under the
order's lock, in the same transaction that tells the others of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from supplychain.errors import SupplyChainError
from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from .lifecycle import CANCELLABLE, FINAL
from .models import Order, OrderLine, OrderShipment, Status, StatusChange, TakenBack


class OrderNotCancellable(SupplyChainError):
    """The order can no longer be cancelled."""

    permanent = True


class OrderNotConfirmable(SupplyChainError):
    """The order can no longer be confirmed."""

    permanent = True


_HAS_LEFT = [
    OrderShipment.State.DISPATCHED,
    OrderShipment.State.FAILED,
    OrderShipment.State.DELIVERED,
]


def _lock(order_id: UUID) -> Order:
    rows = Order.objects.select_for_update(of=("self",)).select_related("channel")
    return rows.get(pk=order_id)


# --- confirming ---------------------------------------------------------------------------


@transaction.atomic
def confirm_order(*, order_id: UUID, by: str) -> Order:
    """Say that an order that stock is held for is meant; again is no error.

    Raises OrderNotConfirmable, Order.DoesNotExist.
    """
    order, now = _lock(order_id), timezone.now()
    if order.confirmed_at is not None and order.status != Status.CANCELLED:
        return order
    if reason := _why_not_confirmable(order, now):
        raise OrderNotConfirmable(reason)
    order.confirmed_at = now
    sequence = order.advance()
    order.save(update_fields=["confirmed_at", "event_sequence", "updated_at"])
    _note(order, f"confirmed by {by}")
    event = tell.OrderConfirmed(**_of(order), confirmed_at=now)
    emit_all([Emission(event, order, sequence, correlation_id=order.correlation_id)])
    return order


def _why_not_confirmable(order: Order, now: datetime) -> str:
    if order.status in FINAL:
        return f"The order is {order.get_status_display().lower()} and can't be confirmed."
    if order.confirm_by is None:
        return "The order was placed without confirm_by: there is nothing to confirm."
    if now >= order.confirm_by:
        return f"The order had to be confirmed by {order.confirm_by:%Y-%m-%d %H:%M:%S %Z}."
    return ""


# --- cancelling ---------------------------------------------------------------------------


@transaction.atomic
def cancel_order(*, order_id: UUID, reason: str, by: str) -> Order:
    """Take an order back; again is no error. Raises OrderNotCancellable, Order.DoesNotExist."""
    order = _lock(order_id)
    if order.status != Status.CANCELLED:
        _cancel(order, reason, by)
    return order


@transaction.atomic
def cancel_lines(
    *, order_id: UUID, units: Mapping[str, int], reason: str, by: str, reference: str = ""
) -> Order:
    """Take so many units of these SKUs out of an order; of all that is left, the whole order.
    Again with the same reference, which is the channel's own, is no error and takes nothing.

    Whether they have left is for routing to say: then they are put back into the order (see
    saga.py). Raises OrderNotCancellable, Order.DoesNotExist.
    """
    order = _lock(order_id)
    if reference and _was_taken(order, reference, units):
        return order
    _refuse_unless_cancellable(order)
    lines = {line.sku: line for line in order.lines.all()}
    for sku, wanted in units.items():
        _refuse_unless_there(sku, wanted, lines.get(sku))
    if reference:
        TakenBack.objects.create(order=order, reference=reference, units=dict(units))
    if sum(units.values()) >= order.wanted:
        _cancel(order, reason, by)
        return order
    changed = [lines[sku] for sku in units]
    for line in changed:
        line.taken_back += units[line.sku]
    OrderLine.objects.bulk_update(changed, ["taken_back"])
    order.cancelled_quantity += sum(units.values())
    sequence = order.advance()
    order.save(update_fields=["cancelled_quantity", "event_sequence", "updated_at"])
    what = ", ".join(f"{units[line.sku]} × {line.sku}" for line in changed)
    _note(order, f"{what} taken back {_who(reason, by)}")
    event = tell.OrderLinesCancelled(
        **_of(order),
        lines=[
            tell.LineCancelled(sku=line.sku, quantity=units[line.sku], total=line.taken_back)
            for line in changed
        ],
        reason=reason,
    )
    emit_all([Emission(event, order, sequence, correlation_id=order.correlation_id)])
    return order


def _was_taken(order: Order, reference: str, units: Mapping[str, int]) -> bool:
    known = TakenBack.objects.filter(order=order, reference=reference).first()
    if known and known.units != dict(units):
        raise OrderNotCancellable(f"Other units were taken back as {reference!r} before.")
    return known is not None


def _refuse_unless_cancellable(order: Order) -> None:
    if order.status not in CANCELLABLE:
        raise OrderNotCancellable(
            f"The order is {order.get_status_display().lower()} and can no longer be cancelled."
        )


def _refuse_unless_there(sku: str, units: int, line: OrderLine | None) -> None:
    left = line.quantity - line.cancelled if line else 0
    if units > left:
        raise OrderNotCancellable(f"{left} × {sku} are left in the order; {units} can't be taken.")


def _cancel(order: Order, reason: str, by: str) -> None:
    _refuse_unless_cancellable(order)
    if order.shipments.filter(state__in=_HAS_LEFT).exists():
        raise OrderNotCancellable("A part of the order has left; it can't be cancelled any more.")
    order.status = Status.CANCELLED
    sequence = order.advance()
    order.save(update_fields=["status", "event_sequence", "updated_at"])
    _note(order, _who(reason, by))
    event = tell.OrderCancelled(**_of(order), reason=reason)
    emit_all([Emission(event, order, sequence, correlation_id=order.correlation_id)])


def _who(reason: str, by: str) -> str:
    return f"{reason} ({by})" if reason else f"by {by}"


def _note(order: Order, what: str) -> None:
    StatusChange.objects.create(
        order=order, status=order.status, at=timezone.now(), reason=what[:300]
    )


def _of(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.pk,
        "channel": order.channel.code,
        "external_id": order.external_id,
    }
