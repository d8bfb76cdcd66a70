"""Promise: a depot's day is read for the plan page with the same number of statements however
many routes it has, and says of every minute of a route whether it is driving, waiting or service.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Q
from django.utils import timezone

from . import fleet, selectors
from .asking import unanswered
from .days import day_of, place_of, start_of
from .lateness import SERVICE
from .models import Alert, Depot, Plan, PlanRun, Route, Shipment, Stop, Vehicle
from .runs import DIED
from .travel import matrices

#: Unplanned shipments that are listed; the rest is counted.
LISTED = 500
#: Days to choose from on each side of the one that is shown, and alerts shown.
DAYS_AROUND, ALERTS = 30, 50
_EXACT = timedelta(seconds=1)


@dataclass(frozen=True)
class Leg:
    """To a stop, or back to the depot: seconds from the stop before, on the road (with breaks),
    and of waiting for a window that opens."""

    drive_s: int
    wait_s: int


@dataclass(frozen=True)
class DayOfDepot:
    """What the page is drawn from. ``version`` is that of the newest plan, 0 without one."""

    depot: Depot
    day: date
    routes: list[Route]
    vehicles: list[Vehicle]
    #: By the stop; a route's key for its way back.
    legs: dict[UUID, Leg]
    versions: list[Plan]
    run: PlanRun | None
    asked: bool
    alerts: list[Alert]
    unplanned: list[Shipment]
    unplanned_total: int

    @property
    def version(self) -> int:
        return self.versions[0].version if self.versions else 0


def day_of_depot(depot: Depot, day: date) -> DayOfDepot:
    routes = list(selectors.routes_of(depot, day))
    waiting = selectors.unplanned(depot)
    listed = list(waiting[: LISTED + 1])
    return DayOfDepot(
        depot=depot,
        day=day,
        routes=routes,
        vehicles=_vehicles(depot, routes),
        legs=dict(leg for route in routes for leg in _legs(route)),
        versions=list(depot.plans.filter(day=day).defer("routes").order_by("-version")),
        run=_newest_run(depot),
        asked=unanswered().filter(pk=depot.pk).exists(),
        alerts=list(depot.alerts.filter(seen_at=None).order_by("-at")[:ALERTS]),
        unplanned=listed[:LISTED],
        unplanned_total=len(listed) if len(listed) <= LISTED else waiting.count(),
    )


def _newest_run(depot: Depot) -> PlanRun | None:
    """One that has died is shown so, though no planner may have been there to notice."""
    run = depot.runs.order_by("-pk").first()
    if run and run.state == PlanRun.State.RUNNING and run.expires_at < timezone.now():
        run.state, run.error = PlanRun.State.FAILED, DIED
    return run


def _vehicles(depot: Depot, routes: Sequence[Route]) -> list[Vehicle]:
    """Those that could drive, and those that do."""
    booked = {route.vehicle_id for route in routes}
    rows = depot.vehicles.filter(Q(active=True) | Q(pk__in=booked))
    return list(rows.select_related("driver", "end_depot").order_by("pk"))


def shift(vehicle: Vehicle, depot: Depot, day: date) -> tuple[datetime, datetime]:
    """Of this local day, by the depot's clocks."""
    opens, closes = fleet.shift(vehicle, depot, start_of(depot, day))
    return opens.astimezone(depot.zone), closes.astimezone(depot.zone)


def end_of(route: Route) -> Depot:
    return route.vehicle.end_depot or route.depot


# --- driving and waiting --------------------------------------------------------------------


def _legs(route: Route) -> Iterator[tuple[UUID, Leg]]:
    """As planned. A vehicle waits for nothing but a window: who is served when one opens may have
    been waited for, and there the road is estimated."""
    stops = selectors.visits(route)
    roads = _roads(route, stops) if any(map(_at_opening, stops)) else None
    moment = route.starts_at
    for number, stop in enumerate(stops):
        between = _seconds(stop.eta - moment)
        road = between
        if roads is not None and _at_opening(stop):
            road = min(between, roads[number])
        yield stop.pk, Leg(road, between - road)
        moment = stop.eta + SERVICE
    yield route.pk, Leg(_seconds(route.ends_at - moment), 0)


def _at_opening(stop: Stop) -> bool:
    opens = selectors.window(stop.shipment)[0]
    return opens is not None and abs(stop.eta - opens) < _EXACT


def _roads(route: Route, stops: Sequence[Stop]) -> list[int]:
    places = [place_of(route.depot), *(place_of(stop.shipment) for stop in stops)]
    seconds = matrices(places)[1]
    return [int(seconds[n, n + 1]) for n in range(len(stops))]


def _seconds(span: timedelta) -> int:
    return max(0, round(span.total_seconds()))


# --- which day ------------------------------------------------------------------------------


def days_of(depot: Depot, day: date) -> list[dict[str, Any]]:
    """Days around this one on which something is or was driven, with the number of routes."""
    rows = Route.objects.filter(depot=depot, state__in=selectors.LIVE).order_by()
    counted = rows.values("day").annotate(routes=Count("pk"))
    before = counted.filter(day__lt=day).order_by("-day")[:DAYS_AROUND]
    since = counted.filter(day__gte=day).order_by("day")[: DAYS_AROUND + 1]
    rows_found: list[Any] = [*reversed(before), *since]
    return rows_found


def likely_day(depot: Depot) -> date:
    """The next on which something is driven, else the last, else today."""
    today = day_of(depot, timezone.now())
    days = [row["day"] for row in days_of(depot, today)]
    return min((day for day in days if day >= today), default=max(days, default=today))


def likely_depot() -> Depot | None:
    """The first at work."""
    rows = Depot.objects.order_by("-active", "code")
    busy = rows.filter(routes__state__in=(Route.State.PLANNED, Route.State.DISPATCHED))
    return busy.first() or rows.first()
