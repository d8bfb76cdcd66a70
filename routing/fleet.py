"""Promise: a vehicle is planned for times at which it is on shift, at its depot and not booked
otherwise: never for two tours at once, and with time between them to turn around."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from .days import local, midnight, seconds_down, seconds_up, tomorrow
from .models import SKILLS, Depot, Route, Vehicle
from .problem import Break
from .problem import Vehicle as PlanVehicle

#: A new tour needs at least this much of its shift left to be planned for today.
MIN_SHIFT = timedelta(hours=2)

Span = tuple[datetime, datetime]
#: By vehicle.
Busy = Mapping[int, Sequence[Span]]


@dataclass(frozen=True)
class Fleet:
    """A depot's vehicles. ``busy``: their tours that may not be changed; ``booked``: when those
    that may be begin, by vehicle and departure (None: the day as a whole)."""

    depot: Depot
    now: datetime
    rows: Sequence[Vehicle]
    busy: Busy
    booked: Mapping[tuple[int, datetime | None], datetime]

    @classmethod
    def read(cls, depot: Depot, now: datetime, *, own: Q) -> Fleet:
        """``own``: of the routes that planning may change, those that are to be changed here."""
        mine = Q(own, depot=depot, state=Route.State.PLANNED, frozen=False)
        routes = Route.objects.filter(mine)
        booked = {(row.vehicle_id, row.departs_at): row.starts_at for row in routes}
        rows = depot.vehicles.filter(Q(active=True) | Q(pk__in={pk for pk, _ in booked}))
        rows = rows.select_related("end_depot").order_by("pk")
        return cls(depot, now, list(rows), _busy(depot, now, {row.pk for row in routes}), booked)

    def depots(self) -> dict[str, Depot]:
        """By their codes, those at which its tours begin, the first, or end."""
        ends = (row.end_depot for row in self.rows if row.end_depot)
        return {self.depot.code: self.depot} | {end.code: end for end in ends}

    def of_day(self, start: datetime) -> Iterator[PlanVehicle]:
        """Those that could make a tour on the day that begins then."""
        for row in self.rows:
            opens, closes = shift(row, self.depot, start)
            times = max(opens, self.now), closes
            booked = self.booked.get((row.pk, None))
            least = min(MIN_SHIFT, closes - opens)
            if span := _longest(_free(times, self.busy.get(row.pk, ())), booked, least):
                yield _vehicle(row, self.depot, start, span, origin=start)

    def at(
        self, departs: datetime, *, origin: datetime, also: Busy | None = None
    ) -> Iterator[PlanVehicle]:
        """Those that are there at this departure, or late for one of their tours; ``also`` are
        more tours. Seconds count from ``origin``."""
        leaves = max(departs, self.now)
        for row in self.rows:
            tours = [*self.busy.get(row.pk, ()), *(also or {}).get(row.pk, ())]
            booked = (row.pk, departs) in self.booked
            for start in _days_of(departs, self.depot):
                opens, closes = shift(row, self.depot, start)
                span = next(_free((max(opens, leaves), closes), tours), None)
                if span and opens <= departs and (booked or span[0] == leaves):
                    yield _vehicle(row, self.depot, start, span, origin=origin)
                    break


def _days_of(moment: datetime, depot: Depot) -> tuple[datetime, datetime]:
    """When its day began, and the one before, whose shift may go on."""
    today = midnight(moment, depot.zone)
    return today, midnight(today - timedelta(hours=12), depot.zone)


def shift(row: Vehicle, depot: Depot, start: datetime) -> Span:
    """Of the day that begins at ``start``; so many hours, whatever the clocks do meanwhile."""
    opens = local(depot, start, row.shift_start)
    return opens, opens + timedelta(hours=row.shift_hours)


def _free(times: Span, tours: Sequence[Span]) -> Iterator[Span]:
    """What of these times is left beside the tours, each with its turn-around."""
    turn = timedelta(minutes=settings.TURN_AROUND_MINUTES)
    moment, closes = times
    for begins, ends in sorted(tours):
        if min(begins - turn, closes) > moment:
            yield moment, min(begins - turn, closes)
        moment = max(moment, ends + turn)
    if closes > moment:
        yield moment, closes


def _longest(spans: Iterator[Span], booked: datetime | None, least: timedelta) -> Span | None:
    """One that is long enough; of a vehicle with a tour, that in which it is, or the next."""
    if booked:
        return next((span for span in spans if span[1] > booked), None)
    enough = (span for span in spans if span[1] - span[0] >= least)
    return max(enough, key=lambda span: span[1] - span[0], default=None)


def _busy(depot: Depot, now: datetime, own: set[UUID]) -> Busy:
    """Tours that are not over, but for one's own. Who should be back by now may come at any moment;
    who should have been for long, may come at any time: nothing is planned for them today."""
    on_its_way, turn = Route.State.DISPATCHED, timedelta(minutes=settings.TURN_AROUND_MINUTES)
    rows = Route.objects.filter(vehicle__depot=depot, state__in=(Route.State.PLANNED, on_its_way))
    grace = timedelta(minutes=settings.DISPATCH_GRACE_MINUTES)
    busy: dict[int, list[Span]] = defaultdict(list)
    for route in rows.filter(Q(ends_at__gt=now - turn) | Q(state=on_its_way)).exclude(pk__in=own):
        until = max(route.ends_at, now) if route.state == on_its_way else route.ends_at
        if until - route.ends_at > grace:
            until = tomorrow(now, depot.zone)
        busy[route.vehicle_id].append((route.starts_at, until))
    return busy


def _vehicle(
    row: Vehicle, depot: Depot, start: datetime, span: Span, *, origin: datetime
) -> PlanVehicle:
    """``start`` is that of the day of its shift."""
    return PlanVehicle(
        key=row.pk,
        capacity_kg=row.capacity_kg,
        capacity_m3=row.capacity_m3,
        capacity_items=math.inf if row.capacity_items is None else row.capacity_items,
        start_s=seconds_up(origin, span[0]),
        end_s=seconds_down(origin, span[1]),
        end_depot=row.end_depot.code if row.end_depot else None,
        fixed_cost=row.fixed_cost,
        cost_per_km=row.cost_per_km,
        cost_per_hour=row.cost_per_hour,
        skills=frozenset(row.skills) & frozenset(SKILLS),
        max_stops=row.max_stops,
        breaks=tuple(_breaks(row, depot, start, origin)),
    )


def _breaks(row: Vehicle, depot: Depot, start: datetime, origin: datetime) -> Iterator[Break]:
    """One that should have begun before now has been taken before the tour."""
    if not (row.break_minutes and row.break_earliest and row.break_latest):
        return
    first, last = _break_span(row, depot, start, row.break_earliest, row.break_latest)
    earliest = max(0, seconds_up(origin, first))
    # Clocks that are put forward may leave nothing between the two.
    latest = max(earliest, seconds_down(origin, last))
    yield Break(earliest, latest, row.break_minutes * 60)


def _break_span(row: Vehicle, depot: Depot, start: datetime, earliest: time, latest: time) -> Span:
    """From when to when it may begin: during the shift, which may go on after midnight."""
    opens, next_day = shift(row, depot, start)[0], tomorrow(start, depot.zone)
    over_midnight = latest < earliest
    if not over_midnight and local(depot, start, latest) < opens:
        start = next_day
    ends_on = next_day if over_midnight else start
    return local(depot, start, earliest), local(depot, ends_on, latest)
