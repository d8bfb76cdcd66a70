"""What a vehicle could not hand over, until it is back at its depot."""

import threading
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from routing import driving, planning
from routing.due import due_runs
from routing.models import Alert, Route, Shipment, Stop, Vehicle
from routing.overdue import SURELY_BACK, WORTH_TELLING
from routing.planning import plan_due_depots
from routing.services import lock_shipments

from .conftest import (
    Holding,
    blocked_sessions,
    books_balance,
    cancelled,
    data_of,
    eventually,
    hear,
    make_depot,
    make_shipments,
    parcel,
    plan,
    settle,
    state,
    stop_of,
    told,
)

pytestmark = pytest.mark.django_db(transaction=True)

SEVEN = datetime(2031, 5, 5, 7, tzinfo=UTC)
TURN = timedelta(minutes=30)


@pytest.fixture
def clock(monkeypatch, settings):
    settings.PLANNING_QUIET = 0
    # The first search of a process takes its time to begin.
    settings.PLANNING_SOLVE_SECONDS = 6.0
    monkeypatch.setattr(planning, "SEARCH_BASE", 2.0)

    class Clock:
        now = SEVEN

    monkeypatch.setattr(timezone, "now", lambda: Clock.now)
    return Clock


@pytest.fixture
def leaving(clock):
    """A van on its way with three stops, while another is free."""
    depot = make_depot(vehicles=2, kg=15)
    make_shipments(1, near=0.05, requested_until="2031-05-05T07:40:00Z")
    make_shipments(1, first=2, near=0.5, requested_until="2031-05-05T09:00:00Z")
    make_shipments(1, first=3, near=0.7)
    run = plan(depot)
    reasons = set(Shipment.objects.values_list("unplannable_reason", flat=True))
    assert run.planned == 3, (run.error, reasons)
    return driving.dispatch_route(route_id=Route.objects.get().pk)


@pytest.fixture
def away(clock, leaving):
    """It could not hand over the first."""
    clock.now = stop_of(1).eta
    driving.fail_stop(stop_id=stop_of(1).pk, reason="nobody in")
    return read(leaving)


def read(route) -> Route:
    return Route.objects.get(pk=route.pk)


def shipment(number=1) -> Shipment:
    return Shipment.objects.get(pk=parcel(number))


def release() -> datetime:
    moment = shipment().release_at
    assert moment
    return moment


def planned_again() -> Route:
    settle()
    plan_due_depots()
    return Stop.objects.get(shipment_id=parcel(1), state=Stop.State.PENDING).route


def hand_over(clock, *numbers, late=timedelta()):
    for number in numbers:
        stop = stop_of(number)
        clock.now = stop.eta + late
        driving.deliver_stop(stop_id=stop.pk)


# --- leaving again --------------------------------------------------------------------------


def test_it_leaves_again_when_its_vehicle_is_back(away):
    again = planned_again()
    assert again.pk != away.pk
    assert again.starts_at >= away.ends_at + TURN
    books_balance()


def test_of_a_vehicle_that_is_back_earlier_it_can_leave_earlier(clock, away):
    expected = shipment().release_at
    assert expected == away.ends_at + TURN
    way_home = away.ends_at - stop_of(3).eta
    clock.now += timedelta(minutes=10)
    driving.complete_route(route_id=away.pk)
    assert shipment().carried_by is None
    assert shipment().release_at == clock.now + way_home + TURN < expected


def test_of_a_vehicle_that_is_back_later_it_leaves_later(clock, away):
    Vehicle.objects.filter(pk=away.vehicle_id).update(active=False)
    again = planned_again()
    hand_over(clock, 2, late=timedelta(hours=2))
    assert read(away).ends_at > away.ends_at
    assert shipment().release_at == read(away).ends_at + TURN > again.starts_at
    assert [why for _, why in due_runs(clock.now)] == ["plan no longer held"]
    later = planned_again()
    assert later.starts_at >= read(away).ends_at + TURN
    assert due_runs(clock.now) == []
    books_balance()


def test_what_another_vehicle_still_has_does_not_leave(clock, away):
    Vehicle.objects.filter(pk=away.vehicle_id).update(active=False)
    again = planned_again()
    make_shipments(1, first=4)
    plan(again.depot)
    assert stop_of(4).route == again, "they share a tour"
    clock.now = again.starts_at
    before = len(told())
    driving.dispatch_route(route_id=again.pk)
    assert (state(1), state(4)) == ("open", "dispatched")
    assert (stop_of(1).state, stop_of(1).reason) == (
        "dropped",
        f"it was still on {away.vehicle} when {again.vehicle} left",
    )
    assert data_of("route_dispatched")[1]["shipments"] == [str(parcel(4))]
    assert told(since=before)[:2] == ["shipment_delayed", "staff_alerted"]
    assert Alert.objects.get().kind == Alert.Kind.FELL_OUT
    driving.complete_route(route_id=away.pk)
    driving.dispatch_route(route_id=planned_again().pk)
    assert state(1) == "dispatched"
    books_balance()


def test_who_leaves_again_without_having_answered_has_been_back(clock, away):
    """And the driver may answer later."""
    Vehicle.objects.exclude(pk=away.vehicle_id).update(active=False)
    again = planned_again()
    assert again.vehicle == away.vehicle
    clock.now = again.starts_at
    driving.dispatch_route(route_id=again.pk)
    assert (state(1), shipment().carried_by) == ("dispatched", None)
    driving.complete_route(route_id=away.pk)
    assert state(1) == "dispatched"
    driving.fail_stop(stop_id=stop_of(1).pk, reason="nobody in")
    assert (state(1), told()[-2:]) == ("returned", ["shipment_returned", "route_completed"])
    books_balance()


def left_alone_until_home(clock, away) -> Route:
    """The van's other stops are answered together, far from the depot, just before another route
    was to leave with what it brings home; gives that one."""
    Vehicle.objects.filter(pk=away.vehicle_id).update(active=False)
    again = planned_again()
    clock.now = again.starts_at - timedelta(minutes=5)
    driving.complete_route(route_id=away.pk)
    assert shipment().carried_by is None
    assert release() > again.starts_at
    return again


def test_after_the_last_stop_a_route_that_would_leave_too_early_no_longer_holds(clock, away):
    again = left_alone_until_home(clock, away)
    assert [why for _, why in due_runs(clock.now)] == ["plan no longer held"]
    assert planned_again().starts_at >= release() > again.starts_at
    assert due_runs(clock.now) == []
    books_balance()


def test_what_is_on_its_way_home_does_not_leave(clock, away):
    again = left_alone_until_home(clock, away)
    home = release()
    driving.freeze_route(route_id=again.pk, frozen=True)
    clock.now = again.starts_at
    driving.dispatch_route(route_id=again.pk)
    assert (state(1), release()) == ("open", home)
    assert (stop_of(1).state, stop_of(1).reason) == (
        "dropped",
        f"{away.vehicle} was still on its way home with it when {again.vehicle} left",
    )
    assert told()[-2:] == ["shipment_delayed", "staff_alerted"]
    driving.dispatch_route(route_id=planned_again().pk)
    assert state(1) == "dispatched", "planned for when it is there, it leaves"
    books_balance()


def test_what_has_come_home_leaves_though_its_vehicle_has_not_turned_around(clock, away):
    again = left_alone_until_home(clock, away)
    driving.freeze_route(route_id=again.pk, frozen=True)
    clock.now = release() - TURN
    driving.dispatch_route(route_id=again.pk)
    assert state(1) == "dispatched"
    books_balance()


# --- returned -------------------------------------------------------------------------------


def test_what_is_not_tried_again_is_returned_when_its_vehicle_is_back(clock, leaving):
    Shipment.objects.update(attempts=1)
    clock.now = stop_of(1).eta
    reference = driving.Proof(reference=uuid4())
    for _ in range(2):  # the phone may say so twice
        driving.fail_stop(stop_id=stop_of(1).pk, reason="refused", proof=reference)
    assert state(1) == "returned"
    assert "shipment_returned" not in told(), "nobody may sell what is on a truck"
    hand_over(clock, 2)
    assert "shipment_returned" not in told()
    hand_over(clock, 3)
    assert told()[-2:] == ["shipment_returned", "route_completed"]
    assert [tale["shipment_id"] for tale in data_of("shipment_returned")] == [str(parcel(1))]
    driving.fail_stop(stop_id=stop_of(1).pk, reason="refused", proof=reference)
    assert told().count("shipment_returned") == 1
    books_balance()


@pytest.mark.parametrize("again", [False, True])
def test_what_is_cancelled_on_its_way_back_is_returned_when_it_is_there(clock, away, again):
    if again:
        planned_again()
    for _ in range(2):
        hear(cancelled(1))
    assert state(1) == "returned"
    assert "shipment_returned" not in told()
    driving.complete_route(route_id=away.pk)
    assert told().count("shipment_returned") == 1
    assert shipment().carried_by is None
    books_balance()


def test_what_is_cancelled_when_it_is_back_is_returned_at_once(away):
    driving.complete_route(route_id=away.pk)
    hear(cancelled(1))
    assert (state(1), told()[-1]) == ("returned", "shipment_returned")
    books_balance()


@pytest.mark.parametrize("cancelled_first", [False, True])
def test_what_is_cancelled_while_its_vehicle_comes_back_is_returned_once(away, cancelled_first):
    steps = [lambda: hear(cancelled(1)), lambda: driving.complete_route(route_id=away.pk)]
    first, second = steps if cancelled_first else reversed(steps)
    holding = Holding(first)
    waiting = Holding.start(second)
    eventually(blocked_sessions)
    holding.let_go()
    waiting.result(20)
    assert (state(1), told().count("shipment_returned")) == ("returned", 1)
    books_balance()


# --- nobody says that it is back ------------------------------------------------------------


def test_a_vehicle_of_which_nobody_says_that_it_is_back_is_taken_for_back(clock, away):
    hear(cancelled(1))
    clock.now = away.ends_at + SURELY_BACK
    plan_due_depots()
    assert "shipment_returned" not in told() and not Alert.objects.exists()
    clock.now += timedelta(seconds=1)
    for _ in range(2):
        plan_due_depots()
    assert told().count("shipment_returned") == 1
    alert = Alert.objects.get()
    assert (alert.kind, alert.subject_id) == (Alert.Kind.NOT_COMPLETED, away.pk)
    assert "and 2 of its stops have no answer" in alert.text
    assert (read(away).state, state(2)) == ("dispatched", "dispatched"), "that only people know"
    driving.complete_route(route_id=away.pk)
    assert told().count("shipment_returned") == 1
    books_balance()


def test_of_what_was_not_completed_long_ago_nobody_is_told(clock, away):
    hear(cancelled(1))
    clock.now = away.ends_at + WORTH_TELLING
    plan_due_depots()
    assert told().count("shipment_returned") == 1
    assert not Alert.objects.exists()
    clock.now -= timedelta(seconds=1)
    plan_due_depots()
    assert Alert.objects.get().kind == Alert.Kind.NOT_COMPLETED
    books_balance()


def test_vehicles_taken_for_back_and_a_cancellation_do_not_block_each_other(clock):
    depot = make_depot(vehicles=2, kg=10)
    make_shipments(4, near=0.05)
    plan(depot)
    first, second = Route.objects.order_by("pk")
    low, high = Shipment.objects.order_by("pk")[:2]
    for route in (first, second):
        driving.dispatch_route(route_id=route.pk)
    # The vehicle that is looked at first has what everybody else locks last.
    for row, route in ((high, first), (low, second)):
        Shipment.objects.filter(pk=row.pk).update(carried_by=route)
    clock.now += timedelta(days=2)
    begun, go_on = threading.Event(), threading.Event()

    def cancel():
        lock_shipments([low.pk])
        begun.set()
        assert go_on.wait(20)
        lock_shipments([high.pk])

    cancelling = Holding.start(cancel)
    assert begun.wait(20)
    planner = Holding.start(plan_due_depots, atomic=False)
    eventually(blocked_sessions)
    go_on.set()
    cancelling.result(20)
    planner.result(20)
    assert not Shipment.objects.filter(carried_by__isnull=False).exists()


def test_what_it_was_to_bring_back_can_leave_then(clock, away):
    clock.now = away.ends_at + SURELY_BACK + timedelta(hours=1)
    driving.dispatch_route(route_id=planned_again().pk)
    assert state(1) == "dispatched"
    books_balance()
