"""Promise: what is shown as changed between two versions of a day's plan is what planning changed;
a route that has left or was frozen in between is not missed in the later one."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from .models import Plan, Route, Shipment
from .selectors import differences

CAME, FELL_OUT, OTHER_ROUTE = "came", "fell out", "another vehicle"
OTHER_PLACE, OTHER_TIME = "another place", "another time"
#: A time that is another by less is not told.
NOTABLE = timedelta(minutes=1)
KINDS = (FELL_OUT, CAME, OTHER_ROUTE, OTHER_PLACE, OTHER_TIME)
#: What two versions must have in common to be compared.
SAME = ("depot_id", "day", "departs_at")


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
    changes = _told(differences(now, open_then), _in_order(now, open_then))
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


def _told(found: list[dict[str, Any]], in_order: set[str]) -> list[dict[str, Any]]:
    """With their kinds, those first that matter most; a number in the route that is another only
    because somebody before it is gone, or some seconds, are no change."""
    kinds = [(change, _kind(change, in_order)) for change in found]
    told = [{**change, "kind": kind} for change, kind in kinds if kind]
    return sorted(told, key=lambda change: KINDS.index(change["kind"]))


def _kind(change: dict[str, Any], in_order: set[str]) -> str | None:
    before, now = change["before"], change["now"]
    if before is None:
        return CAME
    if now is None:
        return FELL_OUT
    if before["vehicle"] != now["vehicle"]:
        return OTHER_ROUTE
    if change["shipment"] not in in_order:
        return OTHER_PLACE
    return OTHER_TIME if abs(_moment(now) - _moment(before)) >= NOTABLE else None


def _moment(place: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(place["eta"])


def _in_order(now: Plan, before: Plan) -> set[str]:
    """Who is visited by the same vehicle in the same order as before: of each vehicle's stops as
    many as possible, so that of one that was moved not all others are said to have been."""
    found: set[str] = set()
    then = _orders(before)
    for vehicle, keys in _orders(now).items():
        places = {key: n for n, key in enumerate(then.get(vehicle, []))}
        found |= _longest_rise([key for key in keys if key in places], places)
    return found


def _orders(plan: Plan) -> dict[str, list[str]]:
    orders: dict[str, list[str]] = {}
    for route in plan.routes:
        keys = [stop["shipment"] for stop in route["stops"]]
        orders.setdefault(route["vehicle"], []).extend(keys)
    return orders


def _longest_rise(keys: list[str], place: dict[str, int]) -> set[str]:
    """A longest part of the keys whose places rise."""
    tops: list[str] = []  # the lowest end of a rise of each length
    before: dict[str, str | None] = {}
    for key in keys:
        length = bisect_left(tops, place[key], key=place.__getitem__)
        before[key] = tops[length - 1] if length else None
        tops[length : length + 1] = [key]
    found, last = set[str](), tops[-1] if tops else None
    while last is not None:
        found.add(last)
        last = before[last]
    return found
