"""Promise: what the planner is asked to solve for a day is what the rows say: shipments that could
leave, vehicles that are free then, and windows in seconds since that day's local midnight."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from django.conf import settings
from django.db.models import BooleanField, ExpressionWrapper, F, Q
from django.utils import timezone

from .models import SKILLS, Depot, Route, Shipment, Vehicle
from .problem import Break, Place, Problem, Window
from .problem import Depot as PlanDepot
from .problem import Stop as PlanStop
from .problem import Vehicle as PlanVehicle
from .road import provider
from .services import S
from .ways import ways

#: What does not fit into one day's tours goes into the next, this many days ahead.
HORIZON_DAYS = 14
#: Shipments in one run, so that its memory and its transactions stay small.
RUN_SHIPMENTS = 5000
#: A new tour needs at least this much of its shift left to be planned for today.
MIN_SHIFT = timedelta(hours=2)


def open_shipments(depot: Depot) -> list[Shipment]:
    """The most urgent first. When there are too many for one run, those that no run has tried
    come before those that one could not plan: who can't be planned holds up nobody."""
    tried = ExpressionWrapper(~Q(unplannable_reason=""), BooleanField())
    urgency = (F("requested_until").asc(nulls_last=True), "ready_at", "pk")
    rows = depot.shipments.filter(state=S.OPEN).order_by(tried, *urgency)[:RUN_SHIPMENTS]
    never = datetime.max.replace(tzinfo=UTC)
    return sorted(rows, key=lambda row: (row.requested_until or never, row.ready_at, row.pk))


def midnight(moment: datetime, zone: tzinfo = UTC) -> datetime:
    """When the local day of this moment began, in UTC: what the day's plan counts from."""
    return datetime.combine(moment.astimezone(zone).date(), time(), zone).astimezone(UTC)


def day_of(depot: Depot, start: datetime) -> date:
    """The local day that begins then."""
    return start.astimezone(depot.zone).date()


def start_of(depot: Depot, day: date) -> datetime:
    return datetime.combine(day, time(), depot.zone).astimezone(UTC)


def days_ahead(depot: Depot) -> Iterator[datetime]:
    """The beginnings of the days that are planned, today's first."""
    today = day_of(depot, timezone.now())
    return (start_of(depot, today + timedelta(days=n)) for n in range(HORIZON_DAYS))


def open_routes(depot: Depot, start: datetime) -> list[Route]:
    """Those of a day that planning may still change, with their vehicles."""
    rows = Route.objects.filter(depot=depot, day=day_of(depot, start), state=Route.State.PLANNED)
    return list(rows.filter(frozen=False).select_related("vehicle").order_by("pk"))


def problem_of(
    depot: Depot,
    start: datetime,
    shipments: Sequence[Shipment],
    *,
    travel_timeout: float | None = None,
) -> Problem:
    """What of these shipments a day's vehicles could take; seconds count from ``start``. The
    routes that may still be changed keep no vehicle busy: give their shipments, too."""
    now = timezone.now()
    depots: dict[str, Depot] = {depot.code: depot}
    vehicles = tuple(_free_vehicles(depot, start, now, depots))
    end = max((v.end_s for v in vehicles), default=0)
    stops = (stop_of(shipment, start, now) for shipment in shipments)
    # What opens or is released after this day's last tour belongs to a later day.
    due = tuple(stop for stop in stops if not vehicles or _begins(stop) <= end)
    places = [*map(place_of, depots.values()), *(stop.place for stop in due)]
    roads = provider(settings.TRAVEL_URL, travel_timeout or settings.TRAVEL_TIMEOUT)
    plan_depots = tuple(PlanDepot(code, place_of(row)) for code, row in depots.items())
    return Problem(plan_depots, vehicles, due, ways(depot.code, places, roads))


def _begins(stop: PlanStop) -> int:
    opens = min((window[0] for window in stop.windows), default=0)
    return max(opens, stop.release_s)


def place_of(of: Depot | Shipment) -> Place:
    return Place(of.latitude, of.longitude)


def _free_vehicles(
    depot: Depot, start: datetime, now: datetime, depots: dict[str, Depot]
) -> Iterator[PlanVehicle]:
    """Adds the depots at which tours end to ``depots``."""
    busy = list(_busy_times(depot, start, now))
    booked = {route.vehicle_id for route in open_routes(depot, start)}
    rows = depot.vehicles.filter(Q(active=True) | Q(pk__in=booked)).select_related("end_depot")
    for vehicle in rows.order_by("pk"):
        shift = timedelta(hours=vehicle.shift_hours)
        opens = _local(depot, start, vehicle.shift_start)
        closes = opens + shift
        opens = max(opens, now)
        least = timedelta(0) if vehicle.pk in booked else min(MIN_SHIFT, shift)
        if closes - opens < least:
            continue
        if any(pk == vehicle.pk and a < closes and b > opens for pk, a, b in busy):
            continue
        if vehicle.end_depot:
            depots.setdefault(vehicle.end_depot.code, vehicle.end_depot)
        yield _vehicle(vehicle, depot, start, (opens, closes))


def _local(depot: Depot, start: datetime, clock: time) -> datetime:
    """When the depot's clocks show this, on the day that begins at ``start``."""
    return datetime.combine(day_of(depot, start), clock, depot.zone).astimezone(UTC)


def _vehicle(
    row: Vehicle, depot: Depot, start: datetime, shift: tuple[datetime, datetime]
) -> PlanVehicle:
    return PlanVehicle(
        key=row.pk,
        capacity_kg=row.capacity_kg,
        capacity_m3=row.capacity_m3,
        capacity_items=math.inf if row.capacity_items is None else row.capacity_items,
        start_s=seconds_up(start, shift[0]),
        end_s=seconds_down(start, shift[1]),
        end_depot=row.end_depot.code if row.end_depot else None,
        fixed_cost=row.fixed_cost,
        cost_per_km=row.cost_per_km,
        cost_per_hour=row.cost_per_hour,
        skills=frozenset(row.skills) & frozenset(SKILLS),
        max_stops=row.max_stops,
        breaks=tuple(_breaks(row, depot, start)),
    )


def _breaks(row: Vehicle, depot: Depot, start: datetime) -> Iterator[Break]:
    """One that should have begun before now has been taken before the tour."""
    if not (row.break_minutes and row.break_earliest and row.break_latest):
        return
    earliest = seconds_up(start, _local(depot, start, row.break_earliest))
    latest = seconds_down(start, _local(depot, start, row.break_latest))
    if earliest <= latest:
        yield Break(max(0, earliest), max(0, latest), row.break_minutes * 60)


def _busy_times(
    depot: Depot, start: datetime, now: datetime
) -> Iterator[tuple[int, datetime, datetime]]:
    """(vehicle, from, until) of the tours that are not over on this day, but for those that may
    still be changed. One that is still on its way is not back before now, however early it
    should have been."""
    on_its_way = Route.State.DISPATCHED
    rows = Route.objects.filter(vehicle__depot=depot, state__in=(Route.State.PLANNED, on_its_way))
    rows = rows.exclude(state=Route.State.PLANNED, frozen=False, day=day_of(depot, start))
    late = now + timedelta(seconds=1)
    for route in rows.filter(Q(ends_at__gt=start) | Q(state=on_its_way)):
        until = max(route.ends_at, late) if route.state == on_its_way else route.ends_at
        yield route.vehicle_id, route.starts_at, until


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
    was to be met at a time that is over: they are tried again at any time."""
    promised = shipment.promised_until
    if promised and promised > now:
        return shipment.promised_from, promised
    opens, closes = shipment.requested_from, shipment.requested_until
    over = closes is not None and closes < now
    if over and (shipment.attempts or shipment.missed_at):
        return None, None
    return opens, closes


def seconds_up(start: datetime, moment: datetime) -> int:
    return math.ceil((moment - start).total_seconds())


def seconds_down(start: datetime, moment: datetime) -> int:
    return math.floor((moment - start).total_seconds())
