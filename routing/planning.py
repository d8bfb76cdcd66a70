"""Promise: two planners never plan one depot at once; a run ends in bounded time, and one that
dies or fails leaves the depot to the next; it starts from the current plan, leaves alone what
is frozen or has left, and says what it has changed.

The solver runs outside of any transaction: seconds of search hold no lock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from supplychain.errors import SupplyChainError
from supplychain.events.outbox import Emission, emit_all
from supplychain.rows import update

from . import events as tell
from . import storing
from .alerting import alert, alert_of_unplannable
from .asking import BY_HAND
from .current import Current
from .days import HORIZON_DAYS, day_of, days_ahead, open_shipments, start_of, with_room
from .departures import decided_by, departure
from .due import Part, due_runs, open_parts, parts_still_due, parts_to_revisit
from .dynamic import MAY_WAIT
from .failing import note_end
from .fitting import fitted
from .fleet import Fleet
from .models import Alert, Depot, PlanRun, Shipment
from .overdue import end_what_is_overdue
from .posing import problem_of
from .problem import Plan, Problem
from .runs import bury_the_dead
from .services import S, lock_shipments
from .solver import solve
from .storing import must_be_valid, visited
from .validate import score
from .waiting import hold, tours_held
from .waves import wave_of

logger = logging.getLogger(__name__)

#: Seconds of search in one run, whatever the settings say: far below Celery's time limits.
LONGEST_SEARCH = 45.0
#: Seconds after which a search for one day finds little more: a base, and more with each stop, of
#: those that stand in the plan already less.
SEARCH_BASE, SEARCH_PER_STOP, SEARCH_PER_KNOWN = 0.2, 0.02, 0.005
#: Seconds in which one tick may begin runs; depots that are still due wait for the next tick.
TICK_SECONDS = 30.0
#: A run that has not been heard of for so long counts as dead, and another may start.
RUN_EXPIRES = timedelta(minutes=3)
#: Seconds, at most, in which what is new is put into the plan as it is.
CALM_SECONDS = 2.0
#: A plan that is known to people is given up for one that costs less by this part at least.
WORTH_A_CHANGE = 0.02

_NO_TOUR = f"no vehicle is free for it within {HORIZON_DAYS} days"


class RunGivenUp(SupplyChainError):
    """The run was taken for dead, and another one may plan the depot: this one stores nothing."""


def plan_due_depots() -> list[PlanRun]:
    """End what is overdue, then plan the depots whose shipments have settled or waited long
    enough, or whose plan no longer holds, as far as time goes.

    If what is overdue can't be ended, depots are planned all the same; it is raised at the end.
    """
    began = time.monotonic()
    bury_the_dead(timezone.now())
    failure = _failure_to_end_what_is_overdue()
    runs = _plan_until(began + TICK_SECONDS)
    if failure:
        raise failure
    return runs


def _failure_to_end_what_is_overdue() -> Exception | None:
    try:
        end_what_is_overdue(timezone.now())
    except Exception as failure:
        # Logged at once: planning may fail, too, or be killed.
        logger.exception("What is overdue could not be ended")
        return failure
    return None


def _plan_until(over: float) -> list[PlanRun]:
    runs = []
    for depot, trigger in due_runs(timezone.now()):
        if time.monotonic() > over:
            break
        if run := plan_depot(depot=depot, trigger=trigger):
            runs.append(run)
    return runs


def plan_depot(*, depot: Depot, trigger: str = BY_HAND) -> PlanRun | None:
    """Plan what is open at a depot now; None when a run is under way already. By hand, all
    that may still be changed is planned again.

    A run that fails says so in its row; it does not raise.
    """
    run = _start_run(depot, trigger)
    if run is None:
        return None
    try:
        _Work.begin(run).plan()
        run.state = PlanRun.State.DONE
    except Exception as failure:
        logger.exception("Planning %s failed", depot)
        run.state, run.error = PlanRun.State.FAILED, f"{type(failure).__name__}: {failure}"
    _end_run(run)
    note_end(depot)
    return run


def _start_run(depot: Depot, trigger: str = BY_HAND) -> PlanRun | None:
    """The unique constraint on running runs decides between two that start at once."""
    now = timezone.now()
    decided = decided_by(depot, trigger, now)
    bury_the_dead(now, depot=depot)
    note_end(depot)
    try:
        with transaction.atomic():
            return PlanRun.objects.create(
                depot=depot,
                trigger=trigger,
                departs_at=decided.at if decided else None,
                started_at=now,
                expires_at=now + RUN_EXPIRES,
            )
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
        moved=run.moved,
        fell_out=run.fell_out,
        cut_short=run.cut_short,
        in_vain=run.in_vain,
        solver_seconds=run.solver_seconds,
        error=run.error,
    )


@dataclass
class _Work:
    """What a run has still to do. ``due``: the parts whose plan did not hold when it began;
    ``left``: open shipments without a route, by their keys; ``later``: those among them that a
    later departure may still serve as promised."""

    run: PlanRun
    left: dict[UUID, Shipment]
    due: frozenset[Part]
    revisit: set[Part]
    by_hand: bool
    reasons: dict[UUID, str] = field(default_factory=dict)
    fell_out: set[UUID] = field(default_factory=set)
    later: set[UUID] = field(default_factory=set)

    @classmethod
    def begin(cls, run: PlanRun) -> _Work:
        now, by_hand = timezone.now(), run.trigger == BY_HAND
        left = {shipment.pk: shipment for shipment in open_shipments(run.depot)}
        today = day_of(run.depot, now)
        for shipment in left.values():
            if shipment.promised_until and shipment.promised_until < now:
                storing.drop_promise(shipment)
            elif shipment.promised_day and shipment.promised_day < today:
                storing.drop_place(shipment)  # that day is no longer planned
        run.shipments = len(left)
        due = parts_to_revisit(run.depot, now)
        parts = due | (open_parts(run.depot) if by_hand else set())
        return cls(run, left, frozenset(due), parts, by_hand)

    def plan(self) -> None:
        self._plan_departures()
        if self.run.depot.departures:
            self._wait()
        else:
            self._plan_days()
        self.run.in_vain = bool(self.due and self.due & parts_still_due(self.run, timezone.now()))

    def _plan_departures(self) -> None:
        """What is planned by itself, of this depot as it is or was, then what is to be decided."""
        run = self.run
        for day, departs in sorted(filter(self._is_by_itself, self.revisit), key=str):
            self._plan_part(start_of(run.depot, day), departs, wanted=[])
        if run.departs_at:
            self._decide(run.departs_at)

    def _is_by_itself(self, part: Part) -> bool:
        """A departure that this run does not decide, or a day that is not planned with those ahead:
        before today, which a night's tours may be of, or of a depot that has departures now."""
        day, departs = part
        if departs:
            return departs != self.run.departs_at
        return bool(self.run.depot.departures) or day < day_of(self.run.depot, timezone.now())

    def _decide(self, departs: datetime) -> None:
        """Who leaves with this departure, and who waits for a later one."""
        run, one = self.run, departure(self.run.depot, departs)
        before = Current.read(run.depot, one.start, departs)
        rows = [*before.shipments, *with_room(before.shipments, self.left.values())]
        own = Q(day=day_of(run.depot, one.start), departs_at=departs)
        wave = wave_of(Fleet.read(run.depot, timezone.now(), own=own), one, rows)
        if not wave.rows:
            return
        wave.must = frozenset(before.stops)
        wave.warm = before.plan(wave.problem)
        began = time.monotonic()
        plan = wave.decide(seconds=max(0.0, min(_enough(wave.problem, 0), _search_left(run))))
        run.solver_seconds += time.monotonic() - began
        self.later = {pk for pk, chances in wave.left.items() if chances}
        self._keep(before, wave.problem, plan)

    def _wait(self) -> None:
        """Whoever is left holds a place at a later departure; the others are told why not."""
        run = self.run
        told = {pk: why for pk, why in self.reasons.items() if pk in self.left and why != MAY_WAIT}
        waiting = {pk for pk in self.left if pk not in told}
        with transaction.atomic():
            _renew(run)
            homeless = hold(run.depot, waiting, decided=bool(run.departs_at))
        told |= {pk: why for pk, why in homeless.items() if pk in self.fell_out}
        run.unplanned, run.fell_out = len(told), len(self.fell_out & set(told))
        _tell_unplannable(run, told, self.fell_out, keep=self.later)

    def _plan_days(self) -> None:
        """Day by day."""
        run = self.run
        for start in days_ahead(run.depot):
            self._plan_day(start)
            if not (self.left or self.revisit) or _search_left(run) <= 0:
                break
        run.unplanned, run.fell_out = len(self.left), len(self.fell_out & set(self.left))
        # Only a run that got on may leave the rest to the next one: runs don't go on for ever.
        run.cut_short = bool(self.left) and run.planned > 0 and _search_left(run) <= 0
        if not run.cut_short:
            reasons = {pk: self.reasons.get(pk, _NO_TOUR) for pk in self.left}
            _tell_unplannable(run, reasons, self.fell_out)

    def _plan_day(self, start: datetime) -> None:
        day = day_of(self.run.depot, start)
        wanted = [row for row in self.left.values() if row.promised_day in (None, day)]
        if wanted or (day, None) in self.revisit:
            self._plan_part(start, None, wanted)
            self._release_promises(day)

    def _plan_part(
        self, start: datetime, departs: datetime | None, wanted: Sequence[Shipment]
    ) -> None:
        """Of a day that begins then, with more shipments besides those that stand in it."""
        run, part = self.run, (day_of(self.run.depot, start), departs)
        must = part in self.revisit
        self.revisit.discard(part)
        before = Current.read(run.depot, start, departs)
        rows = {row.pk: row for row in [*before.shipments, *with_room(before.shipments, wanted)]}
        later = tours_held(run.depot) if departs else None
        problem = problem_of(run.depot, start, list(rows.values()), departs=departs, also=later)
        if before.routes or (problem.stops and problem.vehicles):
            plan = self._found(before, problem, must=must)
            if plan is not None:
                self._keep(before, problem, plan)

    def _found(self, before: Current, problem: Problem, *, must: bool) -> Plan | None:
        """None when nothing is to be changed."""
        run = self.run
        warm = before.plan(problem)
        if not warm.routes:
            return _solve(run, problem, None)
        # As it is, with what fits in between: this costs next to nothing.
        calm = fitted(problem, before.orders(problem), seconds=CALM_SECONDS)
        must = must or self._must_go(before, problem, calm)
        if not must and not set(visited(calm)) & set(self.left):
            self.reasons |= {pk: why for pk, why in calm.unserved.items() if pk in self.left}
            return None
        found = _solve(run, problem, warm)
        return found if self.by_hand else _calmer(problem, calm, found)

    def _must_go(self, before: Current, problem: Problem, calm: Plan) -> bool:
        """Whether a search is worth its time though nothing more fits into the plan as it is."""
        served = set(visited(calm))
        if not set(before.stops) <= served:
            return True
        ends = before.start + timedelta(days=1)
        in_it = problem.node_of
        late = (row for pk, row in self.left.items() if pk in in_it and pk not in served)
        return any(row.requested_until and row.requested_until < ends for row in late)

    def _keep(self, before: Current, problem: Problem, plan: Plan) -> None:
        run = self.run
        must_be_valid(problem, plan)
        self.reasons |= plan.unserved
        with transaction.atomic():
            _renew(run)
            outcome = storing.store(
                run=run, before=before, problem=problem, plan=plan, why=run.trigger
            )
        for pk in outcome.planned:
            self.left.pop(pk, None)
        self.left |= outcome.fell_out
        self.fell_out |= set(outcome.fell_out)
        run.planned += len(outcome.planned)
        run.moved += len(outcome.moved)

    def _release_promises(self, day: date) -> None:
        """Whose promise for this day can't be kept is tried on the following days."""
        for row in self.left.values():
            if row.promised_day == day:
                storing.drop_promise(row)
                self.fell_out.add(row.pk)


def _search_left(run: PlanRun) -> float:
    return min(settings.PLANNING_SOLVE_SECONDS, LONGEST_SEARCH) - run.solver_seconds


def _solve(run: PlanRun, problem: Problem, warm_start: Plan | None) -> Plan:
    began = time.monotonic()
    known = sum(len(route.visits) for route in warm_start.routes) if warm_start else 0
    seconds = max(0.0, min(_enough(problem, known), _search_left(run)))
    plan = solve(problem, seconds=seconds, warm_start=warm_start)
    run.solver_seconds += time.monotonic() - began
    return plan


def _enough(problem: Problem, known: int) -> float:
    fresh = len(problem.stops) - known
    return SEARCH_BASE + SEARCH_PER_STOP * fresh + SEARCH_PER_KNOWN * known


def _calmer(problem: Problem, calm: Plan, found: Plan) -> Plan:
    """Who was told a time should keep it, unless a change gains something worth telling."""
    (left, cost), (left_calm, cost_calm) = score(problem, found), score(problem, calm)
    worth = left < left_calm or cost < cost_calm * (1 - WORTH_A_CHANGE)
    return found if worth else calm


@transaction.atomic
def _tell_unplannable(
    run: PlanRun, reasons: dict[UUID, str], fell_out: set[UUID], keep: Collection[UUID] = ()
) -> None:
    """Only what is news: the same reason again, plan after plan, tells nobody anything. Those to
    ``keep`` may still be met as promised.

    Raises RunGivenUp.
    """
    _renew(run)
    rows, emissions = list[Any](), list[Emission]()
    news, texts = dict[Shipment, str](), dict[UUID, str]()
    for shipment in lock_shipments(reasons).values():
        reason = reasons[shipment.pk][:300]
        if shipment.state != S.OPEN or shipment.unplannable_reason == reason:
            continue
        if shipment.pk in fell_out:
            texts[shipment.pk] = f"Shipment {shipment.pk} fell out of the plan: {reason}"
        elif shipment.unplannable_reason in ("", MAY_WAIT):
            news[shipment] = reason
        shipment.unplannable_reason = reason
        (storing.drop_place if shipment.pk in keep else storing.drop_promise)(shipment)
        rows.append(shipment)
        emissions.append(_unplannable(run.depot, shipment))
    emissions += alert(run.depot, Alert.Kind.FELL_OUT, texts)
    emissions += alert_of_unplannable(run.depot, news)
    update(rows, [*storing.PROMISE_FIELDS, "unplannable_reason", "event_sequence"])
    emit_all(emissions)


def _unplannable(depot: Depot, shipment: Shipment) -> Emission:
    told = tell.ShipmentUnplannable(
        shipment_id=shipment.pk,
        order_id=shipment.order_id,
        depot=depot.code,
        reason=shipment.unplannable_reason,
    )
    journey = shipment.correlation_id
    return Emission(told, shipment, shipment.advance(), correlation_id=journey)
