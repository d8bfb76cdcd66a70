from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from supplychain.metrics import capped, figures, gauge

from .models import Backorder


@figures
def stock() -> Iterator[Metric]:
    text = "Lines of orders that wait for stock."
    yield gauge("supplychain_backorder_lines", text, capped(Backorder.objects.all()))
