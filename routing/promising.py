"""Promise: whoever orders is told at once when it comes, or that this can't be said yet: the
cheapest place in the plan as it stands, found without a search. Nobody is moved for it, and the
next plan run starts from it. For who only asks see ``quoting``.

A promise is a courtesy: what fails or takes too long here is left to the plan run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from .books import Book
from .current import lock_depot
from .days import day_of, days_ahead, window_of
from .models import Depot, Shipment
from .tables import Table
from .timetable import Crowded

#: (opens, closes) each; None is an end that is left open.
Windows = Sequence[tuple[datetime | None, datetime | None]]

logger = logging.getLogger(__name__)

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


@dataclass
class Promises:
    """What is to be said once the shipments are in the database."""

    emissions: list[Emission] = field(default_factory=list)
    books: list[Book | Table] = field(default_factory=list)

    def tell(self) -> None:
        """In the caller's transaction."""
        emit_all(self.emissions)
        for book in reversed(self.books):  # today's last: of many it is kept the longest
            book.keep()


def promises_to(shipments: Collection[Shipment]) -> Promises:
    """Give new shipments a window each, as far as the time goes: set on the rows, which the caller
    writes in the same transaction, before the promises are told."""
    promises = Promises()
    if not settings.PROMISE_SECONDS:
        return promises
    until = time.monotonic() + settings.PROMISE_SECONDS
    # In the order of their codes, so that two deliveries lock the depots in one order.
    rows = sorted(shipments, key=lambda row: (row.depot.code, row.pk))
    for depot, group in groupby(rows, key=lambda row: row.depot):
        some = list(group)
        try:
            with transaction.atomic():
                found = _promise(depot, some, until)
        except Exception:
            logger.exception("No promises could be made at %s; the next run plans them", depot)
            continue
        for shipment, place in found.places:
            _set(shipment, place)
        promises.emissions += [_told(shipment) for shipment, _ in found.places]
        promises.books += found.books
    return promises


@dataclass(frozen=True)
class _Found:
    places: list[tuple[Shipment, _Place]]
    books: Sequence[Book | Table]


def _promise(depot: Depot, shipments: list[Shipment], until: float) -> _Found:
    lock_depot(depot.pk)
    first, books = _finder(depot, shipments)
    places = []
    for shipment in shipments:
        if time.monotonic() > until:
            break
        if found := first(shipment):
            places.append((shipment, found))
    return _Found(places, books)


def _set(shipment: Shipment, place: _Place) -> None:
    shipment.promised_from, shipment.promised_until = place.window
    shipment.promised_day = day_of(shipment.depot, place.start)
    shipment.promised_vehicle_id = place.vehicle
    shipment.promised_departs_at = place.departs
    shipment.promised_eta, shipment.told_eta = place.place, place.eta


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


#: Where a shipment would find its place first, which it takes then.
_Finder = Callable[[Shipment], _Place | None]


def _finder(depot: Depot, shipments: Sequence[Shipment]) -> tuple[_Finder, Sequence[Book | Table]]:
    """And what it looks into."""
    if not depot.departures:
        books = [Book(depot, start, shipments) for start in days_ahead(depot)]
        return partial(_first, books), books
    try:
        table = Table(depot, shipments)
    except Crowded:
        return lambda _: None, ()
    return partial(_at_departure, table), [table]


def _at_departure(table: Table, shipment: Shipment) -> _Place | None:
    """Of which nobody has decided yet what goes."""
    asked = window_of(shipment, table.now)
    found = table.first(shipment, lambda one: touches(one.start, asked))
    if found is None:
        return None
    window = promised_window(table.eta(found[1]), [asked])
    place = table.accept(shipment, found, window)
    start, held = place.departure.start, place.held
    return _Place(held.vehicle, start, place.eta, held.time, window, held.departs)


def _first(books: Iterable[Book], shipment: Shipment) -> _Place | None:
    """Taken on the first day with a place for it."""
    opens, closes = window_of(shipment, timezone.now())
    for book in books:
        if not touches(book.start, (opens, closes)):
            continue
        if offer := book.offer(shipment):
            eta = book.start + timedelta(seconds=offer.arrival_s)
            window = promised_window(eta, [(opens, closes)])
            place = book.accept(offer, eta, window)
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
