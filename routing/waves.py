"""Promise: what leaves with a departure is what must, and what costs less now than later; who waits
has a place at a later departure, soon enough, or goes now. The search is that of ``dynamic``.

Nobody waits for ever: of the later departures only those count that can still be in time for the
window promised, or else for the one asked for and within the depot's longest wait; and each one
that passes makes it worth more to take the shipment along.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property, partial
from itertools import takewhile

import numpy as np

from .alone import Alone
from .days import place_of, seconds_up, stop_of, window_of
from .departures import Departure, departures_from
from .dynamic import COUNTED, MAY_WAIT, leaving_now, neighbourly
from .fleet import Fleet, Span
from .models import Depot, Shipment
from .posing import problem_with
from .problem import NO_WAY, Key, Plan, PlannedRoute, Problem, Stop
from .reasons import NO_ROOM
from .schedule import planned_route
from .solver import solve
from .timetable import Timetable, held_by, too_early
from .travel import Estimate

#: Parts of the time for the search that decides, and for each after it when somebody who was to
#: wait has no place later: with them among those that must go; as it is held; with all.
SHARES = (0.55, 0.15)
#: So many of the last customers, besides those who wait, show where the next may live.
CUSTOMERS = 500


class Along(StrEnum):
    """Who rides along with those that must go; all but the first are there to compare with."""

    WORTH = "ours"
    ALL = "greedy"
    NOBODY = "lazy"


@dataclass
class Wave:
    """A departure to decide. ``must``: stand in its routes already; ``warm``: these routes, with
    those who hold a place in them. ``customers``: where (latitude, longitude) others were met
    before. Once it is decided, ``left`` says how many later chances each had."""

    fleet: Fleet
    departure: Departure
    rows: Mapping[Key, Shipment]
    problem: Problem
    customers: Sequence[tuple[float, float]] = ()
    must: frozenset[Key] = frozenset()
    warm: Plan | None = None
    left: dict[Key, int] = field(default_factory=dict)
    along: Along = Along.WORTH

    @property
    def depot(self) -> Depot:
        return self.fleet.depot

    @cached_property
    def later(self) -> list[Departure]:
        """The departures for which one of these may wait."""
        last = max(map(self._deadline, self.rows.values()), default=self.departure.at)
        ahead = departures_from(self.depot, self.departure.at + timedelta(seconds=1))
        return list(takewhile(lambda one: one.at <= last, ahead))

    def decide(self, *, seconds: float) -> Plan:
        """The routes that leave, and for all others a reason: MAY_WAIT, or why they can't go
        though there is no room for them later."""
        self.left = left = self.chances()
        must = set(self.must)
        plan, stranded = self._settled(self._leaving(self._due(must), seconds * SHARES[0]))
        if not stranded - must:
            return plan
        plans = [plan]
        for leaving in (self._leaving, self._as_held, self._leaving):
            must |= stranded
            plan, stranded = self._settled(leaving(self._due(must), seconds * SHARES[1]))
            plans.append(plan)
            if not stranded:
                break
            must |= set(left) if leaving == self._as_held else set()
        return min(plans, key=_lost)

    def _due(self, must: set[Key]) -> dict[Key, int]:
        """The chances, none for those who must go."""
        return self.left | dict.fromkeys(must, 0)

    def _settled(self, plan: Plan) -> tuple[Plan, set[Key]]:
        """Whoever has a place later waits; the others are those who are stranded."""
        waiting = {key for key in plan.unserved if self.left[key]}
        stranded = self._stranded(waiting, plan)
        waits = dict.fromkeys(waiting - stranded, MAY_WAIT)
        reasons = {key: NO_ROOM if why == MAY_WAIT else why for key, why in plan.unserved.items()}
        return replace(plan, unserved=reasons | waits), stranded

    def chances(self) -> dict[Key, int]:
        """How many later departures could serve each with a vehicle that is there then, as far as
        that is counted."""
        alone, found = Alone(self.problem), dict.fromkeys(self.rows, 0)
        for one in self.later:
            stops = [
                s
                for s in self.problem.stops
                if found[s.key] < COUNTED and self._may_leave(s.key, one)
            ]
            vehicles = self.fleet.at(one.at, origin=self.departure.start) if stops else ()
            for key in alone.served(stops, vehicles, self._seconds(one)):
                found[key] += 1
        return found

    def _seconds(self, one: Departure) -> int:
        return seconds_up(self.departure.start, one.at)

    def _may_leave(self, key: Key, one: Departure) -> bool:
        row = self.rows[key]
        closes = window_of(row, self.fleet.now)[1]
        return one.at <= self._deadline(row) and (closes is None or one.at <= closes)

    def _deadline(self, row: Shipment) -> datetime:
        """The last moment until which it may wait: as promised, else from when it could go."""
        now = self.fleet.now
        if row.promised_until and row.promised_until > now:
            return row.promised_until
        since = (row.ready_at, row.release_at, window_of(row, now)[0])
        return max(filter(None, since)) + timedelta(hours=self.depot.longest_wait)

    def _leaving(self, left: Mapping[Key, int], seconds: float) -> Plan:
        stops = self.problem.stops
        wait = {stop.key for stop in stops if left[stop.key] and self._stays(stop)}
        able = self.problem.only([stop for stop in stops if stop.key not in wait])
        everybody = self.along == Along.ALL
        found = leaving_now(
            able,
            {stop.key: 0 if everybody else left[stop.key] for stop in able.stops},
            self._neighbours(),
            seconds=seconds,
            anyway=self._anyway(),
            warm_start=self.warm if self.must else None,
        )
        return replace(found, unserved=found.unserved | dict.fromkeys(wait, MAY_WAIT))

    def _as_held(self, left: Mapping[Key, int], seconds: float) -> Plan:
        """Those who hold a place here leave, with those who must; and all are back before the
        tours begin that are held for later. As they were promised, so they can go."""
        held = {key: place for key, row in self.rows.items() if (place := held_by(row))}
        later: dict[int, list[Span]] = defaultdict(list)
        for place in held.values():
            if place.departs > self.departure.at:
                later[place.vehicle].append((place.departs, place.departs))
        here = {key for key, place in held.items() if place.departs == self.departure.at}
        able = [s for s in self.problem.stops if s.key in here or not left[s.key]]
        at, origin = self.departure.at, self.departure.start
        vehicles = tuple(self.fleet.at(at, origin=origin, also=later))
        narrow = replace(self.problem.only(able), vehicles=vehicles)
        found = solve(narrow, seconds=seconds, warm_start=self.warm)
        waits = {
            stop.key: MAY_WAIT for stop in self.problem.stops if stop.key not in narrow.node_of
        }
        return Plan(tuple(self._timed(found.routes)), waits | found.unserved)

    def _timed(self, routes: Iterable[PlannedRoute]) -> Iterator[PlannedRoute]:
        """With all the time that their vehicles have."""
        for route in routes:
            vehicle = self.problem.vehicle_of[route.vehicle.key]
            if timed := planned_route(self.problem, vehicle, route.stops):
                yield timed

    def _stays(self, stop: Stop) -> bool:
        """Whether one that may wait does, without any search."""
        one = self.departure
        return self.along == Along.NOBODY or too_early(
            self.problem, one.start, stop, one, next(iter(self.later), None)
        )

    def _neighbours(self) -> dict[Key, float]:
        """What the ways to and from the nearest customers cost; the map server is not asked for
        what is an estimate anyway."""
        metre, second = self._rates()
        stops = self.problem.stops
        places = [*(stop.place for stop in stops), place_of(self.depot)]
        places += [replace(places[-1], latitude=a, longitude=b) for a, b in self.customers]
        metres, seconds = Estimate().table(places, places)
        means = neighbourly(metres.astype(np.float64) * metre + seconds * second)
        return {
            stop.key: min(float(mean), NO_WAY) for stop, mean in zip(stops, means, strict=False)
        }

    def _anyway(self) -> dict[Key, float]:
        """What the time at the door costs."""
        second = self._rates()[1]
        return {stop.key: stop.service_s * second for stop in self.problem.stops}

    def _rates(self) -> tuple[float, float]:
        """What a metre and a second cost, in the mean of the fleet."""
        rows = self.fleet.rows
        count = max(1, len(rows))
        metre = sum(row.cost_per_km for row in rows) / count / 1000
        return metre, sum(row.cost_per_hour for row in rows) / count / 3600

    def _stranded(self, waiting: set[Key], plan: Plan) -> set[Key]:
        """Who of them would find no place once these routes have left."""
        away = with_tours(self.fleet, self.departure, plan.routes)
        held = {key: place for key in waiting if (place := held_by(self.rows[key]))}
        table = Timetable(away, self.problem, self.departure.start, self.later, held)
        homeless = [key for key in waiting if key not in held or key in table.lost]
        return {
            key
            for key in sorted(homeless, key=lambda key: (self.left[key], str(key)))
            if not table.place(table.stop(key), partial(self._may_leave, key))
        }


def _lost(plan: Plan) -> int:
    return sum(1 for why in plan.unserved.values() if why != MAY_WAIT)


def wave_of(fleet: Fleet, departure: Departure, rows: Iterable[Shipment]) -> Wave:
    """Of all these shipments, whether they could leave then or not."""
    known = {row.pk: row for row in rows}
    stops = [stop_of(row, departure.start, fleet.now) for row in known.values()]
    vehicles = fleet.at(departure.at, origin=departure.start)
    problem = problem_with(fleet, vehicles, stops)
    before = fleet.depot.shipments.filter(ready_at__lte=fleet.now).exclude(pk__in=known)
    customers = before.order_by("-ready_at").values_list("latitude", "longitude")[:CUSTOMERS]
    return Wave(fleet, departure, known, problem, list(customers))


def with_tours(fleet: Fleet, departure: Departure, routes: Iterable[PlannedRoute]) -> Fleet:
    """The fleet once these have left."""
    busy = {key: list(tours) for key, tours in fleet.busy.items()}
    for route in routes:
        back = departure.start + timedelta(seconds=route.return_s)
        busy.setdefault(route.vehicle.key, []).append((departure.at, back))
    return replace(fleet, busy=busy)
