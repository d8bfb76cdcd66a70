"""What orders have for people to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import reverse
from django.utils import timezone

from supplychain.home import Task, capped, to_do

from .models import Order, Status


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
    late = Order.objects.filter(
        status__in=[Status.RESERVED, Status.PLANNED], requested_until__lt=timezone.now()
    )
    yield Task(
        "Late orders",
        capped(late),
        f"{page}?status__exact={Status.PLANNED}",
        "schedule",
        "Their delivery window has passed, and they have not left.",
        alarm=True,
    )
