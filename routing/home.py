"""What routing has for dispatchers to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import reverse

from supplychain.home import Task, capped, to_do

from .models import Alert, Route, Shipment


@to_do("Delivery")
def routes(user: Any) -> Iterator[Task]:
    if not user.has_perm("routing.view_route"):
        return
    routes, shipments = (
        reverse(f"admin:routing_{name}_changelist") for name in ("route", "shipment")
    )
    yield Task(
        "Alerts of the planner",
        capped(Alert.objects.filter(seen_at=None)),
        reverse("plan-today"),
        "notification_important",
        "Routes that have not left, windows missed: see the plan of the depot.",
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
        "Shipments without a route",
        capped(Shipment.objects.filter(state=Shipment.State.OPEN)),
        f"{shipments}?state__exact={Shipment.State.OPEN}",
        "help",
        "They wait for the next plan; the reason stands beside each.",
    )
