"""Plans that change: what is open is planned again from the plan as it stands, what is frozen or
has left stays as it is, and who is concerned is told, nobody else."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from conftest import eventually
from routing import driving, planning
from routing.driving import RouteNotPlanned, freeze_route
from routing.due import due_runs
from routing.models import Alert, Depot, Plan, PlanRun, Route, Shipment, Stop, Vehicle
from routing.moving import move_stop
from routing.planning import plan_depot, plan_due_depots
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
    settle,
    state,
    stop_of,
    told,
)
from .test_travel import Server

pytestmark = pytest.mark.django_db(transaction=True)


def triggers():
    return [(depot.code, why) for depot, why in due_runs(timezone.now())]


def picture(route):
    """All that a route is, but for when planning looked at it."""
    row = Route.objects.filter(pk=route.pk).values().get()
    row.pop("planned_at")
    return row, list(route.stops.order_by("position").values())


def quiet_now(settings):
    settings.PLANNING_QUIET = 0


# --- from the plan as it stands -----------------------------------------------------------


def test_a_new_shipment_joins_the_route_that_is_there():
    route = planned_route(3)
    stops = {stop.shipment_id: stop.pk for stop in route.stops.all()}
    before = len(told())
    make_shipments(1, first=4, near=0.2)
    assert plan(route.depot).planned == 1
    again = Route.objects.get()
    assert (again.pk, again.state, again.load_kg) == (route.pk, "planned", 20)
    now = {stop.shipment_id: stop.pk for stop in again.stops.all()}
    assert {pk: now[pk] for pk in stops} == stops, "a stop keeps its key"
    assert list(again.stops.values_list("position", flat=True)) == [1, 2, 3, 4]
    assert told(since=before)[-1] == "route_planned"
    tale = data_of("route_planned")[-1]
    assert (tale["version"], len(tale["shipments"])) == (2, 4)
    books_balance()


def test_who_keeps_place_and_time_is_told_nothing():
    route = planned_route(3)
    make_shipments(1, first=4, near=0.02)
    plan(route.depot)
    before = len(told())
    run = plan(route.depot)
    assert (run.moved, run.fell_out) == (0, 0)
    assert told(since=before) == []


def test_an_eta_is_told_again_only_beyond_the_threshold(settings):
    route = planned_route(3)
    last = route.stops.latest("position")
    small = last.eta + timedelta(minutes=settings.ETA_THRESHOLD_MINUTES - 1)
    large = last.eta + timedelta(minutes=settings.ETA_THRESHOLD_MINUTES + 1)
    for told_eta, times in ((small, 0), (large, 1)):
        Shipment.objects.filter(pk=last.shipment_id).update(told_eta=told_eta)
        before = len(told())
        plan(route.depot)
        assert told(since=before).count("eta_changed") == times
    (tale,) = data_of("eta_changed")
    assert (tale["shipment_id"], tale["reason"]) == (str(last.shipment_id), "planned again")
    plan(route.depot)
    assert told().count("eta_changed") == 1


def test_versions_are_kept_to_compare_with():
    route = planned_route(2)
    make_shipments(1, first=3)
    plan(route.depot)
    first, second = Plan.objects.order_by("version")
    assert [(p.version, p.stops, p.why) for p in (first, second)] == [
        (1, 2, "by hand"),
        (2, 3, "by hand"),
    ]
    assert len(first.routes[0]["stops"]) == 2 and first.routes[0]["route"] == str(route.pk)
    plan(route.depot)
    assert Plan.objects.count() == 2, "nothing has changed"


def test_old_versions_are_forgotten(monkeypatch):
    monkeypatch.setattr("routing.storing.KEPT_VERSIONS", 2)
    route = planned_route(1)
    for number in (2, 3, 4):
        make_shipments(1, first=number)
        plan(route.depot)
    assert list(Plan.objects.order_by("version").values_list("version", flat=True)) == [3, 4]


def test_a_tick_changes_a_plan_only_where_it_gains(settings):
    """What fits in between is put there; a detour of some metres is no reason to call anybody."""
    quiet_now(settings)
    depot = make_depot()
    for number in range(1, 5):
        make_shipments(1, first=number, near=0.1 + number * 0.0003)
    plan(depot)
    route = Route.objects.get()
    first, second = route.stops.filter(position__in=(2, 3))
    move_stop(stop_id=second.pk, route_id=route.pk, position=2)
    mine = [stop.shipment_id for stop in route.stops.order_by("position")]
    assert mine[1:3] == [second.shipment_id, first.shipment_id]
    make_shipments(1, first=5, near=0.05)
    settle()
    (run,) = plan_due_depots()
    assert (run.planned, run.moved, run.trigger) == (1, 0, "burst over")
    order = route.stops.order_by("position").values_list("shipment_id", flat=True)
    assert [pk for pk in order if pk != parcel(5)] == mine
    plan(depot)
    order = route.stops.order_by("position").values_list("shipment_id", flat=True)
    assert [pk for pk in order if pk != parcel(5)] != mine, "by hand it is the best"


# --- what stays as it is ------------------------------------------------------------------


@pytest.mark.parametrize("how", ["dispatched", "frozen"])
def test_cancelled_and_late_orders_change_only_what_is_open(settings, how):
    """The replay that the dispatcher must be able to trust."""
    quiet_now(settings)
    depot = make_depot(vehicles=3, kg=20)
    make_shipments(8)
    plan(depot)
    kept, *others = Route.objects.order_by("pk")
    assert others, "more than one route"
    if how == "dispatched":
        driving.dispatch_route(route_id=kept.pk)
    else:
        freeze_route(route_id=kept.pk, frozen=True)
    mine = list(kept.stops.order_by("position").values_list("shipment_id", flat=True))
    numbers = {parcel(n): n for n in range(1, 20)}
    theirs = [n for pk, n in numbers.items() if n <= 8 and pk not in mine]
    before, tales = picture(kept), len(told())
    hear(cancelled(theirs[0]))
    make_shipments(3, first=9)
    settle()
    while triggers():
        plan_due_depots()
    assert picture(kept) == before
    assert {state(n) for n in (9, 10, 11)} == {"planned"}
    assert state(theirs[0]) == "cancelled"
    subjects = OutboxEvent.objects.filter(producer="routing").order_by("id")
    said = [row.subject for row in subjects][tales:]
    assert not {f"shipment/{pk}" for pk in mine} & set(said)
    assert f"route/{kept.pk}" not in said
    books_balance()


def test_a_cancelled_order_in_a_plan_makes_it_due_once(settings):
    quiet_now(settings)
    route = planned_route(3)
    assert triggers() == []
    hear(cancelled(2))
    assert triggers() == [("mill", "plan no longer held")]
    (run,) = plan_due_depots()
    assert (run.trigger, run.error) == ("plan no longer held", "")
    assert triggers() == []
    route.refresh_from_db()
    assert route.load_kg == 10
    pending = route.stops.filter(state=Stop.State.PENDING)
    assert list(pending.values_list("position", flat=True)) == [1, 2]
    dropped = stop_of(2)
    assert (dropped.state, dropped.reason) == ("dropped", "the order was cancelled")
    books_balance()


def test_a_route_of_which_nothing_is_left_is_withdrawn(settings):
    quiet_now(settings)
    route = planned_route(1)
    hear(cancelled(1))
    plan_due_depots()
    route.refresh_from_db()
    assert route.state == Route.State.WITHDRAWN
    assert data_of("route_withdrawn")[0]["route_id"] == str(route.pk)
    with pytest.raises(RouteNotPlanned):
        driving.dispatch_route(route_id=route.pk)
    books_balance()


def test_a_failed_stop_is_planned_into_what_is_open(settings):
    quiet_now(settings)
    depot = make_depot(vehicles=2, kg=10)
    make_shipments(4)
    plan(depot)
    first, second = Route.objects.order_by("pk")
    driving.dispatch_route(route_id=first.pk)
    freeze_route(route_id=second.pk, frozen=True)
    gone = picture(second)
    failed = first.stops.earliest("position")
    driving.fail_stop(stop_id=failed.pk, reason="nobody in")
    settle()
    plan_due_depots()
    failed.shipment.refresh_from_db()
    assert failed.shipment.state == "planned"
    assert failed.shipment.stops.filter(state=Stop.State.PENDING).get().route_id not in (
        first.pk,
        second.pk,
    )
    again = failed.shipment.stops.get(state=Stop.State.PENDING).route
    assert again.starts_at >= first.ends_at + timedelta(minutes=30), "its goods are on the road"
    assert picture(second) == gone
    books_balance()


def test_a_vehicle_that_will_not_be_back_gives_its_next_route_to_another(settings):
    quiet_now(settings)
    route = planned_route(2)
    services_vehicle = route.vehicle
    driving.dispatch_route(route_id=route.pk)
    Route.objects.update(ends_at=timezone.now() + timedelta(hours=9))  # too late for a second tour
    make_shipments(2, first=3)
    plan(route.depot)
    later = Route.objects.get(state=Route.State.PLANNED)
    assert (later.vehicle, later.day) == (services_vehicle, route.day + timedelta(days=1))
    Vehicle.objects.create(depot=route.depot, name="spare", shift_start="00:00", shift_hours=23)
    assert triggers() == []
    Route.objects.filter(pk=route.pk).update(ends_at=later.starts_at + timedelta(hours=20))
    assert triggers() == [("mill", "plan no longer held")]
    plan_due_depots()
    assert {state(3), state(4)} == {"planned"}
    assert not {stop_of(n).route.vehicle for n in (3, 4)} & {services_vehicle}
    later.refresh_from_db()
    assert later.state == Route.State.WITHDRAWN
    assert triggers() == []
    books_balance()


def test_what_falls_out_of_a_plan_is_told_with_the_reason():
    route = planned_route(2)
    Vehicle.objects.update(capacity_kg=5)
    settle()
    run = plan(route.depot)
    assert run.error == ""
    assert sorted([state(1), state(2)]) == ["planned", "planned"], "the next day takes it"
    Vehicle.objects.update(capacity_kg=4)
    run = plan(route.depot)
    assert (run.fell_out, run.unplanned) == (2, 2)
    assert {state(1), state(2)} == {"open"}
    reasons = {tale["reason"] for tale in data_of("shipment_unplannable")}
    assert reasons == {"5 kg are more than any vehicle carries"}
    assert Alert.objects.filter(kind=Alert.Kind.FELL_OUT).count() == 2
    assert told().count("staff_alerted") == 2
    assert set(Route.objects.values_list("state", flat=True)) == {"withdrawn"}
    books_balance()


def test_only_a_planned_route_is_frozen():
    route = planned_route(1)
    assert freeze_route(route_id=route.pk, frozen=True).frozen
    assert not freeze_route(route_id=route.pk, frozen=False).frozen
    driving.dispatch_route(route_id=route.pk)
    with pytest.raises(RouteNotPlanned, match="only a planned one can be frozen"):
        freeze_route(route_id=route.pk, frozen=True)


def test_a_frozen_route_can_be_dispatched():
    route = planned_route(1)
    freeze_route(route_id=route.pk, frozen=True)
    driving.dispatch_route(route_id=route.pk)
    assert state(1) == "dispatched"


# --- late on the road ---------------------------------------------------------------------


@pytest.fixture
def server():
    found = Server()
    yield found
    found.close()


def test_a_late_vehicles_times_are_those_of_the_map_server(settings, server):
    """It says 6,000 s a degree; the estimate is a third more."""
    settings.TRAVEL_URL = server.url
    depot = make_depot()
    make_shipments(1, near=0.1)
    make_shipments(1, first=2, near=0.3)
    plan(depot)
    route = Route.objects.get()
    driving.dispatch_route(route_id=route.pk)
    hour = timedelta(hours=1)
    for stop in route.stops.all():
        earlier = stop.eta - hour
        Stop.objects.filter(pk=stop.pk).update(eta=earlier, planned_eta=earlier)
    Route.objects.update(ends_at=timezone.now(), planned_ends_at=None)
    first, second = route.stops.order_by("position")
    driving.deliver_stop(stop_id=first.pk)
    second.refresh_from_db()
    drive = second.eta - timezone.now()
    north = abs(first.shipment.latitude - second.shipment.latitude)
    assert abs(drive.total_seconds() - 6000 * north) < 30
    route.refresh_from_db()
    back = 6000 * (second.shipment.latitude - depot.latitude)
    assert abs((route.ends_at - second.eta).total_seconds() - 300 - back) < 30


def test_a_late_vehicle_is_back_where_its_tours_end():
    depot, end = make_depot(), make_depot("quarry", vehicles=1)
    Depot.objects.filter(pk=end.pk).update(latitude=54.5)
    depot.vehicles.update(end_depot=end)
    make_shipments(1, near=0.3)
    make_shipments(1, first=2, near=0.31)
    plan(depot)
    route = Route.objects.get()
    driving.dispatch_route(route_id=route.pk)
    planned = route.ends_at - route.stops.latest("position").eta
    Route.objects.update(ends_at=timezone.now(), planned_ends_at=None)
    earlier = F("eta") - timedelta(hours=1)
    Stop.objects.update(eta=earlier, planned_eta=earlier)
    driving.deliver_stop(stop_id=route.stops.earliest("position").pk)
    route.refresh_from_db()
    late = route.ends_at - route.stops.latest("position").eta
    assert abs(late - planned) < timedelta(minutes=1)


@pytest.fixture
def on_the_road(monkeypatch, settings):
    """A clock, a route that leaves in time, and its four stops as planned."""
    # The first search of a process takes its time to begin.
    settings.PLANNING_SOLVE_SECONDS = 6.0
    monkeypatch.setattr(planning, "SEARCH_BASE", 2.0)

    class Clock:
        now = datetime(2031, 5, 5, 7, tzinfo=UTC)

    monkeypatch.setattr(timezone, "now", lambda: Clock.now)
    depot = make_depot()
    for number in range(1, 5):
        make_shipments(1, first=number, near=number / 10)
    assert plan(depot).planned == 4
    route = driving.dispatch_route(route_id=Route.objects.get().pk)
    return Clock, route, list(route.stops.order_by("position"))


def test_who_answers_late_but_drives_in_time_is_not_late(on_the_road):
    clock, route, stops = on_the_road
    clock.now = stops[2].eta
    driving.deliver_stop(stop_id=stops[0].pk)
    told_late = data_of("eta_changed")
    assert {tale["reason"] for tale in told_late} == {"the vehicle is late"}
    assert Stop.objects.get(pk=stops[3].pk).eta > stops[3].eta + timedelta(minutes=30)
    for stop in stops[1:3]:
        clock.now += timedelta(seconds=20)
        driving.deliver_stop(stop_id=stop.pk)
    last = Stop.objects.get(pk=stops[3].pk)
    assert last.eta == stops[3].eta, "as planned, though not earlier"
    assert last.shipment.told_eta == last.eta
    assert data_of("eta_changed")[-1]["reason"] == "the vehicle has caught up"
    assert Route.objects.get().ends_at == route.ends_at
    books_balance()


def test_an_answer_that_comes_after_a_newer_one_says_nothing_of_now(on_the_road):
    clock, _, stops = on_the_road
    clock.now = late = stops[1].eta + timedelta(hours=1)
    driving.deliver_stop(stop_id=stops[1].pk)
    clock.now += timedelta(minutes=1)
    driving.deliver_stop(stop_id=stops[0].pk, proof=driving.Proof(at=stops[0].eta))
    assert Stop.objects.get(pk=stops[2].pk).eta > late
    books_balance()


# --- when ---------------------------------------------------------------------------------


def test_many_waiting_are_planned_at_once(settings):
    settings.PLANNING_QUIET, settings.PLANNING_PATIENCE = 1000, 3000
    settings.PLANNING_NUMBER = 3
    make_depot()
    make_shipments(2)
    assert triggers() == []
    make_shipments(1, first=3)
    assert triggers() == [("mill", "many waiting")]


def test_at_the_cut_off_all_that_waits_is_planned(settings):
    settings.PLANNING_QUIET, settings.PLANNING_PATIENCE = 80_000, 86_400
    depot = make_depot()
    make_shipments(1)
    now = timezone.now().replace(hour=12, minute=0)
    Depot.objects.update(cut_off="13:00")
    Shipment.objects.update(ready_at=now)
    assert due_runs(now) == []
    later = now.replace(hour=13, minute=1)
    assert [why for _, why in due_runs(later)] == ["cut-off"]
    Depot.objects.update(cut_off="13:00", time_zone="Asia/Tokyo")  # 04:00 UTC
    assert [why for _, why in due_runs(now)] == ["cut-off"]
    PlanRun.objects.create(depot=depot, state="done", started_at=now, expires_at=now)
    assert due_runs(later) == []


def test_what_comes_after_the_cut_off_leaves_the_next_day():
    depot = make_depot()
    Depot.objects.update(cut_off="00:00")
    make_shipments(1)
    shipment = Shipment.objects.get()
    tomorrow = (timezone.now() + timedelta(days=1)).date()
    assert shipment.release_at and shipment.release_at.date() == tomorrow
    plan(depot)
    assert stop_of(1).eta.date() == tomorrow


# --- at once ------------------------------------------------------------------------------


def test_two_runs_at_once_change_a_plan_once(settings):
    settings.PLANNING_SOLVE_SECONDS = 1.0
    route = planned_route(2)
    make_shipments(4, first=3)
    runs = at_once(*[lambda: plan_depot(depot=route.depot)] * 4)
    assert [run.planned for run in runs if run] == [4]
    assert Plan.objects.latest("version").version == 2
    books_balance()


def test_a_route_dispatched_while_the_planner_searches_stays_as_it_left(settings):
    depot = make_depot(vehicles=2)
    make_shipments(40)
    plan(depot)
    route = Route.objects.get()
    make_shipments(5, first=41)
    settings.PLANNING_SOLVE_SECONDS = 2.0
    planner = Holding.start(lambda: plan(depot), atomic=False)
    eventually(lambda: PlanRun.objects.filter(state="running").exists())
    driving.dispatch_route(route_id=route.pk)
    left = picture(route)
    run = planner.result(60)
    assert (run.state, run.planned) == ("done", 5), run.error
    assert picture(route) == left
    assert {state(n) for n in range(41, 46)} == {"planned"}
    books_balance()


def test_storing_waits_for_a_dispatch_that_is_not_yet_committed():
    route = planned_route(2)
    make_shipments(1, first=3)
    holding = Holding(lambda: driving.dispatch_route(route_id=route.pk))
    planner = Holding.start(lambda: plan(route.depot), atomic=False)
    eventually(blocked_sessions)
    holding.let_go()
    run = planner.result(20)
    assert (run.error, run.planned) == ("", 1)
    assert stop_of(3).route_id != route.pk
    assert (state(1), state(3)) == ("dispatched", "planned")
    books_balance()


def test_dispatching_waits_for_a_plan_that_is_being_stored(settings):
    """And then takes along what the new plan says."""
    route = planned_route(2)
    make_shipments(1, first=3)
    started = Holding(lambda: plan(route.depot))
    dispatch = Holding.start(lambda: driving.dispatch_route(route_id=route.pk))
    eventually(blocked_sessions)
    started.let_go()
    dispatch.result(20)
    assert {state(n) for n in (1, 2, 3)} == {"dispatched"}
    assert len(data_of("route_dispatched")[0]["shipments"]) == 3
    books_balance()


def test_an_order_cancelled_while_its_route_is_planned_again_leaves_the_plan(settings):
    settings.PLANNING_SOLVE_SECONDS = 1.5
    depot = make_depot()
    make_shipments(40)
    plan(depot)
    make_shipments(3, first=41)
    planner = Holding.start(lambda: plan(depot), atomic=False)
    eventually(lambda: PlanRun.objects.filter(state="running").exists())
    hear(cancelled(3), cancelled(41))
    run = planner.result(60)
    assert run.error == ""
    assert (state(3), state(41), state(42)) == ("cancelled", "cancelled", "planned")
    route = Route.objects.get()
    pending = route.stops.filter(state=Stop.State.PENDING)
    assert list(pending.values_list("position", flat=True)) == list(range(1, 42))
    assert route.load_kg == 5 * 41
    books_balance()


def test_a_freeze_and_a_run_at_once_agree(settings):
    route = planned_route(2)
    make_shipments(2, first=3)
    at_once(
        lambda: plan_depot(depot=route.depot),
        lambda: freeze_route(route_id=route.pk, frozen=True),
        lambda: hear(cancelled(1)),
    )
    settle()
    plan(route.depot)
    assert {state(n) for n in (2, 3, 4)} == {"planned"}
    assert state(1) == "cancelled"
    books_balance()
