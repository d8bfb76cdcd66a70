"""Promise: an order is placed once per external id, and a channel's word is kept or refused in
the same transaction that tells the others of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.authtoken.models import Token

from inventory.events import ProductChanged
from supplychain.errors import SupplyChainError
from supplychain.events import context
from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from .models import CatalogueItem, Channel, Order, OrderLine, Status, StatusChange

#: For so long at most an order may be left unconfirmed.
LONGEST_HOLD = timedelta(days=7)


class OrderRefused(SupplyChainError):
    """The order can't be placed; ``field`` says which of its fields stands against it."""

    permanent = True
    field: str


class ExternalIdTaken(OrderRefused):
    """Another order with this external_id is there already, and it says something else."""

    field = "external_id"


class ConfirmByOff(OrderRefused):
    """A new order can't wait for its confirmation until then."""

    field = "confirm_by"


@dataclass(frozen=True)
class Placement:
    """What became of a placed order: the row, and whether this call made it."""

    order: Order
    created: bool


def place_order(*, channel: Channel, body: Mapping[str, Any], correlation_id: str) -> Placement:
    """Place one order; raises OrderRefused. ``body`` is what the API's serializer validated."""
    [outcome] = place_orders(channel=channel, bodies=[body], correlation_ids=[correlation_id])
    if isinstance(outcome, OrderRefused):
        raise outcome
    return outcome


def place_orders(
    *, channel: Channel, bodies: Sequence[Mapping[str, Any]], correlation_ids: Sequence[str]
) -> list[Placement | OrderRefused]:
    """Place many orders at once; an order that was there before is found, not doubled.

    Several calls with the same external ids at once are settled by the unique constraint:
    one makes the order, the others find it.
    """
    for attempt in range(3):
        try:
            with transaction.atomic():
                return _place(channel, bodies, correlation_ids)
        except IntegrityError:
            if attempt == 2:
                raise
    raise AssertionError("unreachable")


def _place(
    channel: Channel, bodies: Sequence[Mapping[str, Any]], correlation_ids: Sequence[str]
) -> list[Placement | OrderRefused]:
    wanted = [body["external_id"] for body in bodies]
    found = Order.objects.filter(channel=channel, external_id__in=wanted)
    known = {order.external_id: order for order in found}
    created: dict[str, Order] = {}
    lines: list[OrderLine] = []
    emissions: list[Emission] = []
    outcomes: list[Placement | OrderRefused] = []
    for body, correlation_id in zip(bodies, correlation_ids, strict=True):
        order = known.get(body["external_id"])
        if order is not None:
            outcomes.append(_existing(order, body))
        elif refusal := _why_not_new(body):
            outcomes.append(refusal)
        else:
            order = _new_order(channel, body, correlation_id)
            known[order.external_id] = created[order.external_id] = order
            lines += _new_lines(order, body)
            emissions.append(_placed(order, body))
            outcomes.append(Placement(order, created=True))
    _store(list(created.values()), lines)
    emit_all(emissions)
    return outcomes


def _why_not_new(body: Mapping[str, Any]) -> OrderRefused | None:
    """What time makes wrong of an order that was right; one that is placed already is spared."""
    moment, now = body.get("confirm_by"), timezone.now()
    if moment and not now < moment <= now + LONGEST_HOLD:
        return ConfirmByOff(f"Must be in the future, and at most {LONGEST_HOLD.days} days ahead.")
    return None


def _existing(order: Order, body: Mapping[str, Any]) -> Placement | ExternalIdTaken:
    if order.body_digest == _digest(body):
        return Placement(order, created=False)
    return ExternalIdTaken(f"external_id {order.external_id!r} is taken by another order.")


def _store(orders: list[Order], lines: list[OrderLine]) -> None:
    # Sorted by the unique key: two bulks that share external ids can't deadlock.
    orders.sort(key=lambda order: order.external_id)
    Order.objects.bulk_create(orders, batch_size=500)
    OrderLine.objects.bulk_create(lines, batch_size=1000)
    StatusChange.objects.bulk_create(
        [StatusChange(order=o, status=Status.PLACED, at=o.placed_at) for o in orders]
    )


def _digest(body: Mapping[str, Any]) -> str:
    """Of the meaning, not of the spelling: key order and spaces don't matter, nor whether an
    optional field is left out or left empty."""
    meant = json.dumps(_without_blanks(body), sort_keys=True, default=str)
    return hashlib.sha256(meant.encode()).hexdigest()


def _without_blanks(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_blanks(value) if isinstance(value, Mapping) else value
        for name, value in fields.items()
        if value not in ("", None)
    }


def _new_order(channel: Channel, body: Mapping[str, Any], correlation_id: str) -> Order:
    customer, ship_to = body["customer"], body["ship_to"]
    return Order(
        event_sequence=1,
        channel=channel,
        external_id=body["external_id"],
        body_digest=_digest(body),
        customer_name=customer["name"],
        customer_email=customer["email"],
        customer_phone=customer.get("phone", ""),
        address=ship_to["address"],
        city=ship_to["city"],
        region=ship_to.get("region", ""),
        postal_code=ship_to["postal_code"],
        country=ship_to["country"],
        latitude=ship_to["latitude"],
        longitude=ship_to["longitude"],
        currency=body["currency"],
        total=sum((line["unit_price"] * line["quantity"] for line in body["lines"]), Decimal(0)),
        requested_from=body.get("requested_from"),
        requested_until=body.get("requested_until"),
        priority=body.get("priority", 0),
        confirm_by=body.get("confirm_by"),
        quantity=sum(line["quantity"] for line in body["lines"]),
        correlation_id=correlation_id,
        placed_at=timezone.now(),
    )


def _new_lines(order: Order, body: Mapping[str, Any]) -> list[OrderLine]:
    return [
        OrderLine(
            order=order,
            position=position,
            sku=line["sku"],
            quantity=line["quantity"],
            unit_price=line["unit_price"],
        )
        for position, line in enumerate(body["lines"], start=1)
    ]


def _placed(order: Order, body: Mapping[str, Any]) -> Emission:
    event = tell.OrderPlaced(
        order_id=order.pk,
        channel=order.channel.code,
        external_id=order.external_id,
        customer=tell.Customer(**body["customer"]),
        ship_to=tell.Address(**body["ship_to"]),
        lines=[tell.OrderLine(**line) for line in body["lines"]],
        currency=order.currency,
        total=order.total,
        requested_from=order.requested_from,
        requested_until=order.requested_until,
        placed_at=order.placed_at,
        priority=order.priority,
        confirm_by=order.confirm_by,
    )
    return Emission(event, order, sequence=1, correlation_id=order.correlation_id)


@transaction.atomic
def keep_catalogue(*, changes: Sequence[ProductChanged]) -> None:
    """Take over what inventory says of its products; an older word never beats a newer one."""
    latest: dict[str, ProductChanged] = {}
    for change in sorted(changes, key=lambda c: c.envelope.sequence):
        latest[change.sku] = change
    # A row that isn't there can't be locked: so make it, then look who knows more.
    CatalogueItem.objects.bulk_create(
        [CatalogueItem(sku=sku, active=False, sequence=0) for sku in sorted(latest)],
        ignore_conflicts=True,
    )
    known = dict(
        CatalogueItem.objects.select_for_update()
        .filter(sku__in=latest)
        .order_by("pk")
        .values_list("sku", "sequence")
    )
    CatalogueItem.objects.bulk_create(
        [
            CatalogueItem(sku=sku, name=c.name, active=c.active, sequence=c.envelope.sequence)
            for sku, c in sorted(latest.items())
            if c.envelope.sequence > known[sku]
        ],
        update_conflicts=True,
        unique_fields=["sku"],
        update_fields=["name", "active", "sequence"],
    )


@transaction.atomic
def create_channel(*, code: str, name: str = "") -> str:
    """A channel's API token; makes the channel and its user when they aren't there."""
    channel = Channel.objects.select_related("user").filter(code=code).first()
    if channel is None:
        user, created = User.objects.get_or_create(username=f"channel-{code}")
        if created:
            user.set_unusable_password()
            user.save(update_fields=["password"])
        channel = Channel.objects.create(code=code, name=name or code, user=user)
    return str(Token.objects.get_or_create(user=channel.user)[0].key)


def journey_ids(count: int) -> list[str]:
    """A correlation id per order: the request's own for a single one, new ones for a bulk."""
    inherited = context.current().correlation_id
    if count == 1 and inherited:
        return [inherited]
    return [str(context.new_id()) for _ in range(count)]
