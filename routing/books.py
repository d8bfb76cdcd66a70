"""Promise: a day's plan is read once and kept in this process for as long as nobody else changes
it, so that of a burst of new shipments only the first batch waits for the reading.

What is kept is used by one transaction at a time, which holds the depot's lock. It is kept again
only when all that has changed by the end is what that transaction itself has put in.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Max
from django.utils import timezone

from .current import Current
from .days import day_of, stop_of
from .insertion import Offer, drivable
from .keeping import Keeper, Kept
from .models import Depot, Route, Shipment, Stop
from .places import promised, time_between
from .posing import begins, problem_of, widened
from .reasons import nonsense
from .road import SHORT_TIMEOUT
from .services import S

#: Stops of a day's plan beyond which looking for places would take too long.
MOST_STOPS = 2000
#: So many stops that found no place are kept with a day.
REFUSED = 500


class Page:
    """A day's plan, into which more is put."""

    def __init__(self, depot: Depot, start: datetime) -> None:
        self._depot, self._start = depot, start
        current = Current.read(depot, start)
        self.full = len(current.shipments) > MOST_STOPS
        there = [] if self.full else current.shipments
        problem = problem_of(depot, start, there, travel_timeout=SHORT_TIMEOUT)
        self._problem, self._gaps = drivable(problem, current.orders(problem))
        self._times = current.times()

    @property
    def stops(self) -> int:
        return len(self._problem.stops)

    def has_room_for(self, shipments: Iterable[Shipment]) -> bool:
        """Whether it can be asked for these, too."""
        placed = sum(len(route.visits) for route in self._gaps.routes.values())
        return (
            placed <= MOST_STOPS
            and len(self._problem.stops) - placed <= REFUSED
            and not any(shipment.pk in self._problem.node_of for shipment in shipments)
        )

    def ask_for(self, shipments: Iterable[Shipment]) -> None:
        """From now on, offers can be made for these."""
        problem, now = self._problem, timezone.now()
        stops = (stop_of(shipment, self._start, now) for shipment in shipments)
        end = max((v.end_s for v in problem.vehicles), default=0)
        due = tuple(stop for stop in stops if begins(stop) <= end)
        if not due or self.full:
            return
        self._problem = widened(problem, due, travel_timeout=SHORT_TIMEOUT)
        self._gaps.widen(self._problem)

    def offer(self, pk: UUID) -> Offer | None:
        problem = self._problem
        if pk not in problem.node_of:
            return None
        stop = problem.stops[problem.node_of[pk] - len(problem.depots)]
        return None if nonsense(stop) else self._gaps.offer(stop)

    def accept(self, offer: Offer, place: datetime) -> None:
        self._gaps.accept(offer)
        self._times[offer.route.stops[offer.position].key] = place

    def place(self, offer: Offer, eta: datetime) -> datetime:
        """Between those before and after it, as they stand in the rows."""
        stops = offer.route.stops
        before = [self._times[stop.key] for stop in stops[: offer.position]]
        after = [self._times[stop.key] for stop in stops[offer.position + 1 :]]
        return time_between(eta, before, after)


class Book:
    """A depot's day for these new shipments; looked at when one of them first needs it."""

    def __init__(self, depot: Depot, start: datetime, shipments: Sequence[Shipment]) -> None:
        self.start = start
        self._depot, self._shipments = depot, shipments
        self._page: Page | None = None
        self._accepted = 0

    def offer(self, shipment: Shipment) -> Offer | None:
        if self._page is None:
            self._page = self._looked_at()
        return self._page.offer(shipment.pk)

    def accept(self, offer: Offer, eta: datetime, window: tuple[datetime, datetime]) -> datetime:
        """Puts it there, with the window that is promised; gives the time by which it stands among
        the others."""
        assert self._page
        place = self._page.place(offer, eta)
        self._page.accept(promised(offer, self.start, window), place)
        self._accepted += 1
        return place

    def keep(self) -> None:
        """For the next batch, once all that was accepted is in the rows."""
        if self._page is None or self._page.full:
            return
        now = _Standing.read(self._depot, self.start)
        if now.plan == self._began.plan and now.promised == self._began.promised + self._accepted:
            found = Kept(now, self._since, self._page, self._page.stops)
            kept.keep((self._depot.pk, self.start), found)

    def _looked_at(self) -> Page:
        self._began = _Standing.read(self._depot, self.start)
        self._since = time.monotonic()
        known = kept.taken((self._depot.pk, self.start))
        if known and known.holds(self._began) and known.what.has_room_for(self._shipments):
            self._since, page = known.since, known.what
        else:
            page = Page(self._depot, self.start)
        page.ask_for(self._shipments)
        return page


# --- what is kept -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Standing:
    """What a day's plan is made of: another one whenever plan or fleet are others, but for what
    is promised, of which there are so many, the newest from then."""

    plan: tuple[Any, ...]
    promised: int
    newest: datetime | None

    @classmethod
    def read(cls, depot: Depot, start: datetime) -> _Standing:
        day = day_of(depot, start)
        under_way = (Route.State.PLANNED, Route.State.DISPATCHED)
        routes = Route.objects.filter(depot=depot, state__in=under_way).order_by("pk")
        pending = Stop.objects.filter(route__depot=depot, route__day=day, state=Stop.State.PENDING)
        plan = (
            *routes.values_list("pk", "state", "frozen", "planned_at", "ends_at"),
            pending.count(),
            *depot.vehicles.order_by("pk").values_list(),
            (depot.latitude, depot.longitude, depot.time_zone),
        )
        promised = Shipment.objects.filter(depot=depot, state=S.OPEN, promised_day=day)
        return cls(plan, *promised.aggregate(Count("pk"), Max("ready_at")).values())


kept = Keeper[_Standing, Page]()
