"""Promise: two planners never plan one depot at once; a run ends in bounded time, and one that
dies or fails leaves the depot to the next; a plan is stored only if the validator finds no
fault in it, and only for what is still open when the solver is done.

The solver runs outside of any transaction: seconds of search hold no lock.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from supplychain.errors import SupplyChainError
from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from .days import HORIZON_DAYS, days_ahead, open_shipments, place_of, problem_of
from .due import due_depots
from .models import Depot, PlanRun, Route, Shipment, Stop, Vehicle
from .problem import Plan, PlannedRoute, Problem
from .services import S, lock_shipments
from .solver import solve
from .travel import tour_m
from .validate import violations

logger = logging.getLogger(__name__)

#: Seconds of search in one run, whatever the settings say: far below Celery's time limits.
LONGEST_SEARCH = 45.0
#: Seconds after which a search for one day finds little more: a base, and more with each stop.
SEARCH_BASE, SEARCH_PER_STOP = 0.2, 0.02
#: Seconds in which one tick may begin runs; depots that are still due wait for the next tick.
TICK_SECONDS = 30.0
#: A run that has not been heard of for so long counts as dead, and another may start.
RUN_EXPIRES = timedelta(minutes=3)

_NO_TOUR = f"no vehicle is free for it within {HORIZON_DAYS} days"


class InvalidPlan(SupplyChainError):
    """The solver's plan violates a constraint; it was not stored."""


class RunGivenUp(SupplyChainError):
    """The run was taken for dead, and another one may plan the depot: this one stores nothing."""


def plan_due_depots() -> list[PlanRun]:
    """Plan the depots whose shipments have settled or waited long enough, as far as time goes."""
    began = time.monotonic()
    runs = []
    for depot in due_depots(timezone.now()):
        if time.monotonic() - began > TICK_SECONDS:
            break
        if run := plan_depot(depot=depot):
            runs.append(run)
    return runs


def plan_depot(*, depot: Depot) -> PlanRun | None:
    """Plan what is open at a depot now; None when a run is under way already.

    A run that fails says so in its row; it does not raise.
    """
    run = _start_run(depot)
    if run is None:
        return None
    try:
        _plan(run)
        run.state = PlanRun.State.DONE
    except Exception as failure:
        logger.exception("Planning %s failed", depot)
        run.state, run.error = PlanRun.State.FAILED, f"{type(failure).__name__}: {failure}"
    _end_run(run)
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


def _renew(run: PlanRun) -> None:
    """Say in the caller's transaction that this run lives; raises RunGivenUp.

    The row stays locked until the commit, so a run that is taken for dead while it sleeps
    can't book vehicles that another run has booked meanwhile.
    """
    mine = PlanRun.objects.filter(pk=run.pk, state=PlanRun.State.RUNNING)
    if not mine.update(expires_at=timezone.now() + RUN_EXPIRES):
        raise RunGivenUp


def _end_run(run: PlanRun) -> None:
    """Write down how a run ended, unless it was given up before."""
    run.ended_at = timezone.now()
    PlanRun.objects.filter(pk=run.pk, state=PlanRun.State.RUNNING).update(
        state=run.state,
        ended_at=run.ended_at,
        shipments=run.shipments,
        planned=run.planned,
        unplanned=run.unplanned,
        cut_short=run.cut_short,
        solver_seconds=run.solver_seconds,
        error=run.error,
    )


def _plan(run: PlanRun) -> None:
    left = {shipment.pk: shipment for shipment in open_shipments(run.depot)}
    run.shipments = len(left)
    reasons: dict[UUID, str] = {}
    for start in days_ahead():
        problem = problem_of(run.depot, start, list(left.values()))
        if not (problem.vehicles and problem.stops):
            continue
        plan = _solve(run, problem)
        reasons |= plan.unserved
        run.planned += _store(run, start, plan)
        for pk in _visited(plan):
            left.pop(pk)
        if not left or _search_left(run) <= 0:
            break
    run.unplanned = len(left)
    # Only a run that got on may leave the rest to the next one: runs don't go on for ever.
    run.cut_short = 0 < len(left) < run.shipments and _search_left(run) <= 0
    if not run.cut_short:
        _tell_unplannable(run, {pk: reasons.get(pk, _NO_TOUR) for pk in left})


def _search_left(run: PlanRun) -> float:
    return min(settings.PLANNING_SOLVE_SECONDS, LONGEST_SEARCH) - run.solver_seconds


def _solve(run: PlanRun, problem: Problem) -> Plan:
    began = time.monotonic()
    enough = SEARCH_BASE + SEARCH_PER_STOP * len(problem.stops)
    plan = solve(problem, seconds=min(enough, _search_left(run)))
    run.solver_seconds += time.monotonic() - began
    if faults := violations(problem, plan):
        raise InvalidPlan(f"{len(faults)} faults: {'; '.join(faults[:3])}")
    return plan


def _visited(plan: Plan) -> list[UUID]:
    return [visit.stop.key for route in plan.routes for visit in route.visits]


@transaction.atomic
def _store(run: PlanRun, start: datetime, plan: Plan) -> int:
    """Write the routes for what is still open; gives the number of shipments planned.

    Raises RunGivenUp.
    """
    _renew(run)
    locked = lock_shipments(_visited(plan))
    still_open = {pk: shipment for pk, shipment in locked.items() if shipment.state == S.OPEN}
    vehicles = Vehicle.objects.in_bulk([route.vehicle.key for route in plan.routes])
    routes: list[Route] = []
    stops: list[Stop] = []
    emissions: list[Emission] = []
    kept = (_without_gone(planned, set(still_open), run.depot) for planned in plan.routes)
    for planned in (planned for planned in kept if planned.visits):
        route = _new_route(run, start, planned, vehicles[planned.vehicle.key])
        routes.append(route)
        for position, visit in enumerate(planned.visits, start=1):
            eta = start + timedelta(seconds=visit.arrival_s)
            shipment = still_open[visit.stop.key]
            stops.append(Stop(route=route, shipment=shipment, position=position, eta=eta))
            emissions.append(_tell_planned(route, shipment, position, eta))
        emissions.append(_tell_route(route, [visit.stop.key for visit in planned.visits]))
    Route.objects.bulk_create(routes)
    Stop.objects.bulk_create(stops, batch_size=1000)
    rows = [stop.shipment for stop in stops]
    Shipment.objects.bulk_update(
        rows, ["state", "unplannable_reason", "event_sequence"], batch_size=500
    )
    emit_all(emissions)
    return len(stops)


def _without_gone(planned: PlannedRoute, still_open: set[UUID], depot: Depot) -> PlannedRoute:
    """The route without what was cancelled while the solver ran; the times of others stand."""
    visits = tuple(visit for visit in planned.visits if visit.stop.key in still_open)
    tour = tour_m([place_of(depot), *(visit.stop.place for visit in visits)])
    return replace(planned, visits=visits, distance_m=tour)


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
    """Only what is news: the same reason again, plan after plan, tells nobody anything.

    Raises RunGivenUp.
    """
    _renew(run)
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
