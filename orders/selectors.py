"""Reads of the orders domain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.db.models import QuerySet
from django.utils import timezone

from .lifecycle import FINAL
from .models import CatalogueItem, Channel, Order, OrderLine, OrderShipment, Status


def orders_visible_to(channel: Channel | None) -> QuerySet[Order]:
    """A channel's own orders; None is staff, who see all."""
    orders = Order.objects.select_related("channel")
    return orders.filter(channel=channel) if channel else orders


def with_details(orders: QuerySet[Order]) -> QuerySet[Order]:
    return orders.prefetch_related("lines", "shipments", "history")


def late(orders: QuerySet[Order]) -> QuerySet[Order]:
    """Their window has passed, and they have not left."""
    waiting = [Status.RESERVED, Status.PLANNED]
    return orders.filter(status__in=waiting, requested_until__lt=timezone.now())


def in_trouble(orders: QuerySet[Order], trouble: str) -> QuerySet[Order]:
    """Those with a shipment of which it is not known just now when it comes."""
    shipments = OrderShipment.objects.filter(trouble=trouble).exclude(trouble="")
    return orders.filter(pk__in=shipments.values("order_id")).exclude(status__in=FINAL)


def orderable(skus: Iterable[str]) -> set[str]:
    """Which of these SKUs the catalogue offers."""
    active = CatalogueItem.objects.filter(sku__in=set(skus), active=True)
    return set(active.values_list("sku", flat=True))


def ordered(channel: Channel, external_ids: Iterable[str]) -> dict[str, set[str]]:
    """{external_id: SKUs} of those of these orders that are placed already."""
    lines = OrderLine.objects.filter(
        order__channel=channel, order__external_id__in=set(external_ids)
    )
    found: dict[str, set[str]] = defaultdict(set)
    for external_id, sku in lines.values_list("order__external_id", "sku"):
        found[external_id].add(sku)
    return found
