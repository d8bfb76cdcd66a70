"""Promise: that planning a depot fails again and again is told once, until it succeeds."""

from __future__ import annotations

from uuid import NAMESPACE_URL, UUID, uuid5

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from supplychain.events.outbox import emit_all

from .alerting import alert
from .models import Alert, Depot, PlanRun

#: In a row: so many are no chance.
FAILURES = 3


@transaction.atomic
def note_end(depot: Depot) -> None:
    """Of a run of this depot: alert of what fails, until it no longer does."""
    ended = PlanRun.objects.filter(depot=depot).exclude(state=PlanRun.State.RUNNING)
    runs = list(ended.order_by("-pk")[:FAILURES])
    if runs and runs[0].state == PlanRun.State.DONE:
        _alerts(depot).filter(seen_at=None).update(
            seen_at=timezone.now(), seen_by="planning works again"
        )
    elif len(runs) == FAILURES and {run.state for run in runs} == {PlanRun.State.FAILED}:
        _tell(depot, runs[0])


def _alerts(depot: Depot) -> QuerySet[Alert]:
    return Alert.objects.filter(kind=Alert.Kind.PLANNING_FAILS, depot=depot)


def _tell(depot: Depot, run: PlanRun) -> None:
    done = PlanRun.objects.filter(depot=depot, state=PlanRun.State.DONE).order_by("-pk").first()
    told = _alerts(depot).filter(at__gte=done.started_at) if done else _alerts(depot)
    if told.exists():
        return
    text = (
        f"Planning {depot} has failed {FAILURES} times in a row: {run.error[:120]}. New orders get "
        "no route. It is tried again by itself; mend what it says, or call an operator."
    )
    emit_all(alert(depot, Alert.Kind.PLANNING_FAILS, {_subject(depot): text}))


def _subject(depot: Depot) -> UUID:
    """Alerts are about something with a key of this kind."""
    return uuid5(NAMESPACE_URL, f"depot/{depot.code}")
