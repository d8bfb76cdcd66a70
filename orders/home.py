"""What orders have for people to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import reverse

from supplychain.home import Task, capped, to_do

from . import selectors
from .models import Order, OrderShipment, Status

Trouble = OrderShipment.Trouble


@to_do("Orders")
def orders(user: Any) -> Iterator[Task]:
    if not user.has_perm("orders.view_order"):
        return
    page = reverse("admin:orders_order_changelist")
    for status, title, icon, hint in (
        (Status.BACKORDERED, "Backordered orders", "hourglass_top", "Nothing of them is there."),
        (Status.DELIVERY_FAILED, "Failed deliveries", "running_with_errors", "Call the customer."),
    ):
        rows = Order.objects.filter(status=status)
        failed = status == Status.DELIVERY_FAILED
        url = f"{page}?status__exact={status}"
        yield Task(title, capped(rows), url, icon, hint, alarm=failed)
    yield Task(
        "Late orders",
        capped(selectors.late(Order.objects.all())),
        f"{page}?coming=late",
        "schedule",
        "Their delivery window has passed, and they have not left.",
        alarm=True,
    )
    yield Task(
        "Delayed orders",
        capped(selectors.in_trouble(Order.objects.all(), Trouble.DELAYED)),
        f"{page}?coming={Trouble.DELAYED}",
        "event_busy",
        "The customer was told that it comes later, and waits for a new time.",
        alarm=True,
    )
