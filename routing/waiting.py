"""Promise: who waits for a later departure says so, and holds a place at one as long as there is
room; it is held silently, for what was promised stands."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from .current import lock_depot
from .days import day_of, midnight, window_of
from .departures import undecided
from .dynamic import MAY_WAIT
from .fleet import Span
from .models import Depot, Shipment
from .road import SHORT_TIMEOUT
from .services import S, lock_shipments
from .storing import PROMISE_FIELDS, drop_place
from .timetable import Held, Timetable

#: Seconds, at most, in which places are looked for under the depot's lock.
HOLDING = 2.0


def hold(depot: Depot, shipment_ids: Collection[UUID], *, decided: bool) -> set[UUID]:
    """Give each open one a place at a later departure, in the caller's transaction, unless it has
    one; gives those for whom there is none. ``decided``: it was decided that they wait."""
    until = time.monotonic() + HOLDING
    now = timezone.now()
    lock_depot(depot.pk)
    rows = {pk: row for pk, row in lock_shipments(shipment_ids).items() if row.state == S.OPEN}
    table = Timetable.read(depot, now, rows.values(), travel_timeout=SHORT_TIMEOUT)
    homeless = set[UUID]()
    for row in sorted(rows.values(), key=lambda row: _urgency(row, now)):
        if decided:
            row.unplannable_reason = MAY_WAIT
        held = table.held(row.pk)
        if held is None and time.monotonic() < until:
            place = table.place(table.stop(row.pk))
            held = place.held if place else None
        if held:
            put(row, depot, held)
        else:
            drop_place(row)
            homeless.add(row.pk)
    fields = [*PROMISE_FIELDS, "unplannable_reason"]
    Shipment.objects.bulk_update(rows.values(), fields, batch_size=500)
    return homeless


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
