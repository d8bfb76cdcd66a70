"""Promise: a depot is planned once per burst of shipments, not once per shipment; who can't be
planned, and a planner that fails, keep nobody busy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from django.conf import settings
from django.db.models import Count, Max, Min, Q

from .days import midnight
from .models import Depot, PlanRun, Shipment
from .services import S

#: After a failed run its depot rests: at first so long, then twice as long each time.
FAILURE_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=10)


def due_depots(now: datetime) -> list[Depot]:
    """Depots to plan now, the longest waiting first.

    Due is a burst that has ended (no new shipment for PLANNING_QUIET seconds) or has waited
    for PLANNING_PATIENCE seconds, and what a run left over for want of time. What could not
    be planned waits for company: new shipments, or the next day.
    """
    fresh = Q(unplannable_reason="")
    pools = (
        Shipment.objects.filter(state=S.OPEN)
        .order_by()
        .values("depot_id")
        .annotate(
            newest=Max("ready_at", filter=fresh),
            oldest=Min("ready_at", filter=fresh),
            first=Min("ready_at"),
            waiting=Count("pk", filter=~fresh),
        )
    )
    due = [pool for pool in pools if _is_due(pool, now)]
    depots = Depot.objects.in_bulk([pool["depot_id"] for pool in due])
    return [depots[pool["depot_id"]] for pool in sorted(due, key=lambda pool: pool["first"])]


def _is_due(pool: Mapping[str, Any], now: datetime) -> bool:
    runs = list(PlanRun.objects.filter(depot=pool["depot_id"]).order_by("-pk")[:10])
    if _rests(runs, now):
        return False
    if runs and runs[0].cut_short:
        return True
    if pool["newest"] is not None:
        quiet = now - timedelta(seconds=settings.PLANNING_QUIET)
        impatient = now - timedelta(seconds=settings.PLANNING_PATIENCE)
        if pool["newest"] <= quiet or pool["oldest"] <= impatient:
            return True
    planned_today = any(
        r.state == PlanRun.State.DONE and r.started_at >= midnight(now) for r in runs
    )
    return bool(pool["waiting"]) and not planned_today


def _rests(runs: Sequence[PlanRun], now: datetime) -> bool:
    """Whether a depot with these runs, the newest first, is being planned or has to wait after
    failures."""
    if not runs or runs[0].state == PlanRun.State.DONE:
        return False
    if runs[0].state == PlanRun.State.RUNNING:
        return runs[0].expires_at >= now
    failures: int = sum(1 for _ in takewhile(lambda run: run.state == PlanRun.State.FAILED, runs))
    pause = min(LONGEST_PAUSE, FAILURE_PAUSE * 2.0 ** (failures - 1))
    ended: datetime = runs[0].ended_at or runs[0].started_at
    return now < ended + pause
