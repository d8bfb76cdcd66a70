"""Promise: days are those of a depot's clocks, and a shipment is to be met when it was promised,
else when it was asked for; in seconds since the local midnight of a day."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import islice

from django.db.models import BooleanField, ExpressionWrapper, F, Q
from django.utils import timezone

from .models import Depot, Route, Shipment
from .problem import Place, Window
from .problem import Stop as PlanStop
from .services import S

#: What does not fit into one day's tours goes into the next, this many days ahead.
HORIZON_DAYS = 14
#: Shipments in one run, so that its memory (a quarter of a GB with PyVRP) and its transactions
#: stay small.
RUN_SHIPMENTS = 2000


def open_shipments(depot: Depot) -> list[Shipment]:
    """The most urgent first. When there are too many for one run, those that no run has tried
    come before those that one could not plan: who can't be planned holds up nobody."""
    tried = ExpressionWrapper(~Q(unplannable_reason=""), BooleanField())
    urgency = (F("requested_until").asc(nulls_last=True), "ready_at", "pk")
    rows = depot.shipments.filter(state=S.OPEN).order_by(tried, *urgency)[:RUN_SHIPMENTS]
    never = datetime.max.replace(tzinfo=UTC)
    return sorted(rows, key=lambda row: (row.requested_until or never, row.ready_at, row.pk))


def with_room(
    there: Sequence[Shipment], new: Iterable[Shipment], most: int | None = None
) -> list[Shipment]:
    """Those of the new, in their order, for whom there is room in one problem with those that stand
    in its plan already; the others wait for another day or run."""
    known = {row.pk for row in there}
    others = (row for row in new if row.pk not in known)
    return list(islice(others, max(0, (most or RUN_SHIPMENTS) - len(known))))


def midnight(moment: datetime, zone: tzinfo = UTC) -> datetime:
    """When the local day of this moment began, in UTC: what the day's plan counts from."""
    return datetime.combine(moment.astimezone(zone).date(), time(), zone).astimezone(UTC)


def tomorrow(moment: datetime, zone: tzinfo = UTC) -> datetime:
    """When its local day will have ended."""
    # Noon of the next day exists on every day of the year; midnight plus 24 h may be today.
    return midnight(midnight(moment, zone) + timedelta(hours=36), zone)


def local(depot: Depot, start: datetime, clock: time) -> datetime:
    """When the depot's clocks show this, on the day that begins at ``start``."""
    return datetime.combine(day_of(depot, start), clock, depot.zone).astimezone(UTC)


def day_of(depot: Depot, start: datetime) -> date:
    """The local day that begins then."""
    return start.astimezone(depot.zone).date()


def start_of(depot: Depot, day: date) -> datetime:
    return datetime.combine(day, time(), depot.zone).astimezone(UTC)


def days_ahead(depot: Depot) -> Iterator[datetime]:
    """The beginnings of the days that are planned, today's first."""
    today = day_of(depot, timezone.now())
    return (start_of(depot, today + timedelta(days=n)) for n in range(HORIZON_DAYS))


def open_routes(depot: Depot, start: datetime, departs: datetime | None = None) -> list[Route]:
    """Those of a day, or of a departure on it, that planning may still change, with vehicles."""
    rows = Route.objects.filter(depot=depot, day=day_of(depot, start), state=Route.State.PLANNED)
    rows = rows.filter(departs_at=departs)
    return list(rows.filter(frozen=False).select_related("vehicle").order_by("pk"))


def place_of(of: Depot | Shipment) -> Place:
    return Place(of.latitude, of.longitude)


def stop_of(shipment: Shipment, start: datetime, now: datetime) -> PlanStop:
    release = shipment.release_at
    return PlanStop(
        key=shipment.pk,
        place=place_of(shipment),
        load_kg=shipment.weight_kg,
        load_m3=shipment.volume_m3,
        items=shipment.items,
        priority=shipment.priority,
        skills=frozenset(shipment.skills),
        windows=(window,) if (window := _window(shipment, start, now)) else (),
        release_s=max(0, seconds_up(start, release)) if release else 0,
    )


def _window(shipment: Shipment, start: datetime, now: datetime) -> Window | None:
    opens, closes = window_of(shipment, now)
    if not (opens or closes):
        return None
    last = seconds_down(start, closes or start + timedelta(days=365))
    return (seconds_up(start, opens) if opens else min(0, last)), last


def window_of(shipment: Shipment, now: datetime) -> tuple[datetime | None, datetime | None]:
    """What was promised, else what was asked for; nothing for who was not met when agreed, or
    was to be met at a time that is over, or will be when it can leave: they are tried again at any
    time."""
    promised = shipment.promised_until
    if promised and promised > now:
        return shipment.promised_from, promised
    opens, closes = shipment.requested_from, shipment.requested_until
    over = closes is not None and closes < max(now, shipment.release_at or now)
    if over and (shipment.attempts or shipment.missed_at):
        return None, None
    return opens, closes


def seconds_up(start: datetime, moment: datetime) -> int:
    return math.ceil((moment - start).total_seconds())


def seconds_down(start: datetime, moment: datetime) -> int:
    return math.floor((moment - start).total_seconds())
