"""Promise: a depot is planned once per burst of shipments, not once per shipment; a plan that no
longer holds is planned again; who can't be planned, and a planner that fails, keep nobody busy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import takewhile
from typing import Any

from django.conf import settings
from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, QuerySet

from .asking import BY_HAND, asked
from .days import midnight
from .departures import departure_due
from .models import Depot, PlanRun, Route, Shipment, Stop
from .services import S

#: After a failed run its depot rests: at first so long, then twice as long each time.
FAILURE_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=10)


def due_runs(now: datetime) -> list[tuple[Depot, str]]:
    """Depots to plan now, the longest waiting first, and why.

    Due is a burst that has ended (no new shipment for PLANNING_QUIET seconds), has waited
    for PLANNING_PATIENCE seconds or has grown to PLANNING_NUMBER; what waits when a depot's
    cut-off comes; a plan that no longer holds; and what a run left over for want of time. What
    could not be planned waits for company: new shipments, or the next day. Whoever asks by hand
    does not wait. A depot with departures is planned when one of them is to be decided, and when
    a plan no longer holds.
    """
    pools, changes, wanted = _pools(), _changes(now), asked()
    found = []
    depots = Depot.objects.in_bulk({*pools, *changes, *wanted})
    for pk, depot in depots.items():
        pool, changed, by_hand = pools.get(pk, {}), changes.get(pk), wanted.get(pk)
        since = min(filter(None, [pool.get("first"), changed, by_hand]))
        if trigger := BY_HAND if by_hand else _trigger(depot, pool, changed, now):
            found.append((since, pk, trigger))
    return [(depots[pk], trigger) for _, pk, trigger in sorted(found)]


def _pools() -> dict[int, Mapping[str, Any]]:
    fresh = Q(unplannable_reason="")
    pools = (
        Shipment.objects.filter(state=S.OPEN)
        .order_by()
        .values("depot_id")
        .annotate(
            newest=Max("ready_at", filter=fresh),
            oldest=Min("ready_at", filter=fresh),
            fresh=Count("pk", filter=fresh),
            first=Min("ready_at"),
            waiting=Count("pk", filter=~fresh),
        )
    )
    return {pool["depot_id"]: pool for pool in pools}


def _trigger(depot: Depot, pool: Mapping[str, Any], changed: datetime | None, now: datetime) -> str:
    """Why the depot is to be planned now; "" when it is not."""
    runs = list(PlanRun.objects.filter(depot=depot).order_by("-pk")[:10])
    if _rests(runs, now):
        return ""
    if runs and runs[0].cut_short:
        return "time was up"
    if pool and depot.departures and (trigger := departure_due(depot, now)):
        return trigger
    settled = changed and changed <= now - timedelta(seconds=settings.PLANNING_QUIET)
    if settled and not _just_in_vain(runs, now):
        return "plan no longer held"
    if depot.departures:
        return ""
    return (pool.get("newest") and _of_burst(pool, now)) or _of_day(depot, pool, runs, now)


def _of_burst(pool: Mapping[str, Any], now: datetime) -> str:
    if pool["newest"] <= now - timedelta(seconds=settings.PLANNING_QUIET):
        return "burst over"
    if pool["oldest"] <= now - timedelta(seconds=settings.PLANNING_PATIENCE):
        return "waited enough"
    return "many waiting" if pool["fresh"] >= settings.PLANNING_NUMBER else ""


def _of_day(depot: Depot, pool: Mapping[str, Any], runs: Sequence[PlanRun], now: datetime) -> str:
    """At the cut-off all that waits; at the day's begin what could not be planned before."""
    done = [run.started_at for run in runs if run.state == PlanRun.State.DONE]
    last = max(done, default=datetime.min.replace(tzinfo=now.tzinfo))
    if not (pool.get("waiting") or pool.get("fresh")):
        return ""
    cut_off = _cut_off(depot, now)
    if cut_off and last < cut_off <= now:
        return "cut-off"
    return "new day" if pool["waiting"] and last < midnight(now, depot.zone) else ""


def _cut_off(depot: Depot, now: datetime) -> datetime | None:
    if depot.cut_off is None:
        return None
    local = now.astimezone(depot.zone).date()
    return datetime.combine(local, depot.cut_off, depot.zone).astimezone(now.tzinfo)


def _rests(runs: Sequence[PlanRun], now: datetime) -> bool:
    """Whether a depot with these runs, the newest first, is being planned or has to wait after
    failures."""
    if not runs or runs[0].state == PlanRun.State.DONE:
        return False
    if runs[0].state == PlanRun.State.RUNNING:
        return runs[0].expires_at >= now
    failed = list(takewhile(lambda run: run.state == PlanRun.State.FAILED, runs))
    return now < _pause_after(failed)


def _just_in_vain(runs: Sequence[PlanRun], now: datetime) -> bool:
    """Whether the last of these runs left a plan that did not hold as it was, or made one that
    does not either: whatever the reason, that is not tried again and again."""
    in_vain = list(takewhile(lambda run: run.in_vain, runs))
    return bool(in_vain) and now < _pause_after(in_vain)


def _pause_after(runs: Sequence[PlanRun]) -> datetime:
    """Until when a depot rests after these runs, all that went wrong in a row, the newest first."""
    pause = min(LONGEST_PAUSE, FAILURE_PAUSE * 2.0 ** (len(runs) - 1))
    ended: datetime = runs[0].ended_at or runs[0].started_at
    return ended + pause


# --- plans that no longer hold --------------------------------------------------------------


#: A day, and of it the departure that is planned by itself, if any.
Part = tuple[date, datetime | None]


@dataclass(frozen=True)
class _Change:
    depot_id: int
    part: Part
    since: datetime


def parts_to_revisit(depot: Depot, now: datetime) -> set[Part]:
    """Those of which the plan no longer holds."""
    return {change.part for change in _all_changes(now) if change.depot_id == depot.pk}


def parts_still_due(run: PlanRun, now: datetime) -> set[Part]:
    """Those of which the plan does not hold when a run ends, but for what was cancelled since it
    began."""
    known = [change for change in _dropped() if change.since < run.started_at]
    return {c.part for c in [*known, *_out_of_time(now)] if c.depot_id == run.depot_id}


def open_parts(depot: Depot) -> set[Part]:
    """Those of which something is planned and may still be changed."""
    return set(_open().filter(depot=depot).values_list("day", "departs_at").distinct())


def _changes(now: datetime) -> dict[int, datetime]:
    """By depot, when the newest of the changes came that its plan does not know of."""
    newest: dict[int, datetime] = {}
    for change in _all_changes(now):
        newest[change.depot_id] = max(change.since, newest.get(change.depot_id, change.since))
    return newest


def _open() -> QuerySet[Route]:
    return Route.objects.filter(state=Route.State.PLANNED, frozen=False)


def _all_changes(now: datetime) -> list[_Change]:
    """Each since planning last looked at the route."""
    return [*_dropped(), *_out_of_time(now)]


def _dropped() -> list[_Change]:
    """Stops that were dropped."""
    dropped = _open().filter(stops__state=Stop.State.DROPPED, stops__ended_at__gt=F("planned_at"))
    parts = dropped.values_list("depot_id", "day", "departs_at")
    since = parts.annotate(since=Max("stops__ended_at")).order_by()
    return [_Change(depot, (day, departs), last) for depot, day, departs, last in since]


def _out_of_time(now: datetime) -> list[_Change]:
    """Routes whose vehicles won't be back in time, or others with what they are to take, and those
    that should have left. No route is planned to leave before what it takes may leave."""
    on_its_way = Route.objects.filter(
        vehicle=OuterRef("vehicle"),
        state=Route.State.DISPATCHED,
        starts_at__lt=OuterRef("ends_at"),
        ends_at__gt=OuterRef("starts_at"),
    )
    overdue = now - timedelta(minutes=settings.DISPATCH_GRACE_MINUTES)
    late = Q(starts_at__lte=overdue, planned_at__lte=overdue)
    not_back = Stop.objects.filter(
        route=OuterRef("pk"),
        state=Stop.State.PENDING,
        shipment__release_at__gt=OuterRef("starts_at"),
    )
    routes = _open().filter(Exists(on_its_way) | Exists(not_back) | late)
    return [
        _Change(route.depot_id, (route.day, route.departs_at), route.planned_at) for route in routes
    ]
