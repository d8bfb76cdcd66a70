"""Promise: a plan run whose process has died is known as such by the planner's next tick, and runs
of long ago to which nothing refers are forgotten."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Max, Q
from django.utils import timezone

from .models import PlanRun

DIED = "its process has died"
#: Runs that are forgotten in one go at most.
FORGOTTEN_AT_ONCE = 1000

_RUNNING = Q(state=PlanRun.State.RUNNING)


def dead(now: datetime) -> Q:
    """Runs whose process has died, whether or not the planner has noticed."""
    return Q(died=True) | _RUNNING & Q(expires_at__lt=now)


def bury_the_dead(now: datetime, **of: Any) -> int:
    """Write down which runs have died; gives how many. Of all depots, unless one is named."""
    runs = PlanRun.objects.filter(_RUNNING, expires_at__lt=now, **of)
    return runs.update(state=PlanRun.State.FAILED, died=True, ended_at=now, error=DIED)


def forget_old() -> int:
    """Forget runs older than PLAN_RUN_DAYS, so many at once at most; gives how many went. Those
    that a route or a version of a plan came from stay, and the newest of each depot."""
    limit = timezone.now() - timedelta(days=settings.PLAN_RUN_DAYS)
    newest = PlanRun.objects.order_by().values("depot").annotate(newest=Max("pk")).values("newest")
    old = PlanRun.objects.filter(started_at__lt=limit, routes=None, plans=None)
    old = old.exclude(pk__in=newest).order_by("pk")
    keys = list(old.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
    return PlanRun.objects.filter(pk__in=keys).delete()[0]
