"""Planning: when, how often, for whom, and what is left of a run that dies or fails."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.db import connection, transaction
from django.db.models import Q
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conftest import eventually
from routing import driving, due, planning, reasons, services, storing, waiting
from routing.alerting import see_alert
from routing.current import Current
from routing.driving import freeze_route
from routing.due import due_runs
from routing.fleet import Fleet
from routing.models import Alert, Depot, PlanRun, Route, Shipment, Stop, Vehicle
from routing.planning import plan_depot, plan_due_depots
from routing.posing import problem_of
from routing.tasks import plan_due_depots as tick
from supplychain.events.models import OutboxEvent

from .conftest import (
    Holding,
    at_once,
    blocked_sessions,
    books_balance,
    cancelled,
    data_of,
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
    told,
)

pytestmark = pytest.mark.django_db(transaction=True)
RUNS = PlanRun.State


def start(depot):
    run = planning._start_run(depot)
    assert run is not None
    return run


def due_codes(now=None):
    return [depot.code for depot, _ in due_runs(now or timezone.now())]


# --- what a plan is -----------------------------------------------------------------------


def test_a_plan_is_routes_stops_and_events():
    route = planned_route(3)
    run = route.run
    assert (run.state, run.shipments, run.planned, run.unplanned) == (RUNS.DONE, 3, 3, 0)
    stops = list(route.stops.all())
    assert [stop.position for stop in stops] == [1, 2, 3]
    etas = [stop.eta for stop in stops]
    assert etas == sorted(etas)
    assert route.starts_at < etas[0] and etas[-1] < route.ends_at
    assert route.load_kg == 15
    assert told() == [*["shipment_planned"] * 3, "route_planned"]
    tale = data_of("route_planned")[0]
    assert tale["shipments"] == [str(stop.shipment_id) for stop in stops]
    assert [d["position"] for d in data_of("shipment_planned")] == [1, 2, 3]
    books_balance()


def test_events_of_a_plan_belong_to_the_journey_of_their_order():
    planned_route(2)
    rows = OutboxEvent.objects.filter(event_type="routing.shipment_planned")
    assert {"journey 1", "journey 2"} == {
        journey for row in rows for journey in ("journey 1", "journey 2") if journey in row.envelope
    }


def test_loads_and_windows_come_from_the_shipments():
    depot = make_depot()
    start = datetime(2096, 5, 4, tzinfo=UTC)
    make_shipments(
        1,
        kg=12.5,
        requested_from="2096-05-04T09:00:00.5Z",
        requested_until="2096-05-04T12:00:00.5Z",
    )
    make_shipments(1, first=2, requested_from="2096-05-03T09:00:00Z")
    make_shipments(1, first=3, requested_until="2096-05-04T12:00:00Z")
    Vehicle.objects.update(shift_start="08:00")
    rows = [Shipment.objects.get(pk=parcel(n)) for n in (1, 2, 3)]
    problem = problem_of(depot, start, rows)
    (vehicle,) = problem.vehicles
    assert (vehicle.start_s, vehicle.end_s) == (8 * 3600, 18 * 3600)
    windows = [stop.windows[0] for stop in problem.stops]
    # Rounded into the window, never out of it.
    assert windows[0] == (9 * 3600 + 1, 12 * 3600)
    assert windows[1] == (-15 * 3600, 365 * 86400)
    assert windows[2] == (0, 12 * 3600)
    assert problem.stops[0].load_kg == 12.5


# --- once per burst -----------------------------------------------------------------------


@pytest.mark.parametrize("planned_before", [False, True])
def test_a_burst_makes_one_run_per_depot(settings, planned_before):
    settings.PLANNING_QUIET, settings.PLANNING_PATIENCE = 1000, 3000
    for code in ("mill", "quarry"):
        make_depot(code, vehicles=3)
    runs = 0
    if planned_before:
        Depot.objects.get(code="mill").runs.create(
            state=RUNS.DONE,
            started_at=timezone.now() - timedelta(days=1),
            expires_at=timezone.now(),
        )
        runs = 1
    for number in range(1, 25):
        hear(reserved(number, depot="mill" if number % 2 else "quarry"))
        assert plan_due_depots() == []
    settle()
    planned = plan_due_depots()
    assert sorted((run.depot.code, run.planned) for run in planned) == [
        ("mill", 12),
        ("quarry", 12),
    ]
    assert plan_due_depots() == []
    assert PlanRun.objects.count() == runs + 2


def test_a_burst_without_end_is_planned_when_its_first_has_waited_enough(settings):
    settings.PLANNING_QUIET, settings.PLANNING_PATIENCE = 60, 600
    make_depot()
    first, _ = make_shipments(2)
    assert due_codes() == []
    Shipment.objects.filter(pk=first.pk).update(ready_at=timezone.now() - timedelta(seconds=601))
    assert due_codes() == ["mill"]


def test_the_longest_waiting_depot_comes_first():
    for number, code in enumerate(("aaa", "bbb", "ccc"), start=1):
        make_depot(code)
        hear(reserved(number, depot=code))
    settle()
    Shipment.objects.filter(depot__code="bbb").update(ready_at=timezone.now() - timedelta(days=1))
    assert due_codes()[0] == "bbb"


def test_a_tick_begins_no_run_when_its_time_is_over(monkeypatch):
    for number, code in enumerate(("mill", "quarry"), start=1):
        make_depot(code)
        hear(reserved(number, depot=code))
    settle()
    monkeypatch.setattr(planning, "TICK_SECONDS", 0.0)
    assert tick() == 0
    monkeypatch.undo()
    assert tick() == 2


def test_a_depot_that_is_no_longer_active_still_sends_what_it_has_reserved():
    depot = make_depot()
    make_shipments(1)
    Depot.objects.update(active=False)
    settle()
    assert due_codes() == [depot.code]


# --- one at a time ------------------------------------------------------------------------


def test_two_planners_at_once_make_one_run(settings):
    settings.PLANNING_SOLVE_SECONDS = 1.0
    depot = make_depot()
    make_shipments(6)
    runs = at_once(*[lambda: plan_depot(depot=depot)] * 4)
    assert [run.planned for run in runs if run] == [6]
    assert PlanRun.objects.count() == 1
    assert Route.objects.count() == 1
    books_balance()


def test_a_depot_that_is_being_planned_is_not_due():
    depot = make_depot()
    make_shipments(1)
    settle()
    assert due_codes() == ["mill"]
    run = planning._start_run(depot)
    assert run is not None
    assert due_codes() == []
    assert plan_depot(depot=depot) is None


def test_a_run_whose_process_died_is_followed_by_another():
    depot = make_depot()
    make_shipments(1)
    settle()
    dead = start(depot)
    long_ago = timezone.now() - timedelta(hours=1)
    PlanRun.objects.update(started_at=long_ago, expires_at=long_ago)
    assert due_codes() == ["mill"]
    assert plan(depot).planned == 1
    dead.refresh_from_db()
    assert (dead.state, dead.error) == (RUNS.FAILED, "its process has died")


def test_a_run_that_was_given_up_stores_nothing():
    """It was only asleep, and another has planned meanwhile."""
    depot = make_depot()
    make_shipments(2)
    sleeper = start(depot)
    PlanRun.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    hear(reserved(3, kg=5000))
    assert plan(depot).planned == 2
    Shipment.objects.filter(state="open").update(unplannable_reason="")
    before = len(told())
    make_shipments(1, first=4)
    with pytest.raises(planning.RunGivenUp):
        planning._Work.begin(sleeper).plan()
    sleeper.state = RUNS.DONE
    planning._end_run(sleeper)
    sleeper.refresh_from_db()
    assert sleeper.state == RUNS.FAILED
    assert told(since=before) == []
    assert Route.objects.count() == 1


# --- failures -----------------------------------------------------------------------------


def make_planning_fail():
    """A vehicle that no rule allows makes the search impossible."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE routing_vehicle DROP CONSTRAINT vehicle_has_room_and_time")
    Vehicle.objects.update(capacity_kg=-1)


@pytest.fixture
def failing():
    depot = make_depot()
    make_shipments(3)
    settle()
    make_planning_fail()
    yield depot
    from django.db import connection

    Vehicle.objects.update(capacity_kg=1000)
    constraint = next(c for c in Vehicle._meta.constraints if c.name == "vehicle_has_room_and_time")
    with connection.schema_editor() as editor:
        editor.add_constraint(Vehicle, constraint)


def test_a_failed_run_says_why_and_is_tried_again_later_and_later(failing, caplog):
    for pause in (5, 10, 20, 40, 80, 160, 320, 600, 600, 600):
        run = plan(failing)
        assert run.state == RUNS.FAILED and "BadProblem: vehicle" in run.error
        run.refresh_from_db()
        assert due_codes(run.ended_at + timedelta(seconds=pause - 1)) == []
        assert due_codes(run.ended_at + timedelta(seconds=pause)) == ["mill"]
    assert "Planning mill failed" in caplog.text
    assert {s.state for s in Shipment.objects.all()} == {"open"}


def test_after_a_success_a_failure_counts_from_one_again(failing):
    for _ in range(3):
        plan(failing)
    Vehicle.objects.update(capacity_kg=1000)
    assert plan(failing).planned == 3
    make_shipments(3, first=4)
    settle()
    Vehicle.objects.update(capacity_kg=-1)
    run = plan(failing)
    # The only vehicle is on its tour; the plan of the next day fails.
    assert run.state == RUNS.FAILED
    run.refresh_from_db()
    assert due_codes(run.ended_at + due.FAILURE_PAUSE) == ["mill"]


def test_one_depots_failure_holds_up_no_other(failing):
    make_depot("quarry")
    make_shipments(1, first=9, depot="quarry")
    settle()
    assert sorted(run.state for run in plan_due_depots()) == [RUNS.DONE, RUNS.FAILED]
    assert state(9) == "planned"


# --- who can't be planned -----------------------------------------------------------------


def test_an_impossible_shipment_gets_its_reason_once_and_holds_up_nobody(settings):
    settings.PLANNING_QUIET = 0
    depot = make_depot()
    make_shipments(1, kg=5000)
    in_three_days = timezone.now() + timedelta(days=3)
    make_shipments(1, first=2, requested_from=in_three_days.isoformat())
    make_shipments(1, first=3)
    run = plan(depot)
    assert (run.planned, run.unplanned, run.cut_short) == (2, 1, False)
    reason = Shipment.objects.get(pk=parcel(1)).unplannable_reason
    assert reason == "5000 kg are more than any vehicle carries"
    assert (state(2), state(3)) == ("planned", "planned")
    assert stop_of(2).eta >= in_three_days
    # It waits for company or the next day, and says nothing twice.
    assert due_codes() == []
    assert due_codes(timezone.now() + timedelta(days=1)) == ["mill"]
    plan(depot)
    assert told().count("shipment_unplannable") == 1
    make_shipments(1, first=4)
    settle()
    assert due_codes() == ["mill"]
    books_balance()


def test_what_makes_no_sense_gets_its_reason_and_holds_up_nobody(settings):
    """With promises, too: nothing of this may stop a worker."""
    settings.PROMISE_SECONDS = 5.0
    depot = make_depot()
    now = timezone.now()
    closes_first = {
        "requested_from": (now + timedelta(days=2)).isoformat(),
        "requested_until": (now + timedelta(days=1)).isoformat(),
    }
    hear(
        reserved(1, **closes_first),
        reserved(2, near=1000),
        reserved(3, kg=-5.0),
        reserved(4, m3=1e12),
        reserved(5, priority=10_000),
        reserved(6),
        reserved(7, near=30),
    )
    Shipment.objects.filter(pk=parcel(6)).update(latitude=float("nan"))
    run = plan(depot)
    assert (run.error, run.planned) == ("", 1)
    reasons = {n: Shipment.objects.get(pk=parcel(n)).unplannable_reason for n in range(1, 8)}
    assert reasons[1] == "its delivery window closes before it opens"
    assert reasons[2] == reasons[6] == "its coordinates are not on Earth"
    assert reasons[3] == "its load is negative or not a number"
    assert "are more than any vehicle" in reasons[4]
    assert (reasons[5], state(5)) == ("", "planned")
    assert "no vehicle reaches it" in reasons[7]
    books_balance()


def test_a_depot_without_vehicles_says_so():
    depot = make_depot()
    Vehicle.objects.update(active=False)
    make_shipments(1)
    assert plan(depot).unplanned == 1
    assert Shipment.objects.get().unplannable_reason == planning._NO_TOUR


def test_a_missed_window_is_a_reason_but_not_after_a_failed_delivery():
    """What becomes of it then is in test_overdue."""
    depot = make_depot()
    yesterday = (timezone.now() - timedelta(days=1)).isoformat()
    make_shipments(2, requested_until=yesterday)
    Shipment.objects.filter(pk=parcel(2)).update(attempts=1)
    plan(depot)
    assert (state(1), state(2)) == ("open", "planned")
    assert "within its window" in Shipment.objects.get(pk=parcel(1)).unplannable_reason


def test_what_is_possible_now_loses_its_reason():
    depot = make_depot()
    make_shipments(1, kg=1500)
    plan(depot)
    services.set_fleet(depot=depot, vehicles=1, capacity_kg=2000, capacity_m3=8, shift_hours=10)
    plan(depot)
    assert (state(), Shipment.objects.get().unplannable_reason) == ("planned", "")
    assert told()[:3] == ["shipment_unplannable", "staff_alerted", "shipment_planned"]


# --- what no route takes reaches somebody's eye -----------------------------------------------


def alerts():
    return list(Alert.objects.filter(kind=Alert.Kind.UNPLANNABLE).order_by("at", "text"))


def see_all():
    for row in alerts():
        see_alert(alert_id=row.pk, by="ann")


def test_staff_is_told_once_of_what_no_route_takes_with_the_reason_and_what_to_do():
    depot = make_depot()
    make_shipments(1, kg=5000)
    plan(depot)
    (row,) = alerts()
    assert (row.subject_id, row.depot) == (parcel(1), depot)
    assert row.text == (
        f"Shipment {parcel(1)} to Customer 1 can't be planned: 5000 kg are more than any vehicle "
        "carries. Use a larger vehicle, or have a part of the order taken back."
    )
    assert [tale["text"] for tale in data_of("staff_alerted")] == [row.text]
    plan(depot)
    see_all()
    plan(depot)
    Vehicle.objects.update(active=False)
    plan(depot)
    assert "vehicle is free" in Shipment.objects.get(pk=parcel(1)).unplannable_reason
    assert (alerts(), len(data_of("staff_alerted"))) == ([row], 1), "for any other reason, too"
    assert Alert.objects.get().seen_by == "ann"


def test_staff_is_told_again_of_what_stood_in_a_route_since():
    depot = make_depot()
    make_shipments(1, kg=1500)
    plan(depot)
    see_all()
    Vehicle.objects.update(capacity_kg=2000)
    plan(depot)
    route = driving.dispatch_route(route_id=Route.objects.get().pk)
    driving.fail_stop(stop_id=route.stops.get().pk, reason="nobody at home")
    Vehicle.objects.update(capacity_kg=1000)
    plan(depot)
    assert [row.seen_by for row in alerts()] == ["ann", ""]


def test_of_many_that_can_not_be_planned_there_is_one_alert():
    depot = make_depot()
    Vehicle.objects.update(active=False)
    make_shipments(12)
    plan(depot)
    (row,) = alerts()
    assert "11 more like it" in row.text
    assert len(row.text) <= 300
    make_shipments(1, first=20, kg=4000)
    plan(depot)
    assert alerts() == [row], "who looks at that one sees all"
    see_all()
    make_shipments(1, first=21)
    plan(depot)
    assert len(alerts()) == 2, "of what is new since it was seen"


def test_an_evening_without_vehicles_is_not_an_alert_for_each_burst():
    depot = make_depot()
    Vehicle.objects.update(active=False)
    make_depot("quarry")
    for n in range(1, 15):
        make_shipments(1, first=n)
        plan(depot)
    assert len(alerts()) == len(data_of("staff_alerted")) == 11
    assert "10 more like it" in alerts()[-1].text
    Vehicle.objects.filter(depot=depot).update(active=True, capacity_kg=1)
    make_shipments(1, first=20)
    plan(depot)
    assert len(alerts()) == 12, "there is something else to do about it"


def test_what_has_a_route_after_all_needs_nobody_to_see_that_it_had_none():
    depot = make_depot()
    make_shipments(2, kg=1500)
    make_shipments(1, first=3, kg=9000)
    plan(depot)
    Vehicle.objects.update(capacity_kg=4000)
    with CaptureQueriesContext(connection) as queries:
        plan(depot)
    assert state(1) == state(2) == "planned"
    seen = {row.subject_id: row.seen_by for row in alerts()}
    assert seen == {
        parcel(1): "it has a route now",
        parcel(2): "it has a route now",
        parcel(3): "",
    }
    updates = [query for query in queries if "it has a route now" in query["sql"]]
    assert len(updates) == 1, "one for all of them"


def test_what_was_cancelled_needs_nobody_to_see_that_it_had_no_route():
    depot = make_depot()
    make_shipments(2, kg=1500)
    plan(depot)
    hear(cancelled(1))
    seen = {row.subject_id: row.seen_by for row in alerts()}
    assert seen == {parcel(1): "the order was cancelled", parcel(2): ""}


def test_the_alert_of_many_stays_though_the_order_of_one_was_cancelled():
    depot = make_depot()
    Vehicle.objects.update(active=False)
    make_shipments(12)
    plan(depot)
    (row,) = alerts()
    hear(cancelled(next(n for n in range(1, 13) if parcel(n) == row.subject_id)))
    assert [one.seen_by for one in alerts()] == [""]


def test_the_alert_of_many_stays_until_all_of_them_have_a_route():
    depot = make_depot(vehicles=1)
    Vehicle.objects.update(active=False)
    make_shipments(12)
    plan(depot)
    (row,) = alerts()
    Vehicle.objects.update(active=True, skills=[])
    others = Shipment.objects.exclude(pk=row.subject_id)
    others.filter(pk__in=[parcel(1), parcel(2)]).update(skills=["frozen"])
    plan(depot)
    assert Shipment.objects.get(pk=row.subject_id).state == "planned"
    assert Shipment.objects.filter(state="open").exists()
    assert [one.seen_by for one in alerts()] == [""]
    Vehicle.objects.update(skills=["frozen"])
    plan(depot)
    assert not Shipment.objects.filter(state="open").exists()
    assert {one.seen_by for one in alerts()} == {"it has a route now"}


def test_what_stood_in_a_route_is_told_as_what_fell_out():
    depot = make_depot()
    make_shipments(1)
    plan(depot)
    Vehicle.objects.update(capacity_kg=1)
    plan(depot)
    assert (alerts(), Alert.objects.get().kind) == ([], Alert.Kind.FELL_OUT)


@pytest.mark.parametrize(
    ("reason", "what"),
    [
        (planning._NO_TOUR, "more vehicles"),
        (reasons.NO_ROOM, "more vehicles"),
        (reasons.NO_TIME, "Plan the depot again"),
        (waiting._CROWDED, "Plan the depot again"),
        (waiting._NO_DEPARTURE, "more vehicles"),
        (reasons.NOT_IN_TIME, "another time"),
        ("no vehicle has frozen", "Let a vehicle carry it"),
        ("its coordinates are not on Earth", "ordered again"),
        ("its delivery window closes before it opens", "ordered again"),
        ("something that nobody thought of", "Look into its order"),
    ],
)
def test_for_each_reason_there_is_something_to_do(reason, what):
    assert what in reasons.remedy(reason)


# --- days ---------------------------------------------------------------------------------


def test_what_does_not_fit_today_goes_tomorrow(settings):
    settings.PLANNING_SOLVE_SECONDS = 5
    depot = make_depot(kg=10)
    make_shipments(4)
    run = plan(depot)
    assert (run.planned, run.unplanned) == (4, 0)
    first, second = Route.objects.order_by("day")
    assert second.day == first.day + timedelta(days=1)
    assert (first.load_kg, second.load_kg) == (10, 10)
    assert second.starts_at > first.ends_at


def test_no_vehicle_is_booked_twice_for_what_is_planned_one_after_the_other():
    depot = make_depot(vehicles=2)
    for number in range(1, 7):
        make_shipments(1, first=number)
        plan(depot)
        if number == 3:
            freeze_route(route_id=Route.objects.latest("pk").pk, frozen=True)
    routes = list(Route.objects.order_by("vehicle", "starts_at"))
    assert sum(route.stops.count() for route in routes) == 6
    assert 1 < len(routes) < 6
    for one, next_ in pairwise(routes):
        assert one.vehicle_id != next_.vehicle_id or one.ends_at < next_.starts_at
    books_balance()


@pytest.mark.parametrize(("dispatched", "free"), [(True, 0), (False, 1)])
def test_a_vehicle_that_is_late_is_not_back_yet(dispatched, free):
    """It should have been back an hour ago, in a shift that goes on."""
    route = planned_route(1)
    Vehicle.objects.update(shift_start="00:00", shift_hours=24)
    now = timezone.now()
    if dispatched:
        driving.dispatch_route(route_id=route.pk)
    past = {"starts_at": now - timedelta(hours=4), "ends_at": now - timedelta(hours=1)}
    Route.objects.update(**past)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    assert len(problem_of(route.depot, today, []).vehicles) == free
    tomorrow = today + timedelta(days=1)
    assert len(problem_of(route.depot, tomorrow, []).vehicles) == 1


def busy_until(route, hours):
    """On its way, back that many hours from now."""
    driving.dispatch_route(route_id=route.pk)
    Route.objects.filter(pk=route.pk).update(ends_at=timezone.now() + timedelta(hours=hours))
    return Route.objects.get(pk=route.pk)


def test_a_vehicle_makes_a_second_tour_after_it_has_turned_around(settings):
    settings.TURN_AROUND_MINUTES = 45
    first = busy_until(planned_route(1), 2)
    make_shipments(2, first=2)
    plan(first.depot)
    second = stop_of(2).route
    assert (second.vehicle, second.day) == (first.vehicle, first.day)
    assert second.starts_at >= first.ends_at + timedelta(minutes=45)
    books_balance()


def test_a_tour_is_planned_into_the_longest_time_between_two_others(settings):
    """Frozen ones, which planning leaves alone."""
    settings.TURN_AROUND_MINUTES = 30
    depot = make_depot(hours=12)
    now = timezone.now()
    run = start(depot)
    for begins, ends in ((0, 1), (5, 9)):
        times = {"starts_at": now + timedelta(hours=begins), "ends_at": now + timedelta(hours=ends)}
        depot.routes.create(
            run=run,
            vehicle=depot.vehicles.get(active=True),
            day=now.date(),
            frozen=True,
            **times,
            **dict.fromkeys(("distance_km", "load_kg", "load_m3"), 0.0),
        )
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    (vehicle,) = problem_of(depot, today, []).vehicles
    free = [today + timedelta(seconds=s) - now for s in (vehicle.start_s, vehicle.end_s)]
    expected = [timedelta(hours=1.5), timedelta(hours=4.5)]
    assert all(abs(a - b) < timedelta(seconds=2) for a, b in zip(free, expected, strict=True))


def test_a_vehicle_with_too_little_left_of_its_shift_leaves_the_next_day():
    first = busy_until(planned_route(1), 8)
    make_shipments(1, first=2)
    plan(first.depot)
    assert stop_of(2).route.day == first.day + timedelta(days=1)


def test_a_vehicle_that_is_back_early_is_free_again():
    route = planned_route(1)
    driving.dispatch_route(route_id=route.pk)
    driving.complete_route(route_id=route.pk)
    make_shipments(1, first=2)
    plan(route.depot)
    again = Route.objects.exclude(pk=route.pk).get()
    assert again.day == route.day


def test_no_tour_begins_in_the_past_or_at_a_shifts_end():
    depot = make_depot()
    now = datetime(2026, 5, 4, 16, 30, tzinfo=UTC)

    def free(hour, minute, second=0):
        moment = now.replace(hour=hour, minute=minute, second=second)
        vehicles = Fleet.read(depot, moment, own=Q()).of_day(now.replace(hour=0, minute=0))
        return [(v.start_s, v.end_s) for v in vehicles]

    Vehicle.objects.update(shift_start="08:00", shift_hours=10)
    assert free(6, 0) == [(8 * 3600, 18 * 3600)]
    assert free(9, 0, 30) == [(9 * 3600 + 30, 18 * 3600)]
    assert free(16, 0) == [(16 * 3600, 18 * 3600)]
    assert free(16, 1) == []
    Vehicle.objects.update(shift_hours=1)
    assert free(8, 0) == [(8 * 3600, 9 * 3600)]
    assert free(8, 1) == []
    Vehicle.objects.update(shift_start="22:00", shift_hours=8)
    assert free(23, 0) == [(23 * 3600, 30 * 3600)]


# --- bounded time -------------------------------------------------------------------------


def test_a_run_ends_with_its_time_and_the_next_goes_on_where_it_ended(settings):
    settings.PLANNING_SOLVE_SECONDS = 0.1
    make_depot(kg=15)
    make_shipments(10)
    settle()
    runs = []
    while due_codes():
        runs += plan_due_depots()
        assert len(runs) < 10
    assert [run.planned for run in runs] == [3, 3, 3, 1]
    assert [run.cut_short for run in runs] == [True, True, True, False]
    assert {s.state for s in Shipment.objects.all()} == {"planned"}
    assert "shipment_unplannable" not in told()


def test_what_a_run_had_no_time_for_waits_for_no_quiet(settings):
    settings.PLANNING_SOLVE_SECONDS = 0.1
    settings.PLANNING_QUIET, settings.PLANNING_PATIENCE = 1000, 3000
    depot = make_depot(kg=15)
    make_shipments(4)
    assert due_codes() == []
    assert plan(depot).cut_short
    assert due_codes() == ["mill"]
    assert not plan(depot).cut_short
    make_shipments(1, first=5)
    assert due_codes() == []


def test_a_run_of_many_days_searches_no_longer_than_it_may(settings, monkeypatch):
    """Whatever the settings say."""
    settings.PLANNING_SOLVE_SECONDS = 600
    monkeypatch.setattr(planning, "LONGEST_SEARCH", 0.3)
    depot = make_depot(kg=15)
    make_shipments(60)
    run = plan(depot)
    assert run.cut_short and 0 < run.planned < 60


def test_a_run_without_progress_leaves_nothing_to_the_next(settings, monkeypatch):
    settings.PLANNING_SOLVE_SECONDS = 0.1
    depot = make_depot()
    make_shipments(3, kg=5000)
    monkeypatch.setattr(planning, "LONGEST_SEARCH", 0.0)
    run = plan(depot)
    assert (run.planned, run.cut_short) == (0, False)
    assert due_codes() == []


def test_of_too_many_the_untried_come_before_those_that_can_not_be_planned(monkeypatch):
    monkeypatch.setattr("routing.days.RUN_SHIPMENTS", 3)
    depot = make_depot()
    make_shipments(3, kg=5000, requested_until=(timezone.now() + timedelta(days=1)).isoformat())
    plan(depot)
    make_shipments(2, first=4)
    run = plan(depot)
    assert (run.shipments, run.planned) == (3, 2)
    assert (state(4), state(5)) == ("planned", "planned")


def test_a_day_takes_no_more_than_one_problem_bears_and_the_next_day_the_rest(monkeypatch):
    depot = make_depot()
    make_shipments(2)
    plan(depot)
    monkeypatch.setattr("routing.days.RUN_SHIPMENTS", 3)
    make_shipments(3, first=3)
    run = plan(depot)
    assert (run.planned, run.unplanned) == (3, 0)
    days = Route.objects.order_by("day").values_list("stops__shipment", "day")
    counts = Counter(day for _, day in days)
    assert list(counts.values()) == [3, 2]


def test_a_promised_day_that_is_over_is_no_reason_not_to_plan():
    """The night's tour was promised on the day before."""
    depot = make_depot()
    [shipment] = make_shipments(1)
    until = timezone.now() + timedelta(hours=6)
    Shipment.objects.update(
        promised_day=timezone.now().date() - timedelta(days=1),
        promised_from=timezone.now(),
        promised_until=until,
        promised_eta=until,
    )
    assert plan(depot).planned == 1
    shipment.refresh_from_db()
    assert (shipment.state, shipment.promised_until) == ("planned", until)


# --- while the solver runs ----------------------------------------------------------------


def test_a_shipment_cancelled_while_the_solver_runs_is_not_stored(settings):
    """The search goes on until both cancellations have been committed."""
    settings.PLANNING_SOLVE_SECONDS = 1.5
    depot = make_depot()
    make_shipments(80)
    planner = Holding.start(lambda: plan(depot), atomic=False)
    eventually(lambda: PlanRun.objects.filter(state=RUNS.RUNNING).exists())
    hear(cancelled(3), cancelled(5))
    assert not Route.objects.exists(), "the solver was too quick for this test"
    run = planner.result(60)
    assert (run.state, run.planned) == (RUNS.DONE, Shipment.objects.filter(state="planned").count())
    assert (state(3), state(5)) == ("cancelled", "cancelled")
    assert not Stop.objects.filter(shipment_id__in=[parcel(3), parcel(5)]).exists()
    route = Route.objects.earliest("day")
    count = route.stops.count()
    assert list(route.stops.values_list("position", flat=True)) == list(range(1, count + 1))
    assert route.load_kg == 5 * count
    books_balance()


def test_a_route_of_which_all_is_cancelled_is_not_stored(settings):
    settings.PLANNING_SOLVE_SECONDS = 1.5
    depot = make_depot()
    make_shipments(3)
    run = planning._start_run(depot)
    start = next(planning.days_ahead(depot))
    before = Current.read(depot, start)
    problem = problem_of(depot, start, list(Shipment.objects.all()))
    plan = planning._solve(run, problem, None)
    hear(*(cancelled(n) for n in (1, 2, 3)))
    with transaction.atomic():
        outcome = storing.store(run=run, before=before, problem=problem, plan=plan, why="test")
    assert outcome.planned == set()
    assert not Route.objects.exists()


def test_storing_waits_for_a_cancellation_that_is_not_yet_committed(settings):
    depot = make_depot()
    make_shipments(2)
    holding = Holding(lambda: hear(cancelled(1)))
    planner = Holding.start(lambda: plan(depot), atomic=False)
    eventually(blocked_sessions)
    holding.let_go()
    assert planner.result(20).planned == 1
    assert (state(1), state(2)) == ("cancelled", "planned")
    books_balance()


def test_planning_holds_no_lock_while_it_searches(settings):
    """Else whoever cancels would wait for the search to end."""
    settings.PLANNING_SOLVE_SECONDS = 2
    depot = make_depot()
    make_shipments(80)
    ended = threading.Event()
    planner = Holding.start(lambda: plan(depot), atomic=False)
    planner.add_done_callback(lambda _: ended.set())
    eventually(lambda: PlanRun.objects.filter(state=RUNS.RUNNING).exists())
    hear(cancelled(1))
    assert state() == "cancelled"
    assert not ended.is_set()
    planner.result(60)
