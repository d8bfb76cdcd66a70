"""Promise: who waits for a later departure says so, and holds a place at one as long as there is
room; it is held silently, for what was promised stands."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from django.utils import timezone

from supplychain.rows import update

from .current import lock_depot
from .days import HORIZON_DAYS, RUN_SHIPMENTS, day_of, midnight, window_of
from .departures import undecided
from .dynamic import MAY_WAIT
from .fleet import Span
from .models import Depot, Shipment
from .reasons import NO_TIME
from .road import SHORT_TIMEOUT
from .services import S, lock_shipments
from .storing import PROMISE_FIELDS, drop_place
from .timetable import Crowded, Held, Timetable, held_by

_NO_DEPARTURE = f"no departure within {HORIZON_DAYS} days has room for it in time"
_CROWDED = "more shipments wait for the next departures than are looked at in one run"

#: Seconds, at most, in which places are looked for under the depot's lock.
HOLDING = 2.0


def hold(depot: Depot, shipment_ids: Collection[UUID], *, decided: bool) -> dict[UUID, str]:
    """Give each open one a place at a later departure, in the caller's transaction, unless it has
    one; gives those for whom there is none, and why. ``decided``: it was decided that they wait."""
    until = time.monotonic() + HOLDING
    now = timezone.now()
    lock_depot(depot.pk)
    locked = lock_shipments(shipment_ids).values()
    rows = sorted((row for row in locked if row.state == S.OPEN), key=lambda r: _urgency(r, now))
    find = _finder(depot, now, rows, until)
    homeless = dict[UUID, str]()
    for row in rows:
        if decided:
            row.unplannable_reason = MAY_WAIT
        held, why = find(row)
        if held:
            put(row, depot, held)
        else:
            drop_place(row)
            homeless[row.pk] = why
    fields = [*PROMISE_FIELDS, "unplannable_reason"]
    update(rows, fields)
    return homeless


def _finder(
    depot: Depot, now: datetime, rows: Sequence[Shipment], until: float
) -> Callable[[Shipment], tuple[Held | None, str]]:
    """What finds the place of each of these, or says why there is none."""
    try:
        table = Timetable.read(depot, now, rows, travel_timeout=SHORT_TIMEOUT, most=RUN_SHIPMENTS)
    except Crowded:
        later = {one.at for one in undecided(depot, now)}
        return partial(_as_it_is, later)
    return partial(_found, table, until)


def _found(table: Timetable, until: float, row: Shipment) -> tuple[Held | None, str]:
    if not table.knows(row.pk):
        return None, _CROWDED
    if held := table.held(row.pk):
        return held, ""
    if time.monotonic() >= until:
        return None, NO_TIME
    place = table.place(table.stop(row.pk))
    return (place.held, "") if place else (None, _NO_DEPARTURE)


def _as_it_is(later: Collection[datetime], row: Shipment) -> tuple[Held | None, str]:
    """Whoever has a place keeps it."""
    held = held_by(row)
    return (held, "") if held and held.departs in later else (None, _CROWDED)


def put(row: Shipment, depot: Depot, held: Held) -> None:
    """It holds this place from now on."""
    row.promised_day = day_of(depot, midnight(held.departs, depot.zone))
    row.promised_departs_at = held.departs
    row.promised_vehicle_id, row.promised_eta = held.vehicle, held.time


def tours_held(depot: Depot) -> dict[int, list[Span]]:
    """By vehicle, when those tours begin that are only held so far."""
    departures = [one.at for one in undecided(depot, timezone.now())]
    rows = depot.shipments.filter(state=S.OPEN, promised_departs_at__in=departures)
    tours: dict[int, list[Span]] = defaultdict(list)
    pairs = rows.values_list("promised_vehicle_id", "promised_departs_at")
    for vehicle, at in set(pairs):
        if vehicle and at:
            tours[vehicle].append((at, at))
    return tours


def _urgency(row: Shipment, now: datetime) -> tuple[bool, datetime, str]:
    """Those first who must be met soonest."""
    closes = window_of(row, now)[1]
    return closes is None, closes or row.ready_at, str(row.pk)
