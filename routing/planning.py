"""Promise: a burst of shipments gives one plan per depot; two planners never plan one depot at
once; a plan is stored only if the validator finds no fault in it, and only for what is still
open when the solver is done.

The solver runs outside of any transaction: seconds of search hold no lock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max, Min, Q
from django.utils import timezone

from supplychain.errors import SupplyChainError
from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from .models import Depot, PlanRun, Route, Shipment, Stop, Vehicle
from .problem import Place, Plan, PlannedRoute, Problem
from .problem import Stop as PlanStop
from .problem import Vehicle as PlanVehicle
from .services import S, lock_shipments
from .solver import solve
from .validate import violations

logger = logging.getLogger(__name__)

#: What does not fit into one day's tours goes into the next, this many days ahead.
HORIZON_DAYS = 14
#: A run that takes longer than this counts as dead, and another may start.
RUN_EXPIRES = timedelta(minutes=10)
#: A tour needs at least this much of its shift left to be planned for today.
MIN_SHIFT = timedelta(hours=2)


class InvalidPlan(SupplyChainError):
    """The solver's plan violates a constraint; it was not stored."""


def plan_due_depots() -> list[PlanRun]:
    """Plan every depot whose shipments have settled or waited long enough."""
    return [run for depot in due_depots(timezone.now()) if (run := plan_depot(depot=depot))]


def due_depots(now: datetime) -> list[Depot]:
    """Depots with a burst that has ended (no new shipment for PLANNING_QUIET seconds) or with
    one that has waited for PLANNING_PATIENCE seconds. What could not be planned before waits
    for company: new shipments, or the next day."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    fresh = Q(shipments__state=S.OPEN) & Q(shipments__unplannable_reason="")
    depots = Depot.objects.filter(active=True).annotate(
        newest=Max("shipments__ready_at", filter=fresh),
        oldest=Min("shipments__ready_at", filter=fresh),
        waiting=Min("shipments__ready_at", filter=Q(shipments__state=S.OPEN)),
        planned_at=Max("runs__started_at"),
    )
    quiet = now - timedelta(seconds=settings.PLANNING_QUIET)
    impatient = now - timedelta(seconds=settings.PLANNING_PATIENCE)
    settled = Q(newest__lte=quiet) | Q(oldest__lte=impatient)
    next_day = Q(waiting__isnull=False) & (Q(planned_at__lt=today) | Q(planned_at=None))
    return list(depots.filter(settled | next_day).order_by("code"))


def plan_depot(*, depot: Depot) -> PlanRun | None:
    """Plan what is open at a depot now; None when a run is under way already."""
    run = _start_run(depot)
    if run is None:
        return None
    try:
        _plan(run)
        run.state = PlanRun.State.DONE
    except Exception as failure:
        logger.exception("Planning %s failed", depot)
        run.state, run.error = PlanRun.State.FAILED, f"{type(failure).__name__}: {failure}"
    run.ended_at = timezone.now()
    run.save()
    return run


def _start_run(depot: Depot) -> PlanRun | None:
    """The unique constraint on running runs decides between two that start at once."""
    now = timezone.now()
    expired = PlanRun.objects.filter(depot=depot, state=PlanRun.State.RUNNING, expires_at__lt=now)
    expired.update(state=PlanRun.State.FAILED, ended_at=now, error="its process has died")
    try:
        with transaction.atomic():
            return PlanRun.objects.create(depot=depot, started_at=now, expires_at=now + RUN_EXPIRES)
    except IntegrityError:
        return None


def _plan(run: PlanRun) -> None:
    shipments = list(run.depot.shipments.filter(state=S.OPEN).order_by("pk"))
    run.shipments = len(shipments)
    left = {shipment.pk: shipment for shipment in shipments}
    reasons: dict[UUID, str] = {}
    for start in _days():
        if not left:
            break
        problem = _problem(run.depot, start, list(left.values()))
        if not problem.stops:
            continue
        plan = _solve(run, problem)
        reasons |= plan.unserved
        stored = _store(run, start, plan)
        for pk in [visit.stop.key for route in plan.routes for visit in route.visits]:
            left.pop(pk, None)
        run.planned += stored
        if not plan.routes and problem.vehicles:
            break  # another day with the same vehicles would not help either
    _tell_unplannable(run, {pk: reasons.get(pk, _NOT_NOW) for pk in left})
    run.unplanned = len(left)


_NOT_NOW = f"no tour within {HORIZON_DAYS} days could take it"


def _days() -> Iterator[datetime]:
    """Midnights (UTC) from which tours are planned, today first."""
    today = timezone.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today + timedelta(days=n) for n in range(HORIZON_DAYS))


def _solve(run: PlanRun, problem: Problem) -> Plan:
    began = time.monotonic()
    plan = solve(problem, seconds=settings.PLANNING_SOLVE_SECONDS)
    run.solver_seconds += time.monotonic() - began
    if faults := violations(problem, plan):
        raise InvalidPlan(f"{len(faults)} faults: {'; '.join(faults[:3])}")
    return plan


def _problem(depot: Depot, start: datetime, shipments: Sequence[Shipment]) -> Problem:
    """What of these shipments a day's free vehicles could take; seconds count from ``start``."""
    vehicles = tuple(_free_vehicles(depot, start))
    end = max((v.end_s for v in vehicles), default=0)
    stops = (_stop(shipment, start) for shipment in shipments)
    # A window that opens after this day's last tour belongs to a later day.
    due = [stop for stop in stops if not (stop.window and end and stop.window[0] > end)]
    return Problem(Place(depot.latitude, depot.longitude), vehicles, tuple(due))


def _free_vehicles(depot: Depot, start: datetime) -> Iterator[PlanVehicle]:
    now = timezone.now()
    busy = list(
        Route.objects.filter(vehicle__depot=depot, ends_at__gt=start)
        .exclude(state=Route.State.COMPLETED)
        .values_list("vehicle_id", "starts_at", "ends_at")
    )
    for vehicle in depot.vehicles.filter(active=True).order_by("pk"):
        opens = datetime.combine(start.date(), vehicle.shift_start, UTC)
        closes = opens + timedelta(hours=vehicle.shift_hours)
        opens = max(opens, now)
        if closes - opens < min(MIN_SHIFT, timedelta(hours=vehicle.shift_hours)):
            continue
        if any(pk == vehicle.pk and a < closes and b > opens for pk, a, b in busy):
            continue
        yield PlanVehicle(
            key=vehicle.pk,
            capacity_kg=vehicle.capacity_kg,
            capacity_m3=vehicle.capacity_m3,
            start_s=_seconds(start, opens) + 1,
            end_s=_seconds(start, closes),
        )


def _stop(shipment: Shipment, start: datetime) -> PlanStop:
    window = None
    if shipment.requested_from or shipment.requested_until:
        opens = _seconds(start, shipment.requested_from) if shipment.requested_from else 0
        far = start + timedelta(days=365)
        window = (max(0, opens), _seconds(start, shipment.requested_until or far))
    return PlanStop(
        key=shipment.pk,
        place=Place(shipment.latitude, shipment.longitude),
        load_kg=shipment.weight_kg,
        load_m3=shipment.volume_m3,
        window=window,
    )


def _seconds(start: datetime, moment: datetime) -> int:
    return int((moment - start).total_seconds())


@transaction.atomic
def _store(run: PlanRun, start: datetime, plan: Plan) -> int:
    """Write the routes for what is still open; gives the number of shipments planned."""
    wanted = [visit.stop.key for route in plan.routes for visit in route.visits]
    still_open = {pk: s for pk, s in lock_shipments(wanted).items() if s.state == S.OPEN}
    vehicles = Vehicle.objects.in_bulk([route.vehicle.key for route in plan.routes])
    routes: list[Route] = []
    stops: list[Stop] = []
    emissions: list[Emission] = []
    for planned in plan.routes:
        route = _new_route(run, start, planned, vehicles[planned.vehicle.key])
        mine = [v for v in planned.visits if v.stop.key in still_open]
        if not mine:
            continue
        routes.append(route)
        for position, visit in enumerate(mine, start=1):
            eta = start + timedelta(seconds=visit.arrival_s)
            shipment = still_open[visit.stop.key]
            stops.append(Stop(route=route, shipment=shipment, position=position, eta=eta))
            emissions.append(_tell_planned(route, shipment, position, eta))
        emissions.append(_tell_route(route, [visit.stop.key for visit in mine]))
    Route.objects.bulk_create(routes)
    Stop.objects.bulk_create(stops, batch_size=1000)
    rows = [stop.shipment for stop in stops]
    Shipment.objects.bulk_update(
        rows, ["state", "unplannable_reason", "event_sequence"], batch_size=500
    )
    emit_all(emissions)
    return len(stops)


def _new_route(run: PlanRun, start: datetime, planned: PlannedRoute, vehicle: Vehicle) -> Route:
    return Route(
        event_sequence=1,
        depot=run.depot,
        run=run,
        vehicle=vehicle,
        day=start.date(),
        distance_km=round(planned.distance_m / 1000, 3),
        load_kg=round(planned.load_kg, 3),
        load_m3=round(planned.load_m3, 6),
        starts_at=start + timedelta(seconds=planned.departure_s),
        ends_at=start + timedelta(seconds=planned.return_s),
    )


def _tell_planned(route: Route, shipment: Shipment, position: int, eta: datetime) -> Emission:
    shipment.state, shipment.unplannable_reason = S.PLANNED, ""
    told = tell.ShipmentPlanned(
        shipment_id=shipment.pk,
        order_id=shipment.order_id,
        route_id=route.pk,
        depot=route.depot.code,
        vehicle=route.vehicle.name,
        position=position,
        eta=eta,
    )
    journey = shipment.correlation_id
    return Emission(told, shipment, shipment.advance(), correlation_id=journey)


def _tell_route(route: Route, shipment_ids: list[UUID]) -> Emission:
    told = tell.RoutePlanned(
        route_id=route.pk,
        depot=route.depot.code,
        day=route.day,
        vehicle=route.vehicle.name,
        shipments=shipment_ids,
        distance_km=route.distance_km,
        load_kg=route.load_kg,
        load_m3=route.load_m3,
        starts_at=route.starts_at,
        ends_at=route.ends_at,
    )
    return Emission(told, route, sequence=1)


@transaction.atomic
def _tell_unplannable(run: PlanRun, reasons: dict[UUID, str]) -> None:
    """Only what is news: the same reason again, plan after plan, tells nobody anything."""
    rows: list[Any] = []
    emissions = []
    for shipment in lock_shipments(reasons).values():
        reason = reasons[shipment.pk][:300]
        if shipment.state != S.OPEN or shipment.unplannable_reason == reason:
            continue
        shipment.unplannable_reason = reason
        rows.append(shipment)
        told = tell.ShipmentUnplannable(
            shipment_id=shipment.pk,
            order_id=shipment.order_id,
            depot=run.depot.code,
            reason=reason,
        )
        journey = shipment.correlation_id
        emissions.append(Emission(told, shipment, shipment.advance(), correlation_id=journey))
    Shipment.objects.bulk_update(rows, ["unplannable_reason", "event_sequence"], batch_size=500)
    emit_all(emissions)
