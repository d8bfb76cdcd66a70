"""Promise: what is shown as changed between two versions of a day's plan is what planning changed;
a route that has left or was frozen in between is not missed in the later one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from .models import Plan, Route, Shipment
from .selectors import differences

CAME, FELL_OUT, OTHER_ROUTE = "came", "fell out", "another vehicle"
OTHER_PLACE, OTHER_TIME = "another place", "another time"
#: What two versions must have in common to be compared.
SAME = ("depot_id", "day", "departs_at")
KINDS = (FELL_OUT, CAME, OTHER_ROUTE, OTHER_PLACE, OTHER_TIME)


@dataclass(frozen=True)
class Comparison:
    """``routes_before`` are those of the earlier version that the later one could change; both
    differences are of these: what the later one costs more."""

    now: Plan
    before: Plan
    routes_before: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    shipments: dict[str, Shipment]
    cost_difference: float
    km_difference: float


def compared(now: Plan, before: Plan) -> Comparison:
    gone = _gone_on(now, before)
    open_then = Plan(
        routes=[route for route in before.routes if route["route"] not in gone],
        cost=before.cost - sum(route.get("cost", 0.0) for route in gone.values()),
        distance_km=before.distance_km - sum(r.get("distance_km", 0.0) for r in gone.values()),
    )
    changes = [{**change, "kind": _kind(change)} for change in differences(now, open_then)]
    changes.sort(key=lambda change: KINDS.index(change["kind"]))
    told = {change["shipment"] for change in changes}
    told |= {stop["shipment"] for route in open_then.routes for stop in route["stops"]}
    rows = Shipment.objects.in_bulk([UUID(key) for key in told])
    return Comparison(
        now=now,
        before=before,
        routes_before=open_then.routes,
        changes=changes,
        shipments={str(pk): row for pk, row in rows.items()},
        cost_difference=round(now.cost - open_then.cost, 4),
        km_difference=round(now.distance_km - open_then.distance_km, 3),
    )


def _gone_on(now: Plan, before: Plan) -> dict[str, dict[str, Any]]:
    """The routes that the later version does not speak of and that were not withdrawn either."""
    still = {route["route"] for route in now.routes}
    missing = {route["route"]: route for route in before.routes if route["route"] not in still}
    rows = Route.objects.filter(pk__in=missing).exclude(state=Route.State.WITHDRAWN)
    return {str(pk): missing[str(pk)] for pk in rows.values_list("pk", flat=True)}


def _kind(change: dict[str, Any]) -> str:
    before, now = change["before"], change["now"]
    if before is None:
        return CAME
    if now is None:
        return FELL_OUT
    if before["vehicle"] != now["vehicle"]:
        return OTHER_ROUTE
    return OTHER_PLACE if before["position"] != now["position"] else OTHER_TIME
