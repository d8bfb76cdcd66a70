"""What routing has for dispatchers to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import reverse

from supplychain.home import Task, capped, to_do

from .admin_filters import fallen_out, late_on_the_road, overdue
from .models import Alert, Route, Shipment
from .neglected import neglected


@to_do("Delivery")
def routes(user: Any) -> Iterator[Task]:
    if not user.has_perm("routing.view_route"):
        return
    routes, shipments, depots = (
        reverse(f"admin:routing_{name}_changelist") for name in ("route", "shipment", "depot")
    )
    yield Task(
        "Depots that nobody plans",
        capped(neglected()),
        f"{depots}?planning=neglected",
        "timer_off",
        "Due for a quarter of an hour and no run has begun: is the worker of planning running?",
        alarm=True,
    )
    yield Task(
        "Alerts of the planner",
        capped(Alert.objects.filter(seen_at=None)),
        f"{reverse('admin:routing_alert_changelist')}?seen=no",
        "notification_important",
        "Routes not left or not back, windows missed, what no route takes, plans that fail.",
        alarm=True,
    )
    yield Task(
        "Routes overdue",
        capped(overdue(Route.objects.all())),
        f"{routes}?late=overdue",
        "departure_board",
        "They should have left: dispatch them, or they are planned again.",
        alarm=True,
    )
    planned, dispatched = Route.State.PLANNED, Route.State.DISPATCHED
    yield Task(
        "Routes to dispatch",
        capped(Route.objects.filter(state=planned)),
        f"{routes}?state__exact={planned}",
        "route",
    )
    yield Task(
        "Routes on the road",
        capped(Route.objects.filter(state=dispatched)),
        f"{routes}?state__exact={dispatched}",
        "local_shipping",
    )
    yield Task(
        "Routes late on the road",
        capped(late_on_the_road(Route.objects.all())),
        f"{routes}?late=road",
        "running_with_errors",
        "They should be back: ask the driver.",
        alarm=True,
    )
    yield Task(
        "Shipments that fell out",
        capped(fallen_out(Shipment.objects.all())),
        f"{shipments}?trouble=fell_out",
        "event_busy",
        "They had a route or a promise, and the planner has found no other yet.",
        alarm=True,
    )
    yield Task(
        "Shipments without a route",
        capped(Shipment.objects.filter(state=Shipment.State.OPEN)),
        f"{shipments}?state__exact={Shipment.State.OPEN}",
        "help",
        "They wait for the next plan; the reason stands beside each.",
    )
