"""What time has gone past: late routes, routes that nobody dispatched, windows that were missed."""

from datetime import timedelta

import pytest
from django.utils import timezone

from routing import driving
from routing.alerting import see_alert
from routing.due import due_runs
from routing.models import Alert, Depot, Route, Shipment, Stop, Vehicle
from routing.planning import plan_due_depots

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
    planned_route,
    settle,
    state,
    stop_of,
    told,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_quiet(settings):
    settings.PLANNING_QUIET = 0


def move_back(route, hours, *, ends=None):
    """As if it had been planned so many hours ago, to leave right then."""
    then = timezone.now() - timedelta(hours=hours)
    ends = timezone.now() - timedelta(hours=ends) if ends is not None else route.ends_at
    Route.objects.filter(pk=route.pk).update(starts_at=then, planned_at=then, ends_at=ends)


def alerts(kind):
    return Alert.objects.filter(kind=kind).count()


def test_a_route_that_should_have_left_is_told_once_and_planned_again(settings):
    route = planned_route(2)
    Vehicle.objects.update(shift_start="00:00", shift_hours=47)
    move_back(route, 2)
    assert [why for _, why in due_runs(timezone.now())] == ["plan no longer held"]
    plan_due_depots()
    assert alerts(Alert.Kind.NOT_DISPATCHED) == 1
    route.refresh_from_db()
    assert route.starts_at > timezone.now() - timedelta(minutes=1)
    assert all(stop.eta > timezone.now() for stop in route.stops.all())
    plan_due_depots()
    assert told().count("staff_alerted") == 1
    assert due_runs(timezone.now()) == []
    books_balance()


@pytest.mark.parametrize("frozen", [False, True])
def test_a_route_that_nobody_dispatched_is_given_up_and_planned_for_another_day(frozen):
    route = planned_route(2)
    driving.freeze_route(route_id=route.pk, frozen=frozen)
    move_back(route, 9, ends=1)
    before = len(told())
    plan_due_depots()
    route.refresh_from_db()
    assert route.state == Route.State.WITHDRAWN
    said = told(since=before)
    assert said.count("shipment_delayed") == 2
    assert {tale["reason"] for tale in data_of("shipment_delayed")} == {
        "its route was never dispatched"
    }
    assert "route_withdrawn" in said and "staff_alerted" in said
    assert (state(1), state(2)) == ("planned", "planned")
    assert stop_of(1).route_id != route.pk
    assert set(route.stops.values_list("state", flat=True)) == {"dropped"}
    books_balance()


def test_who_is_cancelled_while_a_route_is_given_up_stays_cancelled():
    route = planned_route(2)
    move_back(route, 9, ends=1)
    holding = Holding(lambda: hear(cancelled(1)))
    planner = Holding.start(plan_due_depots, atomic=False)
    eventually(blocked_sessions)
    holding.let_go()
    planner.result(20)
    assert (state(1), state(2)) == ("cancelled", "planned")
    assert [tale["shipment_id"] for tale in data_of("shipment_delayed")] == [str(parcel(2))]
    books_balance()


def test_a_dispatched_route_is_late_but_not_given_up():
    route = planned_route(2)
    driving.dispatch_route(route_id=route.pk)
    move_back(route, 9, ends=1)
    plan_due_depots()
    route.refresh_from_db()
    assert route.state == Route.State.DISPATCHED
    assert not Alert.objects.exists()


def test_a_shipment_that_missed_its_window_is_planned_for_the_next_day_and_told():
    depot = make_depot()
    over = timezone.now() - timedelta(minutes=1)
    make_shipments(1, requested_until=over.isoformat())
    make_shipments(1, first=2)
    settle()
    plan_due_depots()
    settle()
    plan_due_depots()
    assert (state(1), state(2)) == ("planned", "planned")
    tale = data_of("shipment_delayed")[0]
    assert tale["shipment_id"] == str(parcel(1))
    assert tale["reason"] == "its window was over before it could be planned"
    tomorrow = timezone.now().date() + timedelta(days=1)
    assert stop_of(1).eta.date() == tomorrow
    assert stop_of(2).route.day == tomorrow - timedelta(days=1)
    assert alerts(Alert.Kind.WINDOW_MISSED) == 1
    plan(depot)
    assert told().count("shipment_delayed") == 1
    books_balance()


def test_what_cannot_be_ended_keeps_nothing_else_from_being_done_and_is_raised():
    over = timezone.now() - timedelta(minutes=1)
    make_depot("moor")
    make_shipments(1, depot="moor", requested_until=over.isoformat())
    Depot.objects.update(time_zone="Not/Known")  # to this machine, any more
    make_depot("mill")
    make_shipments(2, first=2)
    row = Shipment.objects.filter(pk=parcel(3))
    row.update(promised_from=over - timedelta(hours=2), promised_until=over)
    settle()
    with pytest.raises(ExceptionGroup) as raised:
        plan_due_depots()
    assert "Not/Known" in str(raised.value.exceptions)
    assert (state(2), state(3)) == ("planned", "planned")
    assert [tale["shipment_id"] for tale in data_of("shipment_delayed")] == [str(parcel(3))]
    books_balance()


def test_a_window_missed_after_an_attempt_is_no_news():
    make_depot()
    over = timezone.now() - timedelta(minutes=1)
    make_shipments(1, requested_until=over.isoformat())
    Shipment.objects.update(attempts=1)
    plan_due_depots()
    assert "shipment_delayed" not in told()


def test_an_alert_is_seen_once_and_may_come_again():
    planned_route(1)
    route = Route.objects.get()
    move_back(route, 2)
    driving.freeze_route(route_id=route.pk, frozen=True)
    plan_due_depots()
    alert = Alert.objects.get()
    assert see_alert(alert_id=alert.pk, by="ann").seen_by == "ann"
    assert see_alert(alert_id=alert.pk, by="bob").seen_by == "ann"
    plan_due_depots()
    assert Alert.objects.count() == 1, "that it is late was said and seen"
    move_back(route, 9, ends=1)
    plan_due_depots()
    assert Alert.objects.count() == 2, "that it was given up is news"


# --- late on its way ------------------------------------------------------------------------


def test_a_late_vehicle_tells_those_it_has_yet_to_visit():
    route = planned_route(3)
    driving.dispatch_route(route_id=route.pk)
    assert "eta_changed" not in told()
    hour_ago = timezone.now() - timedelta(hours=1)
    for number, stop in enumerate(route.stops.order_by("position")):
        eta = hour_ago + timedelta(minutes=10 * number)
        Stop.objects.filter(pk=stop.pk).update(eta=eta)
        Shipment.objects.filter(pk=stop.shipment_id).update(told_eta=eta)
    Route.objects.update(starts_at=hour_ago, ends_at=timezone.now())
    first, second, third = route.stops.order_by("position")
    before = timezone.now()
    driving.deliver_stop(stop_id=first.pk)
    tales = data_of("eta_changed")
    assert [tale["shipment_id"] for tale in tales] == [
        str(second.shipment_id),
        str(third.shipment_id),
    ]
    assert {tale["reason"] for tale in tales} == {"the vehicle is late"}
    second.refresh_from_db()
    third.refresh_from_db()
    assert before < second.eta < third.eta
    route.refresh_from_db()
    assert route.ends_at > third.eta
    driving.deliver_stop(stop_id=second.pk)
    assert told().count("eta_changed") == 2, "the same delay again is no news"
    books_balance()


def test_a_late_departure_is_told():
    route = planned_route(1)
    past = timezone.now() - timedelta(hours=2)
    Route.objects.update(starts_at=past)
    Stop.objects.update(eta=past)
    Shipment.objects.update(told_eta=past)
    driving.dispatch_route(route_id=route.pk)
    assert told()[-1] == "eta_changed"
    books_balance()
