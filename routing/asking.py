"""Promise: who asks for a plan by hand is answered at once; the planner's next tick makes it, in a
worker, and once however often it was asked for. A run that died with its process is made again, a
few times: a plan that kills whoever makes it is given up."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Count, Exists, F, IntegerField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from supplychain.errors import SupplyChainError

from .models import Depot, PlanRun
from .runs import dead

BY_HAND = "by hand"
#: A plan that was asked for is given up when so many of its runs have died.
MOST_DEATHS = 3


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
    """Depots whose plan was asked for, and no run has begun since but for some that died."""
    died = dead(timezone.now())
    since = PlanRun.objects.filter(depot=OuterRef("pk"), started_at__gte=OuterRef("plan_asked_at"))
    number = since.filter(died).order_by().values("depot").annotate(number=Count("pk"))
    deaths = Coalesce(Subquery(number.values("number"), IntegerField()), Value(0))
    asked_for = Depot.objects.filter(plan_asked_at__isnull=False)
    return asked_for.alias(deaths=deaths).filter(
        ~Exists(since.exclude(died)), deaths__lt=MOST_DEATHS
    )


def asked() -> dict[int, datetime]:
    """By depot, since when a plan has been asked for."""
    return dict(unanswered().values_list("pk", F("plan_asked_at")))
