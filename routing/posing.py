"""Promise: what the planner is asked to solve is what the rows say: shipments that could leave,
vehicles that are free then, and windows in seconds since the local midnight of a day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from .days import day_of, place_of, stop_of
from .fleet import Busy, Fleet
from .models import Depot, Shipment
from .problem import Depot as PlanDepot
from .problem import Place, Problem
from .problem import Stop as PlanStop
from .problem import Vehicle as PlanVehicle
from .road import provider
from .travel import extended
from .ways import Known, grown, ways


def problem_of(
    depot: Depot,
    start: datetime,
    shipments: Sequence[Shipment],
    *,
    departs: datetime | None = None,
    also: Busy | None = None,
    travel_timeout: float | None = None,
    known: Problem | None = None,
) -> Problem:
    """What of these shipments a day's vehicles could take, or those of a departure on it; seconds
    count from ``start``. The routes that may still be changed keep no vehicle busy: give their
    shipments, too. ``also`` are more tours. Ways that the problem ``known`` has are taken from it,
    so that what was planned with them is judged by them."""
    now = timezone.now()
    fleet = Fleet.read(depot, now, own=Q(day=day_of(depot, start), departs_at=departs))
    if departs is None:
        vehicles = list(fleet.of_day(start))
    else:
        vehicles = list(fleet.at(departs, origin=start, also=also))
    end = max((v.end_s for v in vehicles), default=0)
    stops = (stop_of(shipment, start, now) for shipment in shipments)
    # What opens or is released after this day's last tour belongs to a later day.
    due = [stop for stop in stops if not vehicles or begins(stop) <= end]
    return problem_with(fleet, vehicles, due, travel_timeout=travel_timeout, known=known)


def problem_with(
    fleet: Fleet,
    vehicles: Iterable[PlanVehicle],
    stops: Sequence[PlanStop],
    *,
    travel_timeout: float | None = None,
    known: Problem | None = None,
) -> Problem:
    depots = fleet.depots()
    places = [*map(place_of, depots.values()), *(stop.place for stop in stops)]
    roads = provider(settings.TRAVEL_URL, travel_timeout or settings.TRAVEL_TIMEOUT)
    travel = grown(_known(known), places, roads) if known else ways(fleet.depot.code, places, roads)
    plan_depots = tuple(PlanDepot(code, place_of(row)) for code, row in depots.items())
    return Problem(plan_depots, tuple(vehicles), tuple(stops), travel)


def widened(
    problem: Problem, stops: Sequence[PlanStop], *, travel_timeout: float | None = None
) -> Problem:
    """With more stops, the last."""
    places = _places(problem)
    roads = provider(settings.TRAVEL_URL, travel_timeout or settings.TRAVEL_TIMEOUT)
    travel = extended(problem.travel, places, [stop.place for stop in stops], roads)
    return replace(problem, stops=(*problem.stops, *stops), travel=travel)


def _places(problem: Problem) -> list[Place]:
    return [*(depot.place for depot in problem.depots), *(stop.place for stop in problem.stops)]


def _known(problem: Problem) -> Known:
    return Known({place: n for n, place in enumerate(_places(problem))}, problem.travel)


def begins(stop: PlanStop) -> int:
    """Before this second nothing can happen at it."""
    opens = min((window[0] for window in stop.windows), default=0)
    return max(opens, stop.release_s)
