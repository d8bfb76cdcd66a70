"""Promise: each departure of a depot is decided once, its lead before the vehicles leave; one that
nobody decided in time is decided late, until the next is due."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from .asking import BY_HAND
from .clock import times_of
from .days import HORIZON_DAYS, local, midnight, tomorrow
from .models import Depot, PlanRun

_DEPARTURE = "departure"


@dataclass(frozen=True, order=True)
class Departure:
    """Vehicles leave ``at`` this moment of the local day that begins at ``start``."""

    at: datetime
    start: datetime


def departure(depot: Depot, at: datetime) -> Departure:
    return Departure(at, midnight(at, depot.zone))


def departures_from(depot: Depot, moment: datetime) -> Iterator[Departure]:
    """Those at this moment and later, as far as days are planned."""
    clocks, start = times_of(depot.departures), midnight(moment, depot.zone)
    for _ in range(HORIZON_DAYS):
        # Clocks that are put forward may show two of the times at one moment.
        for at in sorted({local(depot, start, clock) for clock in clocks}):
            if at >= moment:
                yield Departure(at, start)
        start = tomorrow(start, depot.zone)


def lead_of(depot: Depot) -> timedelta:
    return timedelta(minutes=depot.departure_lead)


def undecided(depot: Depot, now: datetime) -> Iterator[Departure]:
    """Those of which nobody has decided yet what goes; what is ordered now may."""
    return (one for one in departures_from(depot, now) if one.at - lead_of(depot) > now)


def due_departure(depot: Depot, now: datetime) -> Departure | None:
    """The one to decide now, or decided last: today's, or one that is about to leave."""
    before = takewhile(
        lambda one: one.at - lead_of(depot) <= now,
        departures_from(depot, midnight(now, depot.zone)),
    )
    return max(before, default=None)


def is_decided(depot: Depot, one: Departure) -> bool:
    runs = PlanRun.objects.filter(depot=depot, departs_at=one.at, state=PlanRun.State.DONE)
    return runs.filter(started_at__gte=one.at - lead_of(depot)).exists()


def departure_due(depot: Depot, now: datetime) -> str:
    """The trigger of the run that decides it; "" when none is due."""
    due = due_departure(depot, now)
    if due is None or is_decided(depot, due):
        return ""
    return f"{_DEPARTURE} {due.at.astimezone(depot.zone):%H:%M}"


def decided_by(depot: Depot, trigger: str, now: datetime) -> Departure | None:
    """The departure that a run with this trigger decides; by hand it is the next one."""
    if not depot.departures:
        return None
    if trigger == BY_HAND:
        return next(departures_from(depot, now), None)
    return due_departure(depot, now) if trigger.startswith(_DEPARTURE) else None
