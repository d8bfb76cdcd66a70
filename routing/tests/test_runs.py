"""Runs of the planner: that none is made again and again, and what is left of those that died."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.utils import timezone
from kombu import Producer

from conftest import ROOT, eventually
from routing import driving, due, moving, planning, runs, waves
from routing.asking import MOST_DEATHS, ask_for_plan, unanswered
from routing.days import day_of, start_of
from routing.due import due_runs
from routing.models import Depot, Plan, PlanRun, Route, Shipment, Vehicle
from routing.planning import plan_due_depots
from supplychain.celery import app
from supplychain.events.consumers import get_consumer
from supplychain.events.models import DeadLetter
from supplychain.events.names import dead_queue
from supplychain.events.testing import message_of
from supplychain.native.procfile import read

from .conftest import (
    Holding,
    books_balance,
    cancelled,
    hear,
    make_depot,
    make_shipments,
    parcel,
    plan,
    planned_route,
    reserved,
    settle,
    state,
    stop_of,
)
from .test_waves import no_vehicle_is_in_two_tours

pytestmark = pytest.mark.django_db(transaction=True)
RUNS = PlanRun.State
MONDAY = datetime(2031, 5, 5, tzinfo=UTC)
TICK = timedelta(seconds=4)


def time(text, day=0):
    hour, minute = map(int, text.split(":"))
    return MONDAY + timedelta(days=day, hours=hour, minutes=minute)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = time("07:00")

        def is_(self, text, day=0):
            self.now = time(text, day)

    found = Clock()
    monkeypatch.setattr(timezone, "now", lambda: found.now)
    return found


def ticks(clock, minutes):
    """Beat's, for so long; gives the runs that they made."""
    made = []
    for _ in range(int(timedelta(minutes=minutes) / TICK)):
        clock.now += TICK
        made += plan_due_depots()
    return made


def start(depot, trigger="by hand"):
    run = planning._start_run(depot, trigger)
    assert run is not None
    return run


# --- once for one reason ------------------------------------------------------------------


def night_route(clock):
    """From ten in the evening of Monday into Tuesday, with three stops after two."""
    depot = make_depot()
    Vehicle.objects.update(shift_start="22:00")
    clock.is_("20:00")
    make_shipments(3, near=0.5, requested_from=time("02:00", day=1).isoformat())
    settle()
    plan_due_depots()
    route = Route.objects.get()
    assert route.day == MONDAY.date() and route.ends_at > time("02:00", day=1)
    return depot, route


def test_a_night_route_is_planned_again_after_midnight_and_once(clock):
    _, route = night_route(clock)
    clock.is_("00:10", day=1)
    hear(cancelled(1))
    (run,) = ticks(clock, 2)
    assert (run.trigger, run.state, run.in_vain) == ("plan no longer held", "done", False)
    route.refresh_from_db()
    assert (route.state, route.load_kg) == ("planned", 10)
    assert route.starts_at > time("00:10", day=1)
    books_balance()


def test_a_plan_by_hand_after_midnight_plans_the_night_too(clock):
    depot, route = night_route(clock)
    clock.is_("00:10", day=1)
    assert plan(depot).error == ""
    route.refresh_from_db()
    assert route.planned_at == clock.now
    assert {state(n) for n in (1, 2, 3)} == {"planned"}


def test_who_has_no_place_in_the_night_any_more_gets_one_by_day(clock):
    depot, _ = night_route(clock)
    clock.is_("00:10", day=1)
    hear(cancelled(1))
    Vehicle.objects.update(shift_start="08:00")
    ticks(clock, 2)
    assert {route.day for route in Route.objects.filter(state="planned")} == {
        day_of(depot, start_of(depot, MONDAY.date() + timedelta(days=1)))
    }
    assert (state(2), state(3)) == ("planned", "planned")
    books_balance()


def test_a_day_planned_before_its_depot_had_departures_is_planned_again(clock):
    planned_route_of(clock)
    Depot.objects.update(departures="08:00, 12:00")
    hear(cancelled(1))
    (run,) = ticks(clock, 1)
    assert run.in_vain is False
    assert Route.objects.get().load_kg == 5


def test_a_route_of_a_later_day_that_leaves_early_is_no_reason_to_plan(clock, settings):
    settings.PLANNING_SOLVE_SECONDS = 2
    depot = make_depot(kg=10, hours=3)
    make_shipments(4, near=0.5)
    plan(depot)
    today, tomorrow = Route.objects.order_by("day")
    assert today.day < tomorrow.day
    driving.dispatch_route(route_id=tomorrow.pk)
    assert ticks(clock, 1) == []


def test_a_vehicle_that_comes_back_too_late_is_a_reason_to_plan(clock):
    depot = make_depot(vehicles=2, kg=10, hours=10)
    make_shipments(2)
    plan(depot)
    first = Route.objects.get()
    make_shipments(2, first=3)
    driving.dispatch_route(route_id=first.pk)
    plan(depot)
    second = Route.objects.exclude(pk=first.pk).get()
    Route.objects.filter(pk=first.pk).update(ends_at=second.ends_at, vehicle=second.vehicle)
    (run,) = ticks(clock, 1)
    assert (run.trigger, run.in_vain) == ("plan no longer held", False)
    assert ticks(clock, 1) == []


def plan_nothing_again(monkeypatch):
    """So that a plan does not hold and no run mends it, whatever the reason."""
    monkeypatch.setattr(planning._Work, "_plan_part", lambda *_, **__: None)


def test_what_no_run_mends_is_tried_ever_more_rarely(clock, monkeypatch):
    route = planned_route_of(clock, near=0.5)
    plan_nothing_again(monkeypatch)
    hear(cancelled(1))
    made = ticks(clock, 25)
    assert {(run.trigger, run.in_vain) for run in made} == {("plan no longer held", True)}
    assert 3 <= len(made) <= 10
    pauses = [b.started_at - a.started_at for a, b in pairwise(made)]
    assert pauses == sorted(pauses) and pauses[-1] >= due.LONGEST_PAUSE / 2
    assert max(pauses) <= due.LONGEST_PAUSE + 2 * TICK
    route.refresh_from_db()
    assert route.load_kg == 10


def test_what_no_run_mends_does_not_hold_up_what_is_new(clock, monkeypatch):
    planned_route_of(clock, near=0.5)
    hear(cancelled(1))
    with monkeypatch.context() as for_now:
        plan_nothing_again(for_now)
        ticks(clock, 10)
    make_shipments(1, first=3)
    (run,) = ticks(clock, 1)
    assert (run.trigger, run.in_vain) == ("burst over", False)
    assert (state(3), Route.objects.get().load_kg) == ("planned", 10)


def test_what_is_cancelled_while_a_run_searches_is_answered_by_the_next(clock, monkeypatch):
    """And the first was not in vain."""
    planned_route_of(clock, 3)
    hear(cancelled(1))
    real = planning._Work._keep

    def keep(self, *args):
        real(self, *args)
        clock.now += timedelta(seconds=1)
        hear(cancelled(2))
        monkeypatch.setattr(planning._Work, "_keep", real)

    monkeypatch.setattr(planning._Work, "_keep", keep)
    made = ticks(clock, 1)
    assert [run.in_vain for run in made] == [False, False]
    assert Route.objects.get().load_kg == 5


def planned_route_of(clock, count=2, **fields):
    route = planned_route(count, **fields)
    clock.now += timedelta(minutes=1)
    return route


# --- runs that died -----------------------------------------------------------------------


def killed(depot, clock, trigger="by hand"):
    """A run whose process gets a kill -9; gives it when that must have been noticed."""
    run = start(depot, trigger)
    clock.now += planning.RUN_EXPIRES + timedelta(seconds=1)
    return run


def test_a_run_asked_for_whose_process_dies_is_made_again(clock, staff):
    route = planned_route_of(clock)
    ask_for_plan(depot=route.depot)
    run = killed(route.depot, clock)
    shown = day_shown(staff, route)
    assert (shown["run"]["state"], shown["asked"]) == ("failed", True), "whoever noticed it"
    assert shown["run"]["error"] == "its process has died"
    (again,) = plan_due_depots()
    run.refresh_from_db()
    assert (run.state, run.died, run.error) == ("failed", True, "its process has died")
    assert (again.trigger, again.state) == ("by hand", "done")
    shown = day_shown(staff, route)
    assert (shown["run"]["state"], shown["asked"]) == ("done", False)


def day_shown(staff, route):
    return staff.get(f"/api/v1/depots/mill/days/{route.day}/").json()


def test_a_run_is_under_way_until_it_must_have_died(clock, staff):
    route = planned_route_of(clock)
    ask_for_plan(depot=route.depot)
    start(route.depot)
    clock.now += planning.RUN_EXPIRES - timedelta(seconds=1)
    shown = day_shown(staff, route)
    assert (shown["run"]["state"], shown["asked"]) == ("running", False)
    assert plan_due_depots() == []


def test_a_plan_that_kills_whoever_makes_it_is_given_up(clock, staff):
    route = planned_route_of(clock)
    ask_for_plan(depot=route.depot)
    for number in range(MOST_DEATHS):
        assert [why for _, why in due_runs(clock.now)] == ["by hand"], number
        killed(route.depot, clock)
        runs.bury_the_dead(clock.now)
    assert plan_due_depots() == []
    shown = day_shown(staff, route)
    assert (shown["run"]["state"], shown["asked"]) == ("failed", False)
    clock.now += timedelta(seconds=1)
    ask_for_plan(depot=route.depot)
    assert [run.state for run in plan_due_depots()] == ["done"]


def test_a_tick_buries_the_dead_of_all_depots(clock):
    """Also where nothing is due."""
    dead = [killed(make_depot(code), clock, "burst over") for code in ("mill", "quarry")]
    alive = start(make_depot("harbour"))
    assert plan_due_depots() == []
    assert [PlanRun.objects.get(pk=run.pk).died for run in dead] == [True, True]
    alive.refresh_from_db()
    assert (alive.state, alive.died) == ("running", False)


def test_a_run_that_failed_by_itself_is_an_answer(clock, monkeypatch):
    route = planned_route_of(clock)
    ask_for_plan(depot=route.depot)
    monkeypatch.setattr(planning._Work, "plan", lambda self: 1 / 0)
    (run,) = plan_due_depots()
    assert (run.state, run.died) == ("failed", False)
    assert not unanswered().exists()


# --- runs that are forgotten --------------------------------------------------------------


def test_old_runs_from_which_nothing_came_are_forgotten(settings):
    settings.PLAN_RUN_DAYS = 30
    route = planned_route()
    depot = route.depot
    old = {"started_at": timezone.now() - timedelta(days=31)}
    make_shipments(1, first=3)
    of_a_version = plan(depot)
    empty, young, newest = plan(depot), plan(depot), plan(make_depot("quarry"))
    kept = {route.run_id, young.pk, newest.pk, of_a_version.pk}
    PlanRun.objects.exclude(pk=young.pk).update(**old)
    assert Plan.objects.filter(run=of_a_version).exists()
    assert Route.objects.get().run_id != of_a_version.pk
    assert runs.forget_old() == 1
    assert set(PlanRun.objects.values_list("pk", flat=True)) == kept
    assert empty.pk not in kept
    assert runs.forget_old() == 0


# --- a vehicle booked meanwhile -----------------------------------------------------------


def test_a_vehicle_is_not_in_two_departures_at_once(clock, monkeypatch):
    """A stop is moved by hand to a later departure's vehicle while the earlier is searched for."""
    depot = make_depot(vehicles=2, hours=12)
    Vehicle.objects.update(shift_start="06:00")
    set_departures(depot, "10:00, 12:00")
    at_ten = {"requested_from": time("10:10"), "requested_until": time("11:30")}
    make_shipments(1, near=0.06, **{name: at.isoformat() for name, at in at_ten.items()})
    assert plan(depot).departs_at == time("10:00")
    set_departures(depot, "08:00, 10:00")
    make_shipments(1, first=2, near=1.2, requested_until=time("10:40").isoformat())
    settle()
    clock.is_("07:30")
    real, moved = waves.Wave.decide, list[int]()

    def decide(self, *, seconds):
        found = real(self, seconds=seconds)
        moved.extend(route.vehicle.key for route in found.routes)
        for vehicle in moved:
            if stop_of(1).route.vehicle_id != vehicle:
                moving.move_stop(stop_id=stop_of(1).pk, vehicle_id=vehicle)
        return found

    monkeypatch.setattr(waves.Wave, "decide", decide)
    (run,) = plan_due_depots()
    assert run.error == "" and moved
    assert stop_of(1).route.vehicle_id in moved, "what was moved by hand stays so"
    assert state(2) == "planned"
    assert stop_of(1).route.vehicle_id != stop_of(2).route.vehicle_id
    no_vehicle_is_in_two_tours()
    books_balance()


def set_departures(depot, departures):
    Depot.objects.update(departures=departures)
    depot.refresh_from_db()


def test_a_vehicle_that_another_day_took_meanwhile_is_not_taken_twice(clock, monkeypatch):
    """A night's route is timed anew by hand while the next day is searched for."""
    depot, night = night_route(clock)
    clock.is_("00:10", day=1)
    Vehicle.objects.update(shift_start="05:00")
    Route.objects.filter(pk=night.pk).update(frozen=True, ends_at=time("03:00", day=1))
    make_shipments(1, first=4)
    real = planning._solve

    def solve(*args):
        found = real(*args)
        Route.objects.filter(pk=night.pk).update(ends_at=time("08:00", day=1))
        return found

    monkeypatch.setattr(planning, "_solve", solve)
    run = plan(depot)
    assert (run.error, state(4)) == ("", "planned")
    assert stop_of(4).route.starts_at >= time("08:00", day=1)


# --- on a queue of its own ----------------------------------------------------------------


def send(broker, envelope):
    message = message_of(envelope, get_consumer("routing.register_shipments"))
    with broker.channel() as channel:
        Producer(channel).publish(
            message.body,
            exchange="home",
            routing_key="routing",
            headers=message.headers,
            content_type="application/json",
            content_encoding="utf-8",
        )


def ready(broker, queue) -> int:
    with broker.channel() as channel:
        return channel.queue_declare(queue, passive=True).message_count


def running():
    return PlanRun.objects.filter(state=RUNS.RUNNING)


@pytest.fixture
def busy_planner(processes, broker):
    """A worker as in the Procfile, with one process, that searches for some seconds."""
    depot = make_depot(vehicles=6)
    depot.vehicles.update(shift_start="00:00", shift_hours=23.9)
    hear(*(reserved(n, near=0.001 * (n % 100)) for n in range(1, 301)))
    settle()
    command = next(c for name, c in read(ROOT / "Procfile") if name == "worker_planning")
    arguments = command.replace("${PLANNING_CONCURRENCY:-2}", "1").replace("-q ", "").split()
    processes.start("-m", *arguments, ready="ready.", PLANNING_SOLVE_SECONDS="40")
    app.send_task("routing.plan_due_depots", connection=broker)
    eventually(running().exists)


@pytest.fixture
def listening(processes):
    """Before the planner is at work: a worker takes its time to start."""
    processes.worker("routing", concurrency=1)


def test_events_do_not_wait_for_the_planner(listening, busy_planner, broker):
    send(broker, reserved(9000))
    eventually(Shipment.objects.filter(pk=parcel(9000)).exists)
    eventually(lambda: not running().exists())
    heard = Shipment.objects.get(pk=parcel(9000)).ready_at
    assert PlanRun.objects.filter(ended_at__gt=heard).exists(), "the search was not over yet"


def test_ticks_that_find_the_planner_at_work_do_not_pile_up(broker, busy_planner):
    for _ in range(5):
        app.send_task("routing.plan_due_depots", connection=broker, expires=0.5)
    eventually(lambda: ready(broker, dead_queue("planning")) == 5)
    assert ready(broker, "planning") == 0
    eventually(lambda: not running().exists())
    assert PlanRun.objects.count() == 1


def test_what_can_not_be_read_on_the_planners_queue_is_a_dead_letter(processes, broker):
    processes.worker("planning")
    processes.ingester()
    with broker.channel() as channel:
        Producer(channel).publish({"n": 1}, exchange="home", routing_key="planning")
    eventually(DeadLetter.objects.filter(queue="planning").exists)


def test_two_ticks_plan_two_depots_and_neither_waits(settings):
    """Not even while the first stores what it found."""
    mill = make_depot()
    make_shipments(2)
    settle()
    run = start(mill)
    storing = Holding(lambda: planning._Work.begin(run).plan())
    quarry = make_depot("quarry")
    make_shipments(1, first=3, depot="quarry")
    settle_of(quarry)
    (other,) = Holding.start(plan_due_depots, atomic=False).result(20)
    assert (other.depot_id, state(3)) == (quarry.pk, "planned")
    storing.let_go()
    assert (state(1), state(2)) == ("planned", "planned")


def settle_of(depot):
    depot.shipments.update(ready_at=timezone.now() - timedelta(hours=1))
