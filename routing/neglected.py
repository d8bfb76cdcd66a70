"""Promise: when nobody plans, because no planner runs or it can't keep up, that is seen where
people look, though the planner can't say so."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from .departures import due_departure, lead_of
from .models import Depot, PlanRun, Shipment

#: A depot is neglected when it has been due for so long and no run has begun since. Longer than a
#: depot ever rests after failures: of those, people are told anyway.
NEGLECT = timedelta(minutes=15)


def neglected() -> QuerySet[Depot]:
    """Depots with new shipments, or a plan that was asked for, that nobody plans."""
    now = timezone.now()
    limit = now - NEGLECT
    return Depot.objects.filter(
        pk__in=[depot.pk for depot in _candidates(limit) if _due_since(depot, now) <= limit]
    )


def _candidates(limit: datetime) -> QuerySet[Depot]:
    """Of whom no run has begun lately, with since when something waits: by the index."""
    runs = PlanRun.objects.filter(depot=OuterRef("pk")).order_by("-pk")
    waiting = Shipment.objects.filter(depot=OuterRef("pk"), state=Shipment.State.OPEN)
    waiting = waiting.order_by("ready_at")
    depots = Depot.objects.annotate(
        planned_last=Subquery(runs.values("started_at")[:1]),
        waits_since=Subquery(waiting.values("ready_at")[:1]),
        new_since=Subquery(waiting.filter(unplannable_reason="").values("ready_at")[:1]),
    )
    return depots.filter(
        Q(planned_last=None) | Q(planned_last__lt=limit),
        Q(waits_since__lt=limit) | Q(plan_asked_at__lt=limit),
    )


def _due_since(depot: Depot, now: datetime) -> datetime:
    """The end of all days when it is not due."""
    never = datetime.max.replace(tzinfo=now.tzinfo)
    asked, last = depot.plan_asked_at, depot.planned_last  # type: ignore[attr-defined]
    by_hand = asked if asked and (last is None or last < asked) else never
    return min(by_hand, _departure_since(depot, now) or never, _burst_since(depot) or never)


def _burst_since(depot: Depot) -> datetime | None:
    new: datetime | None = depot.new_since  # type: ignore[attr-defined]
    if depot.departures or new is None:
        return None
    return new + timedelta(seconds=settings.PLANNING_PATIENCE)


def _departure_since(depot: Depot, now: datetime) -> datetime | None:
    waits: datetime | None = depot.waits_since  # type: ignore[attr-defined]
    due = due_departure(depot, now) if depot.departures and waits else None
    if due is None or waits is None:
        return None
    decision, last = due.at - lead_of(depot), depot.planned_last  # type: ignore[attr-defined]
    return None if last and last >= decision else max(waits, decision)
