"""Promise: what the planner is asked to solve for a day is what the rows say: open shipments,
vehicles that are free then, and windows in seconds since that day's midnight (UTC)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import BooleanField, ExpressionWrapper, F, Q
from django.utils import timezone

from .models import Depot, Route, Shipment
from .problem import Depot as PlanDepot
from .problem import Place, Problem
from .problem import Stop as PlanStop
from .problem import Vehicle as PlanVehicle
from .road import provider
from .services import S
from .travel import travel

#: What does not fit into one day's tours goes into the next, this many days ahead.
HORIZON_DAYS = 14
#: Shipments in one run, so that its memory and its transactions stay small.
RUN_SHIPMENTS = 5000
#: A tour needs at least this much of its shift left to be planned for today.
MIN_SHIFT = timedelta(hours=2)
#: What a tour, a kilometre and an hour cost, in proportion to each other.
TOUR_COST, KM_COST, HOUR_COST = 15.0, 0.4, 25.0


def open_shipments(depot: Depot) -> list[Shipment]:
    """The most urgent first. When there are too many for one run, those that no run has tried
    come before those that one could not plan: who can't be planned holds up nobody."""
    tried = ExpressionWrapper(~Q(unplannable_reason=""), BooleanField())
    urgency = (F("requested_until").asc(nulls_last=True), "ready_at", "pk")
    rows = depot.shipments.filter(state=S.OPEN).order_by(tried, *urgency)[:RUN_SHIPMENTS]
    never = datetime.max.replace(tzinfo=UTC)
    return sorted(rows, key=lambda row: (row.requested_until or never, row.ready_at, row.pk))


def midnight(moment: datetime) -> datetime:
    """The midnight (UTC) that a day's plan counts from."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def days_ahead() -> Iterator[datetime]:
    today = midnight(timezone.now())
    return (today + timedelta(days=n) for n in range(HORIZON_DAYS))


def problem_of(depot: Depot, start: datetime, shipments: Sequence[Shipment]) -> Problem:
    """What of these shipments a day's free vehicles could take; seconds count from ``start``."""
    now = timezone.now()
    vehicles = tuple(_free_vehicles(depot, start, now))
    end = max((v.end_s for v in vehicles), default=0)
    stops = (_stop(shipment, start, now) for shipment in shipments)
    # A window that opens after this day's last tour belongs to a later day.
    due = [stop for stop in stops if not (stop.windows and stop.windows[0][0] > end)]
    places = [place_of(depot), *(stop.place for stop in due)]
    roads = provider(settings.TRAVEL_URL, settings.TRAVEL_TIMEOUT)
    start_here = (PlanDepot(depot.code, place_of(depot)),)
    return Problem(start_here, vehicles, tuple(due), travel(places, roads))


def place_of(of: Depot | Shipment) -> Place:
    return Place(of.latitude, of.longitude)


def _free_vehicles(depot: Depot, start: datetime, now: datetime) -> Iterator[PlanVehicle]:
    busy = list(_busy_times(depot, start, now))
    for vehicle in depot.vehicles.filter(active=True).order_by("pk"):
        shift = timedelta(hours=vehicle.shift_hours)
        opens = datetime.combine(start.date(), vehicle.shift_start, UTC)
        closes = opens + shift
        opens = max(opens, now)
        if closes - opens < min(MIN_SHIFT, shift):
            continue
        if any(pk == vehicle.pk and a < closes and b > opens for pk, a, b in busy):
            continue
        yield PlanVehicle(
            key=vehicle.pk,
            capacity_kg=vehicle.capacity_kg,
            capacity_m3=vehicle.capacity_m3,
            start_s=_seconds_up(start, opens),
            end_s=_seconds_down(start, closes),
            fixed_cost=TOUR_COST,
            cost_per_km=KM_COST,
            cost_per_hour=HOUR_COST,
        )


def _busy_times(
    depot: Depot, start: datetime, now: datetime
) -> Iterator[tuple[int, datetime, datetime]]:
    """(vehicle, from, until) of the tours that are not over on this day. One that is still on
    its way is not back before now, however early it should have been."""
    on_its_way = Route.State.DISPATCHED
    rows = Route.objects.filter(vehicle__depot=depot).exclude(state=Route.State.COMPLETED)
    late = now + timedelta(seconds=1)
    for route in rows.filter(Q(ends_at__gt=start) | Q(state=on_its_way)):
        until = max(route.ends_at, late) if route.state == on_its_way else route.ends_at
        yield route.vehicle_id, route.starts_at, until


def _stop(shipment: Shipment, start: datetime, now: datetime) -> PlanStop:
    return PlanStop(
        key=shipment.pk,
        place=place_of(shipment),
        load_kg=shipment.weight_kg,
        load_m3=shipment.volume_m3,
        windows=(window,) if (window := _window(shipment, start, now)) else (),
    )


def _window(shipment: Shipment, start: datetime, now: datetime) -> tuple[int, int] | None:
    opens, closes = shipment.requested_from, shipment.requested_until
    if shipment.attempts and closes and closes < now:
        return None  # whoever was not met when agreed is tried again at any time
    if not (opens or closes):
        return None
    last = _seconds_down(start, closes or start + timedelta(days=365))
    return (_seconds_up(start, opens) if opens else min(0, last)), last


def _seconds_up(start: datetime, moment: datetime) -> int:
    return math.ceil((moment - start).total_seconds())


def _seconds_down(start: datetime, moment: datetime) -> int:
    return math.floor((moment - start).total_seconds())
