from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from supplychain.metrics import capped, figures, gauge

from .neglected import neglected


@figures
def planning() -> Iterator[Metric]:
    text = "Depots due for a plan for a quarter of an hour that nobody plans."
    yield gauge("supplychain_depots_nobody_plans", text, capped(neglected()))
