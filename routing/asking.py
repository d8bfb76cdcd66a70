"""Promise: who asks for a plan by hand is answered at once; the planner's next tick makes it, in a
worker, and once however often it was asked for."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from supplychain.errors import SupplyChainError

from .models import Depot, PlanRun

BY_HAND = "by hand"


class RunUnderWay(SupplyChainError):
    """A plan run of this depot is under way; try again when it has ended."""

    permanent = True


def ask_for_plan(*, depot: Depot) -> None:
    """All that may still be changed at this depot is to be planned again; raises RunUnderWay."""
    now = timezone.now()
    running = depot.runs.filter(state=PlanRun.State.RUNNING, expires_at__gte=now)
    if running.exists():
        raise RunUnderWay
    Depot.objects.filter(pk=depot.pk).update(plan_asked_at=now)


def unanswered() -> QuerySet[Depot]:
    """Depots whose plan was asked for, and no run has begun since."""
    since = PlanRun.objects.filter(depot=OuterRef("pk"), started_at__gte=OuterRef("plan_asked_at"))
    return Depot.objects.filter(~Exists(since), plan_asked_at__isnull=False)


def asked() -> dict[int, datetime]:
    """By depot, since when a plan has been asked for."""
    return dict(unanswered().values_list("pk", F("plan_asked_at")))
