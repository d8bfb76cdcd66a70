"""A route from the yard to its end."""

import pytest

from routing import driving
from routing.driving import MAX_ATTEMPTS, RouteNotPlanned, StopNotPending
from routing.models import Route, Shipment, Stop

from .conftest import (
    at_once,
    books_balance,
    cancelled,
    data_of,
    hear,
    order,
    parcel,
    plan,
    planned_route,
    state,
    stop_of,
    told,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def route():
    return planned_route(2)


@pytest.fixture
def on_its_way(route):
    return driving.dispatch_route(route_id=route.pk)


def test_a_dispatched_route_takes_its_shipments_along(route):
    before = len(told())
    driving.dispatch_route(route_id=route.pk)
    route.refresh_from_db()
    assert route.state == Route.State.DISPATCHED
    assert state(1) == state(2) == "dispatched"
    assert told(since=before) == [*["shipment_dispatched"] * 2, "route_dispatched"]
    tale = data_of("route_dispatched")[0]
    assert set(tale["shipments"]) == {str(parcel(1)), str(parcel(2))}
    books_balance()


def test_only_a_planned_route_is_dispatched(on_its_way):
    with pytest.raises(RouteNotPlanned, match="dispatched"):
        driving.dispatch_route(route_id=on_its_way.pk)
    driving.complete_route(route_id=on_its_way.pk)
    with pytest.raises(RouteNotPlanned, match="completed"):
        driving.dispatch_route(route_id=on_its_way.pk)


def test_a_route_with_no_stop_left_is_just_closed(route):
    hear(cancelled(1), cancelled(2))
    before = len(told())
    assert driving.dispatch_route(route_id=route.pk).state == Route.State.COMPLETED
    assert told(since=before) == []


def test_stops_are_handed_over_one_by_one_and_the_last_completes_the_route(on_its_way):
    before = len(told())
    stop = driving.deliver_stop(stop_id=stop_of(1).pk)
    assert (stop.state, state(1), state(2)) == ("delivered", "delivered", "dispatched")
    assert told(since=before) == ["stop_delivered"]
    on_its_way.refresh_from_db()
    assert on_its_way.state == Route.State.DISPATCHED
    driving.deliver_stop(stop_id=stop_of(2).pk)
    on_its_way.refresh_from_db()
    assert on_its_way.state == Route.State.COMPLETED
    assert data_of("route_completed") == [
        {"route_id": str(on_its_way.pk), "depot": "mill", "delivered": 2, "failed": 0}
    ]
    assert data_of("stop_delivered")[0]["order_id"] == str(order(1))
    books_balance()


@pytest.mark.parametrize("end", ["deliver", "fail"])
def test_a_stop_ends_once_and_only_on_the_way(route, end):
    def act():
        if end == "deliver":
            return driving.deliver_stop(stop_id=stop_of(1).pk)
        return driving.fail_stop(stop_id=stop_of(1).pk, reason="nobody in")

    with pytest.raises(StopNotPending, match="pending and its route planned"):
        act()
    driving.dispatch_route(route_id=route.pk)
    act()
    before = told()
    with pytest.raises(StopNotPending):
        act()
    assert told() == before


def test_a_failed_delivery_is_planned_again_and_at_last_returned(on_its_way):
    before = len(told())
    driving.fail_stop(stop_id=stop_of(1).pk, reason="nobody in")
    assert (stop_of(1).state, stop_of(1).reason, state(1)) == ("failed", "nobody in", "open")
    assert told(since=before) == ["stop_failed"]
    driving.deliver_stop(stop_id=stop_of(2).pk)
    assert plan(on_its_way.depot).planned == 1
    again = Route.objects.exclude(pk=on_its_way.pk).get()
    driving.dispatch_route(route_id=again.pk)
    before = len(told())
    pending = Stop.objects.get(state=Stop.State.PENDING)
    driving.fail_stop(stop_id=pending.pk, reason="still nobody in")
    assert (state(1), Shipment.objects.get(pk=parcel(1)).attempts) == ("returned", MAX_ATTEMPTS)
    assert told(since=before) == ["stop_failed", "shipment_returned", "route_completed"]
    assert [(d["attempt"], d["final"]) for d in data_of("stop_failed")] == [(1, False), (2, True)]
    books_balance()


def test_a_whole_route_is_completed_at_once():
    route = planned_route(4)
    driving.dispatch_route(route_id=route.pk)
    hear(cancelled(3))
    before = len(told())
    driving.complete_route(route_id=route.pk, failures={parcel(2): "nobody in", parcel(4): ""})
    assert [state(n) for n in (1, 2, 3, 4)] == ["delivered", "open", "returned", "open"]
    assert stop_of(3).reason == "recalled"
    assert sorted(told(since=before)) == [
        "route_completed",
        "shipment_returned",
        "stop_delivered",
        "stop_failed",
        "stop_failed",
        "stop_failed",
    ]
    with pytest.raises(RouteNotPlanned, match="not on its way"):
        driving.complete_route(route_id=route.pk)
    books_balance()


def test_a_long_reason_is_cut(on_its_way):
    driving.fail_stop(stop_id=stop_of(1).pk, reason="x" * 1000)
    assert len(stop_of(1).reason) == 300


# --- at once ------------------------------------------------------------------------------


def test_one_of_many_dispatches_at_once_succeeds(route):
    results = at_once(*[lambda: driving.dispatch_route(route_id=route.pk)] * 4)
    assert sum(isinstance(result, RouteNotPlanned) for result in results) == 3
    assert told().count("route_dispatched") == 1
    books_balance()


def test_a_stop_that_is_ended_in_two_ways_at_once_ends_in_one(on_its_way):
    stop = stop_of(1).pk
    results = at_once(
        lambda: driving.deliver_stop(stop_id=stop),
        lambda: driving.fail_stop(stop_id=stop, reason="nobody in"),
        lambda: driving.deliver_stop(stop_id=stop),
    )
    assert sum(isinstance(result, StopNotPending) for result in results) == 2
    assert told().count("stop_delivered") + told().count("stop_failed") == 1
    books_balance()


def test_the_last_stops_ended_at_once_complete_the_route_once(on_its_way):
    results = at_once(
        lambda: driving.deliver_stop(stop_id=stop_of(1).pk),
        lambda: driving.deliver_stop(stop_id=stop_of(2).pk),
    )
    assert all(isinstance(result, Stop) for result in results), results
    assert told().count("route_completed") == 1
    books_balance()
