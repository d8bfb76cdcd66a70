"""The result table at the end of a run."""

from __future__ import annotations

from collections import Counter

from django.db.models import Count
from rich.console import Console, Group
from rich.table import Table

from analytics.selectors import summary
from notifications.models import Notification
from orders.models import Order
from routing.models import PlanRun, Route, Stop
from supplychain.events.models import DeadLetter, InboxEntry


def show(console: Console, seconds: float, retries: int) -> None:
    """Orders by status, events by type, and the figures of the run; ``seconds`` it took."""
    figures = summary()
    orders = Table("status", "orders", title="Orders")
    for status, count in sorted(figures["orders_by_status"].items()):
        orders.add_row(status, str(count))
    orders.add_row("all", str(figures["orders"]), style="bold")
    events = Table("event", "count", title="Events")
    for name, count in figures["events_by_type"].items():
        events.add_row(name, str(count))
    console.print(Group(orders, events, _run(figures, seconds, retries)))


def _run(figures: dict[str, object], seconds: float, retries: int) -> Table:
    total = sum(figures["events_by_type"].values())  # type: ignore[attr-defined]
    steps: dict[str, dict[str, float] | None] = figures["seconds_from_placed"]  # type: ignore[assignment]
    planned = steps["planned"] or {"p50": 0.0, "p99": 0.0}
    handled = InboxEntry.objects.count()
    split = sum(1 for count in _shipments_per_order() if count > 1)
    table = Table("figure", "value", title="The run")
    for name, value in {
        "events": f"{total:,} published, {handled:,} handled by {_consumers()} consumers",
        "events/s": f"{total / seconds:,.0f} published, {handled / seconds:,.0f} handled",
        "time": f"{seconds:.1f} s",
        "placed → planned": f"p50 {planned['p50']:.2f} s, p99 {planned['p99']:.2f} s",
        "fill rate": f"{figures['fill_rate'] or 0:.1%} of the units at first",
        "split orders": str(split),
        "plans": f"{PlanRun.objects.count()} runs, {Route.objects.count()} routes, "
        f"{Stop.objects.count()} stops",
        "messages": _messages(),
        "retries": str(retries),
        "dead letters": str(DeadLetter.objects.count()),
    }.items():
        table.add_row(name, value)
    return table


def _messages() -> str:
    states = Counter(Notification.objects.values_list("state", flat=True))
    return ", ".join(f"{count:,} {state}" for state, count in sorted(states.items())) or "none"


def _shipments_per_order() -> list[int]:
    return list(Order.objects.annotate(n=Count("shipments")).values_list("n", flat=True))


def _consumers() -> int:
    return InboxEntry.objects.values("consumer").distinct().count()
