"""Promise: who waits for a later departure has a place there, in a tour that its vehicle can make:
it is back from the one before, and in time for the next.

Each departure has a page: the tours that are held there, and the gaps in them. A place given on
one page narrows the others, for a vehicle is in one tour at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import zip_longest

from django.conf import settings
from django.db.models import Q

from .days import RUN_SHIPMENTS, midnight, seconds_down, seconds_up, stop_of, with_room
from .departures import Departure, undecided
from .fleet import Fleet, Span
from .insertion import Gaps, Offer
from .models import Depot, Shipment, Stop
from .places import promised, time_between
from .posing import problem_with, widened
from .problem import Key, Problem
from .problem import Stop as PlanStop
from .reasons import hopeless
from .road import SHORT_TIMEOUT
from .services import S

#: Whether a departure is one to be looked at.
Wanted = Callable[[Departure], bool]


#: So many stops that found no place are kept with a timetable.
REFUSED = 500


class Crowded(Exception):
    """There are more stops in question than one has time to look at."""


@dataclass(frozen=True)
class Held:
    """A place at a departure: in the vehicle's tour, by the order of these times."""

    departs: datetime
    vehicle: int
    time: datetime


@dataclass(frozen=True)
class Place:
    departure: Departure
    offer: Offer
    eta: datetime
    held: Held


@dataclass
class _Page:
    problem: Problem
    gaps: Gaps


class Timetable:
    """``problem``: all stops in question, with seconds from ``origin``; its vehicles don't count.
    ``held``: places that some of them have; ``lost`` are those whose place is none any more."""

    def __init__(
        self,
        fleet: Fleet,
        problem: Problem,
        origin: datetime,
        departures: Iterable[Departure],
        held: Mapping[Key, Held],
    ) -> None:
        self.departures = list(departures)
        self._fleet, self._problem, self._origin = fleet, problem, origin
        self._held = {key: place for key, place in held.items() if key in problem.node_of}
        self._pages: dict[Departure, _Page] = {}
        self._taken = _orders(problem, self._held)
        for one in self.departures:
            if one.at in self._taken:
                self._pages[one] = self._opened(one, self._taken[one.at])
        vehicles = {
            (one.at, stop.key): route.vehicle.key
            for one, page in self._pages.items()
            for route in page.gaps.routes.values()
            for stop in route.stops
        }
        self.lost = {key for key, at in self._held.items() if (at.departs, key) not in vehicles}
        self._held = {
            key: replace(place, vehicle=vehicles[place.departs, key])
            for key, place in self._held.items()
            if key not in self.lost
        }

    @property
    def stops(self) -> int:
        return len(self._problem.stops)

    def has_room_for(self, shipments: Collection[Shipment], *, most: int) -> bool:
        """Whether it can be asked for these, too, as if it were read anew: for ``most`` stops."""
        known, placed = self._problem.node_of, len(self._held)
        return (
            placed + len(shipments) <= most
            and len(self._problem.stops) - placed <= REFUSED
            and not any(shipment.pk in known for shipment in shipments)
        )

    def ask_for(self, shipments: Iterable[Shipment], now: datetime) -> None:
        """From now on, places can be found for these."""
        stops = [stop_of(row, self._origin, now) for row in shipments]
        self._problem = problem = widened(self._problem, stops, travel_timeout=SHORT_TIMEOUT)
        for one, page in list(self._pages.items()):
            if not page.gaps.routes and one.at not in self._taken:
                del self._pages[one]  # it is opened again when somebody looks at it
                continue
            page.problem = replace(problem, vehicles=page.problem.vehicles)
            page.gaps.widen(page.problem)

    def place(self, stop: PlanStop, wanted: Wanted = lambda _: True) -> Place | None:
        """The first departure that could take it, of those wanted, and the place there; it is
        taken then."""
        found = self.first(stop, wanted)
        return self.accept(*found) if found else None

    def first(
        self, stop: PlanStop, wanted: Wanted = lambda _: True
    ) -> tuple[Departure, Offer] | None:
        """The first departure that could take it, of those wanted, at the cheapest place there. One
        with which the vehicle would start as late as with the next is the last resort."""
        for waits_at_home in (False, True):
            for one, after in zip_longest(self.departures, self.departures[1:]):
                early = too_early(self._problem, self._origin, stop, one, after)
                if early == waits_at_home and wanted(one) and (offer := self._offer(one, stop)):
                    return one, offer
        return None

    def _offer(self, one: Departure, stop: PlanStop) -> Offer | None:
        if one not in self._pages:
            self._pages[one] = self._opened(one, {})
        page = self._pages[one]
        return None if hopeless(page.problem, stop) else page.gaps.offer(stop)

    def knows(self, key: Key) -> bool:
        """Whether it had room for this one."""
        return key in self._problem.node_of

    def held(self, key: Key) -> Held | None:
        """The place that it has; its tour may be another vehicle's by now."""
        return self._held.get(key)

    def eta(self, offer: Offer) -> datetime:
        return self._origin + timedelta(seconds=offer.arrival_s)

    def accept(
        self, one: Departure, offer: Offer, window: tuple[datetime, datetime] | None = None
    ) -> Place:
        """The offer must be the last one made for this departure. What is promised with it, those
        who come after it respect."""
        if window:
            offer = promised(offer, self._origin, window)
        eta = self.eta(offer)
        held = Held(one.at, offer.vehicle.key, self._between(offer, eta))
        self._held[offer.route.stops[offer.position].key] = held
        self._pages[one].gaps.accept(offer)
        self._narrow(one, offer)
        return Place(one, offer, eta, held)

    def stop(self, key: Key) -> PlanStop:
        return self._problem.stops[self._problem.node_of[key] - len(self._problem.depots)]

    def _between(self, offer: Offer, eta: datetime) -> datetime:
        """The times of those before and after it, as they were noted."""
        stops = offer.route.stops
        before = [self._held[stop.key].time for stop in stops[: offer.position]]
        after = [self._held[stop.key].time for stop in stops[offer.position + 1 :]]
        return time_between(eta, before, after)

    def _narrow(self, one: Departure, offer: Offer) -> None:
        """On the other pages the vehicle is away during this tour."""
        turn = timedelta(minutes=settings.TURN_AROUND_MINUTES)
        back = self._origin + timedelta(seconds=offer.route.return_s) + turn
        leaves_s = seconds_down(self._origin, one.at - turn)
        for other, page in list(self._pages.items()):
            vehicle = page.problem.vehicle_of.get(offer.vehicle.key)
            late = other > one and other.at < back
            if vehicle and other != one and (late or (other < one and vehicle.end_s > leaves_s)):
                orders = {key: list(route.stops) for key, route in page.gaps.routes.items()}
                self._pages[other] = self._opened(other, orders)

    def _opened(self, one: Departure, orders: Mapping[Key, Sequence[PlanStop]]) -> _Page:
        vehicles = tuple(self._fleet.at(one.at, origin=self._origin, also=self._beside(one)))
        problem = replace(self._problem, vehicles=vehicles)
        known = {key: stops for key, stops in orders.items() if key in problem.vehicle_of}
        gaps = Gaps(problem, known)
        here = {stop.key for route in gaps.routes.values() for stop in route.stops}
        # Of a tour that can't be driven as it stands, each stop gets another place if there is one.
        for stop in (stop for stops in orders.values() for stop in stops):
            if stop.key not in here and (offer := gaps.offer(stop)):
                gaps.accept(offer)
        return _Page(problem, gaps)

    def _beside(self, one: Departure) -> dict[int, list[Span]]:
        """The tours of the other departures; of pages not yet opened, that they begin."""
        tours: dict[int, list[Span]] = defaultdict(list)
        for other in self.departures:
            if other == one:
                continue
            page = self._pages.get(other)
            routes = page.gaps.routes if page else {}
            for key, route in routes.items():
                ends = self._origin + timedelta(seconds=route.return_s)
                tours[key].append((other.at, ends))
            for key in self._taken.get(other.at, {}) if page is None else ():
                tours[key].append((other.at, other.at))
        return tours

    @classmethod
    def read(
        cls,
        depot: Depot,
        now: datetime,
        shipments: Sequence[Shipment] = (),
        *,
        travel_timeout: float | None = None,
        most: int = RUN_SHIPMENTS,
        adapt: Callable[[Problem], Problem] = lambda problem: problem,
    ) -> Timetable:
        """Of the departures that nobody has decided yet, as the rows say; for those of these
        shipments, too, in their order, with whom it has no more than ``most`` stops. Raises Crowded
        when it has more without them, or no room for any of them."""
        departures = list(undecided(depot, now))
        own = Q(departs_at__in=[one.at for one in departures])
        fleet, origin = Fleet.read(depot, now, own=own), midnight(now, depot.zone)
        planned, waiting = planned_at(depot, departures), holders(depot, departures, now)
        there = [*(stop.shipment for stop in planned), *waiting]
        rows = {row.pk: row for row in there}
        more = [row for row in shipments if row.pk not in rows]
        if len(rows) + bool(more) > most:
            raise Crowded
        rows |= {row.pk: row for row in with_room(there, more, most)}
        stops = [stop_of(row, origin, now) for row in rows.values()]
        problem = adapt(problem_with(fleet, (), stops, travel_timeout=travel_timeout))
        held = {row.pk: place for row in waiting if (place := held_by(row))}
        return cls(fleet, problem, origin, departures, held | _standing(planned))


def too_early(
    problem: Problem, origin: datetime, stop: PlanStop, one: Departure, after: Departure | None
) -> bool:
    """Whether it is better left to the departure after this one, which comes nearer to the time
    when the vehicle would have to start so as not to wait at the door."""
    if after is None or not stop.windows:
        return False
    drive = int(problem.travel.seconds[0, problem.node_of[stop.key]])
    this, next_ = seconds_up(origin, one.at), seconds_up(origin, after.at)
    return all(
        opens - drive >= (next_ if next_ + drive > closes else (this + next_) / 2)
        for opens, closes in stop.windows
    )


def planned_at(depot: Depot, departures: Iterable[Departure]) -> list[Stop]:
    """Stops of routes that were planned early and may still be changed."""
    stops = Stop.objects.filter(
        route__depot=depot,
        route__state="planned",
        route__frozen=False,
        route__departs_at__in=[one.at for one in departures],
        state=Stop.State.PENDING,
    )
    return list(stops.select_related("shipment", "route"))


def holders(depot: Depot, departures: Iterable[Departure], now: datetime) -> list[Shipment]:
    """Open shipments that hold a place at one of these departures."""
    rows = depot.shipments.filter(
        state=S.OPEN, promised_departs_at__in=[one.at for one in departures]
    )
    return list(rows.exclude(promised_until__lte=now).order_by("pk"))


def held_by(row: Shipment) -> Held | None:
    if row.promised_departs_at and row.promised_vehicle_id and row.promised_eta:
        return Held(row.promised_departs_at, row.promised_vehicle_id, row.promised_eta)
    return None


def _standing(stops: Iterable[Stop]) -> dict[Key, Held]:
    found: dict[Key, Held] = {}
    for stop in stops:
        if stop.route.departs_at:
            found[stop.shipment_id] = Held(stop.route.departs_at, stop.route.vehicle_id, stop.eta)
    return found


def _orders(
    problem: Problem, held: Mapping[Key, Held]
) -> dict[datetime, dict[Key, list[PlanStop]]]:
    """By departure and vehicle."""
    orders: dict[datetime, dict[Key, list[PlanStop]]] = defaultdict(lambda: defaultdict(list))
    nodes, first = problem.node_of, len(problem.depots)
    for key in sorted(held, key=lambda key: (held[key].time, key)):
        place = held[key]
        orders[place.departs][place.vehicle].append(problem.stops[nodes[key] - first])
    return orders
