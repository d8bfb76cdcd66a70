from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count
from prometheus_client.metrics_core import Metric

from supplychain.metrics import figures, gauges

from .models import OrderFact
from .services import STATUSES

ENDED = {"delivered", "returned", "cancelled", "rejected"}


@figures
def orders() -> Iterator[Metric]:
    """Those under way: few, and found by the index, while ended ones become ever more."""
    under_way = [status for status in STATUSES if status not in ENDED]
    rows = OrderFact.objects.filter(status__in=under_way).order_by()
    counts = dict(rows.values_list("status").annotate(count=Count("pk")))
    yield gauges(
        "supplychain_orders_under_way",
        "Orders that have not come to an end, by status.",
        ["status"],
        [([status], counts.get(status, 0)) for status in under_way],
    )
