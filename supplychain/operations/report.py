"""The result table at the end of a run."""

from __future__ import annotations

from collections import Counter

from django.db.models import Count, Q, Sum
from rich.console import Console, Group
from rich.table import Table

from analytics.selectors import summary
from audit.models import StoredEvent
from inventory.events import (
    BackorderFilled,
    ReservationExpired,
    StockReceived,
    StockReleased,
    StockReturned,
)
from inventory.models import Allocation, Cut, Reservation
from notifications.models import Notification
from orders.events import OrderDelayed, OrderEtaChanged, OrderPromised
from orders.models import Order
from routing.models import PlanRun, Route, Stop
from supplychain.events.envelope import Envelope
from supplychain.events.models import DeadLetter, InboxEntry

_BROUGHT_BY = {
    StockReceived.event_type: "a receipt",
    ReservationExpired.event_type: "an expiry",
    StockReleased.event_type: "a cancellation",
    StockReturned.event_type: "a return",
}


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
        "split orders": f"{split} are sent in more than one shipment",
        "backorders": _filled(),
        "unconfirmed orders": _unconfirmed(),
        "taken back": _taken_back(),
        "promises": _promises(),
        "plans": f"{PlanRun.objects.count()} runs, {Route.objects.count()} routes, "
        f"{Stop.objects.count()} stops",
        "messages": _messages(),
        "retries": str(retries),
        "dead letters": str(DeadLetter.objects.count()),
    }.items():
        table.add_row(name, value)
    return table


def _promises() -> str:
    """A window that still holds is kept, though the time within it is another by now."""
    told = StoredEvent.objects.values_list("event_type").annotate(Count("pk"))
    counts: dict[str, int] = dict(told)
    promised = counts.get(OrderPromised.event_type, 0)
    changes = StoredEvent.objects.filter(event_type=OrderEtaChanged.event_type)
    bodies = changes.values_list("body", flat=True).iterator()
    moved = [Envelope.model_validate_json(body).data["within_window"] for body in bodies]
    return (
        f"{promised:,} shipments had a window at once: {moved.count(False):,} were given another, "
        f"{counts.get(OrderDelayed.event_type, 0):,} were delayed; "
        f"{moved.count(True):,} times the time within it changed"
    )


def _messages() -> str:
    states = Counter(Notification.objects.values_list("state", flat=True))
    return ", ".join(f"{count:,} {state}" for state, count in sorted(states.items())) or "none"


def _filled() -> str:
    """Orders that waited for stock and got some, by what brought it."""
    fills = StoredEvent.objects.filter(event_type=BackorderFilled.event_type)
    causes = fills.filter(causation_id__isnull=False).values("causation_id")
    brought = StoredEvent.objects.filter(event_id__in=causes)
    types = dict(brought.values_list("event_id", "event_type"))
    by: Counter[str] = Counter()
    for cause in fills.values_list("causation_id", flat=True):
        if cause in types:
            by[_BROUGHT_BY.get(types[cause], "a change by staff")] += 1
        else:
            by["several of these at once"] += 1
    parts = ", ".join(f"{count:,} by {what}" for what, count in by.most_common())
    return f"filled {by.total():,} times: {parts}" if by else "none was filled"


def _unconfirmed() -> str:
    held = Order.objects.filter(confirm_by__isnull=False)
    confirmed = held.filter(confirmed_at__isnull=False).count()
    expired = Allocation.objects.filter(reservations__state=Reservation.State.EXPIRED).distinct()
    return (
        f"stock was held for {held.count():,}: {confirmed:,} were confirmed, "
        f"{expired.count():,} expired and let it go"
    )


def _taken_back() -> str:
    units = Order.objects.aggregate(
        units=Sum("cancelled_quantity", default=0),
        orders=Count("pk", filter=Q(cancelled_quantity__gt=0)),
    )
    cut = Cut.objects.filter(state=Cut.State.DONE).values("shipment_id").distinct().count()
    return f"{units['units']:,} units of {units['orders']:,} orders, out of {cut:,} shipments"


def _shipments_per_order() -> list[int]:
    return list(Order.objects.annotate(n=Count("shipments")).values_list("n", flat=True))


def _consumers() -> int:
    return InboxEntry.objects.values("consumer").distinct().count()
