"""Promise: who asks when something would come waits for no map and no search: each day's plan is
looked up once and kept until it changes, with a seat left free for a guest to try it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import numpy as np
from django.conf import settings
from django.db.models import Count, Max, Q
from django.utils import timezone

from .books import MOST_STOPS
from .current import Current
from .days import days_ahead, midnight, open_routes, seconds_down, seconds_up
from .departures import Departure, undecided
from .insertion import Offer, drivable
from .keeping import Keeper, Kept
from .models import Depot, Route, Shipment, Stop
from .posing import problem_of
from .problem import Matrix, Place, Problem, Travel, Window
from .problem import Stop as PlanStop
from .promising import Windows, promised_window, touches
from .reasons import hopeless
from .road import SHORT_TIMEOUT, provider
from .services import S
from .timetable import Crowded, Timetable

_GUEST = "guest"


@dataclass(frozen=True)
class Load:
    """What would be sent, and where to."""

    latitude: float
    longitude: float
    weight_kg: float
    volume_m3: float
    items: int = 0
    skills: Sequence[str] = ()

    def stop(self, windows: tuple[Window, ...]) -> PlanStop:
        return PlanStop(
            key=_GUEST,
            place=Place(self.latitude, self.longitude),
            load_kg=self.weight_kg,
            load_m3=self.volume_m3,
            items=self.items,
            skills=frozenset(self.skills),
            windows=windows,
        )


@dataclass(frozen=True)
class Quote:
    """When it would come; ``extra_cost`` is what the plan would cost more."""

    depot: Depot
    start: datetime
    eta: datetime
    window_from: datetime
    window_until: datetime
    extra_cost: float


def quote(*, depots: Iterable[Depot], load: Load, windows: Windows = ()) -> Quote | None:
    """The place that costs least, of all these depots on their first day with one; nothing is
    held. Without a window at any time; of several windows, in one of them."""
    quotes = (_first(depot, load, windows) for depot in depots)
    found = [one for one in quotes if one]
    return min(found, key=lambda one: (one.start, one.extra_cost), default=None)


def _first(depot: Depot, load: Load, windows: Windows) -> Quote | None:
    if depot.departures:
        return _at_departure(depot, load, windows)
    for start in days_ahead(depot):
        due = [window for window in windows if touches(start, window)]
        if windows and not due:
            continue
        asked = tuple(_seconds(start, window) for window in due)
        if offer := _day(depot, start).offer(load.stop(asked)):
            eta = start + timedelta(seconds=offer.arrival_s)
            return _quoted(depot, start, eta, due, offer)
    return None


def _at_departure(depot: Depot, load: Load, windows: Windows) -> Quote | None:
    """Of those of which nobody has decided yet what goes."""
    departures = _departures(depot)
    origin = departures.origin
    asked = tuple(_seconds(origin, window) for window in windows)
    if found := departures.offer(load.stop(asked), windows):
        one, offer = found
        eta = origin + timedelta(seconds=offer.arrival_s)
        return _quoted(depot, one.start, eta, windows, offer)
    return None


def _quoted(depot: Depot, start: datetime, eta: datetime, asked: Windows, offer: Offer) -> Quote:
    window = promised_window(eta, asked)
    return Quote(depot, start, eta, *window, round(offer.extra_cost, 4))


def _seconds(start: datetime, window: tuple[datetime | None, datetime | None]) -> Window:
    opens, closes = window
    return (
        seconds_up(start, opens) if opens else 0,
        seconds_down(start, closes or start + timedelta(days=365)),
    )


# --- a day with a free seat -----------------------------------------------------------------


class _Day:
    """A depot's day as it stood when it was looked up."""

    def __init__(self, depot: Depot, start: datetime) -> None:
        current = Current.read(depot, start)
        shipments = current.shipments
        self._full = len(shipments) > MOST_STOPS
        problem = problem_of(
            depot, start, [] if self._full else shipments, travel_timeout=SHORT_TIMEOUT
        )
        problem = _with_seat(problem)
        self._problem, self._gaps = drivable(problem, current.orders(problem))
        self._lock = threading.Lock()

    @property
    def stops(self) -> int:
        return len(self._problem.stops)

    def offer(self, stop: PlanStop) -> Offer | None:
        if self._full:
            return None
        ways = _ways_of(self._problem, stop)
        with self._lock:
            _take_seat(self._problem, ways)
            return None if hopeless(self._problem, stop) else self._gaps.offer(stop)


class _Departures:
    """A depot's departures of which nobody has decided what goes, as they were looked up."""

    def __init__(self, depot: Depot, origin: datetime) -> None:
        self.origin = origin
        self._table: Timetable | None = None
        with suppress(Crowded):  # no time can be told then: see offer()
            self._table = Timetable.read(
                depot,
                timezone.now(),
                travel_timeout=SHORT_TIMEOUT,
                most=MOST_STOPS,
                adapt=self._seated,
            )
        self._lock = threading.Lock()

    @property
    def stops(self) -> int:
        return self._table.stops if self._table else 0

    def _seated(self, problem: Problem) -> Problem:
        self._problem = _with_seat(problem)
        return self._problem

    def offer(self, stop: PlanStop, windows: Windows) -> tuple[Departure, Offer] | None:
        if self._table is None:
            return None
        ways = _ways_of(self._problem, stop)
        with self._lock:
            _take_seat(self._problem, ways)
            return self._table.first(
                stop,
                lambda one: not windows or any(touches(one.start, window) for window in windows),
            )


_Ways = tuple[tuple[Matrix, Matrix], tuple[Matrix, Matrix]]


def _with_seat(problem: Problem) -> Problem:
    """With one more stop, the last, whose ways are written into its travel by _take_seat."""
    guest = PlanStop(key=_GUEST, place=problem.depots[0].place, load_kg=0, load_m3=0)
    travel = Travel(_wider(problem.travel.metres), _wider(problem.travel.seconds))
    return replace(problem, stops=(*problem.stops, guest), travel=travel)


def _ways_of(problem: Problem, stop: PlanStop) -> _Ways:
    """From all places to this stop, and back."""
    roads = provider(settings.TRAVEL_URL, SHORT_TIMEOUT)
    places = [*(d.place for d in problem.depots), *(s.place for s in problem.stops[:-1])]
    return roads.table(places, [stop.place]), roads.table([stop.place], places)


def _take_seat(problem: Problem, ways: _Ways) -> None:
    there, back = ways
    travel = problem.travel
    for kind, matrix in enumerate((travel.metres, travel.seconds)):
        matrix[:-1, -1], matrix[-1, :-1] = there[kind][:, 0], back[kind][0]


def _wider(matrix: Matrix) -> Matrix:
    """With a row and a column for the guest, whose ways are written into it."""
    return np.pad(matrix, (0, 1))


_Looked = TypeVar("_Looked", _Day, _Departures)

kept = Keeper[Any, Any]()


def _day(depot: Depot, start: datetime) -> _Day:
    print_ = _fingerprint(depot, start, open_routes(depot, start))
    return _looked_up((depot.pk, start), print_, lambda: _Day(depot, start))


def _departures(depot: Depot) -> _Departures:
    now = timezone.now()
    routes = Route.objects.filter(depot=depot, state=Route.State.PLANNED, frozen=False)
    origin, first = midnight(now, depot.zone), next(undecided(depot, now), None)
    print_ = (first, *_fingerprint(depot, origin, routes))
    return _looked_up((depot.pk, None), print_, lambda: _Departures(depot, origin))


def _looked_up(
    key: tuple[int, datetime | None], print_: Any, look: Callable[[], _Looked]
) -> _Looked:
    known, since = kept.seen(key), time.monotonic()
    if known and known.holds(print_):
        found: _Looked = known.what
        return found
    looked = look()
    kept.keep(key, Kept(print_, since, looked, looked.stops))
    return looked


def _fingerprint(depot: Depot, start: datetime, open_: Iterable[Route]) -> tuple[Any, ...]:
    """Another one whenever the plan or fleet of what begins then is another."""
    routes = Route.objects.filter(pk__in=[route.pk for route in open_])
    pending = Count("stops", filter=Q(stops__state=Stop.State.PENDING))
    plan = routes.aggregate(Count("pk", distinct=True), Max("planned_at"), stops=pending)
    promised = Shipment.objects.filter(depot=depot, state=S.OPEN, promised_until__gte=start)
    vehicles = depot.vehicles.order_by("pk").values_list()
    busy = Route.objects.filter(depot=depot, state=Route.State.DISPATCHED).order_by("pk")
    return (
        *plan.values(),
        *promised.aggregate(Count("pk"), Max("ready_at")).values(),
        *vehicles,
        *busy.values_list("pk", "ends_at"),
        (depot.latitude, depot.longitude),
    )
