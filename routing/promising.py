"""Promise: whoever orders is told at once when it comes, or that this can't be said yet: the
cheapest place in the plan as it stands, found without a search. Nobody is moved for it, and the
next plan run starts from it. For who only asks see ``quoting``.

A promise is a courtesy: what fails or takes too long here is left to the plan run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from .current import Current, lock_depot
from .days import day_of, days_ahead, window_of
from .insertion import Gaps, Offer
from .models import Depot, Shipment
from .posing import problem_of
from .problem import Problem
from .reasons import hopeless
from .services import S
from .storing import PROMISE_FIELDS
from .timetable import Timetable

#: (opens, closes) each; None is an end that is left open.
Windows = Sequence[tuple[datetime | None, datetime | None]]

logger = logging.getLogger(__name__)

#: Stops of a day's plan beyond which promises would take too long.
MOST_STOPS = 2000
#: Seconds to wait for a map server before the ways are estimated.
TRAVEL_TIMEOUT = 1.0
#: A day's tours begin and end within this time from its midnight.
LONGEST_DAY = timedelta(days=2)
#: A promised window begins and ends at such a time.
ROUND_TO = timedelta(minutes=30)


@dataclass(frozen=True)
class _Place:
    """When it comes; ``place`` lies between the planned times of the stops before and after it,
    which it will put off."""

    vehicle: int
    start: datetime
    eta: datetime
    place: datetime
    window: tuple[datetime, datetime]
    departs: datetime | None = None


def promise_shipments(shipment_ids: Collection[UUID]) -> None:
    """Give open shipments a window each, as far as the time goes, in the caller's transaction,
    which has made or locked them."""
    if not shipment_ids or not settings.PROMISE_SECONDS:
        return
    until = time.monotonic() + settings.PROMISE_SECONDS
    rows = Shipment.objects.filter(pk__in=shipment_ids, state=S.OPEN).select_related("depot")
    by_depot = groupby(rows.order_by("depot__code", "pk"), key=lambda row: row.depot)
    # In the order of their codes, so that two deliveries lock the depots in one order.
    for depot, group in by_depot:
        try:
            with transaction.atomic():
                _promise(depot, list(group), until)
        except Exception:
            logger.exception("No promises could be made at %s; the next run plans them", depot)


def _promise(depot: Depot, shipments: list[Shipment], until: float) -> None:
    lock_depot(depot.pk)
    first = _of_departures(depot, shipments) if depot.departures else _of_days(depot, shipments)
    promised = []
    for shipment in shipments:
        if time.monotonic() > until:
            break
        if found := first(shipment):
            shipment.promised_from, shipment.promised_until = found.window
            shipment.promised_day = day_of(depot, found.start)
            shipment.promised_vehicle_id = found.vehicle
            shipment.promised_departs_at = found.departs
            shipment.promised_eta, shipment.told_eta = found.place, found.eta
            promised.append(shipment)
    emissions = [_told(shipment) for shipment in promised]
    fields = [*PROMISE_FIELDS, "told_eta", "event_sequence"]
    Shipment.objects.bulk_update(promised, fields, batch_size=500)
    emit_all(emissions)


def _told(shipment: Shipment) -> Emission:
    told = tell.ShipmentPromised.model_validate(
        {
            "shipment_id": shipment.pk,
            "order_id": shipment.order_id,
            "depot": shipment.depot.code,
            "day": shipment.promised_day,
            "window_from": shipment.promised_from,
            "window_until": shipment.promised_until,
            "eta": shipment.told_eta,
            "time_zone": shipment.depot.time_zone,
        }
    )
    journey = shipment.correlation_id
    return Emission(told, shipment, shipment.advance(), correlation_id=journey)


class _Book:
    """A day's plan, into which more is put; made when it is looked at first."""

    def __init__(self, depot: Depot, start: datetime, shipments: Sequence[Shipment]) -> None:
        self.depot, self.start = depot, start
        self._shipments = shipments
        self._gaps: Gaps | None = None
        self._problem: Problem | None = None
        self._times: dict[UUID, datetime] = {}

    def offer(self, shipment: Shipment) -> Offer | None:
        if self._problem is None:
            self._open()
        problem, gaps = self._problem, self._gaps
        if problem is None or gaps is None or shipment.pk not in problem.node_of:
            return None
        stop = problem.stops[problem.node_of[shipment.pk] - len(problem.depots)]
        return None if hopeless(problem, stop) else gaps.offer(stop)

    def accept(self, offer: Offer, place: datetime) -> None:
        if self._gaps:
            self._gaps.accept(offer)
        self._times[offer.route.stops[offer.position].key] = place

    def place(self, offer: Offer, eta: datetime) -> datetime:
        """Between those before and after it, as they stand in the rows."""
        stops = offer.route.stops
        before = [self._times[stop.key] for stop in stops[: offer.position]]
        after = [self._times[stop.key] for stop in stops[offer.position + 1 :]]
        first, last = max(before, default=eta), min(after, default=eta)
        return eta if first <= eta <= last else first + (last - first) / 2

    def _open(self) -> None:
        current = Current.read(self.depot, self.start)
        self._times = current.times()
        new = {row.pk for row in self._shipments}
        there = [row for row in current.shipments if row.pk not in new]
        shipments = [*there, *self._shipments] if len(there) <= MOST_STOPS else []
        problem = problem_of(self.depot, self.start, shipments, travel_timeout=TRAVEL_TIMEOUT)
        orders = current.orders(problem)
        gaps = Gaps(problem, orders)
        # A route that can't be driven as it stands is the next run's business, not a place.
        broken = {key for key, stops in orders.items() if stops and key not in gaps.routes}
        if broken:
            vehicles = tuple(v for v in problem.vehicles if v.key not in broken)
            problem = replace(problem, vehicles=vehicles)
            gaps = Gaps(problem, {k: stops for k, stops in orders.items() if k not in broken})
        self._problem, self._gaps = problem, gaps


#: Where a shipment would find its place first, which it takes then.
_Finder = Callable[[Shipment], _Place | None]


def _of_days(depot: Depot, shipments: Sequence[Shipment]) -> _Finder:
    books = [_Book(depot, start, shipments) for start in days_ahead(depot)]
    return partial(_first, books)


def _of_departures(depot: Depot, shipments: Sequence[Shipment]) -> _Finder:
    """At a departure of which nobody has decided yet what goes."""
    now = timezone.now()
    table = Timetable.read(depot, now, shipments, travel_timeout=TRAVEL_TIMEOUT)
    return partial(_at_departure, table, now) if table.size <= MOST_STOPS else lambda _: None


def _at_departure(table: Timetable, now: datetime, shipment: Shipment) -> _Place | None:
    asked = window_of(shipment, now)
    found = table.place(table.stop(shipment.pk), lambda one: touches(one.start, asked))
    if found is None:
        return None
    window = promised_window(found.eta, [asked])
    start, held = found.departure.start, found.held
    return _Place(held.vehicle, start, found.eta, held.time, window, held.departs)


def _first(books: Iterable[_Book], shipment: Shipment) -> _Place | None:
    """Taken on the first day with a place for it."""
    opens, closes = window_of(shipment, timezone.now())
    for book in books:
        if not touches(book.start, (opens, closes)):
            continue
        if offer := book.offer(shipment):
            eta = book.start + timedelta(seconds=offer.arrival_s)
            window = promised_window(eta, [(opens, closes)])
            place = book.place(offer, eta)
            book.accept(offer, place)
            return _Place(offer.vehicle.key, book.start, eta, place, window)
    return None


def touches(start: datetime, window: tuple[datetime | None, datetime | None]) -> bool:
    """Whether a tour of the day that begins then could come within this time."""
    opens, closes = window
    return not (closes and closes < start) and not (opens and opens > start + LONGEST_DAY)


def promised_window(eta: datetime, asked: Windows) -> tuple[datetime, datetime]:
    """Around this time, within what was asked for."""
    half = timedelta(hours=settings.PROMISE_WINDOW_HOURS / 2)
    first, last = _rounded(eta - half), _rounded(eta + half) + ROUND_TO
    for opens, closes in asked:
        if (opens is None or opens <= eta) and (closes is None or eta <= closes):
            return max(first, opens or first), min(last, closes or last)
    return first, last


def _rounded(moment: datetime) -> datetime:
    """Down."""
    seconds = ROUND_TO.total_seconds()
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, tz=moment.tzinfo)
