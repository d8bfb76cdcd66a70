"""Registering and cancelling: in any order, twice, and at once."""

import pytest

from conftest import eventually
from inventory.events import BackorderFilled
from routing import driving, services
from routing.models import Depot, OrderStanding, Shipment, Stop, Vehicle
from supplychain.events.models import InboxEntry

from .conftest import (
    Holding,
    at_once,
    blocked_sessions,
    books_balance,
    cancelled,
    cut,
    data_of,
    hear,
    make_depot,
    make_shipments,
    order,
    parcel,
    plan,
    planned_route,
    reserved,
    state,
    stop_of,
    told,
    warehouse,
)

pytestmark = pytest.mark.django_db(transaction=True)


# --- depots -------------------------------------------------------------------------------


def test_a_new_warehouse_is_a_depot_with_a_fleet():
    hear(warehouse("mill", latitude=1.5, name="The Mill"))
    depot = Depot.objects.get()
    assert (depot.code, depot.name, depot.latitude, depot.active) == ("mill", "The Mill", 1.5, True)
    assert depot.vehicles.count() == services.DEFAULT_VEHICLES


def test_the_newest_word_on_a_warehouse_stands_whatever_comes_last():
    hear(warehouse(sequence=3, name="new"), warehouse(sequence=2, name="middle"))
    hear(warehouse(sequence=1, name="old"))
    assert Depot.objects.get().name == "new"
    hear(warehouse(sequence=4, active=False))
    assert not Depot.objects.get().active
    assert Vehicle.objects.count() == services.DEFAULT_VEHICLES


def test_a_fleet_is_replaced_and_routes_of_retired_vehicles_stay():
    route = planned_route()
    fleet = {"vehicles": 2, "capacity_kg": 7.0, "capacity_m3": 3.0, "shift_hours": 4.0}
    Vehicle.objects.filter(active=True).update(name="bicycle")
    services.set_fleet(depot=route.depot, **fleet)
    services.set_fleet(depot=route.depot, **fleet)
    active = Vehicle.objects.filter(active=True).order_by("name")
    assert [v.name for v in active] == ["vehicle 1", "vehicle 2"]
    assert {v.capacity_kg for v in active} == {7.0}
    route.refresh_from_db()
    assert not route.vehicle.active


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e12])
@pytest.mark.parametrize("name", ["vehicles", "capacity_kg", "capacity_m3", "shift_hours"])
def test_an_impossible_fleet_is_refused(name, value):
    depot = make_depot()
    fleet = {"vehicles": 1, "capacity_kg": 1, "capacity_m3": 1, "shift_hours": 1}
    with pytest.raises(services.InvalidFleet, match=f"{name} must be above 0"):
        services.set_fleet(depot=depot, **{**fleet, name: value})
    assert depot.vehicles.get(active=True).capacity_kg == 1000


# --- registering --------------------------------------------------------------------------


def test_reserved_stock_becomes_an_open_shipment():
    make_depot()
    hear(
        reserved(
            kg=7.5,
            requested_from="2026-05-04T09:00:00Z",
            requested_until="2026-05-04T12:00:00Z",
        )
    )
    shipment = Shipment.objects.get(pk=parcel(1))
    assert (shipment.state, shipment.order_id, shipment.weight_kg) == ("open", order(1), 7.5)
    assert shipment.address == "1 Mill Lane, YO1 York, GB"
    assert f"{shipment.requested_until:%H:%M}" == "12:00"
    assert shipment.correlation_id == "journey 1"
    assert not OrderStanding.objects.get(pk=order(1)).cancelled


def test_a_shipment_knows_its_goods():
    make_depot()
    make_shipments(1, goods=[("TEA", 2), ("CUP", 1), ("TEA", 1)])
    shipment = Shipment.objects.get()
    assert shipment.items == 4
    assert shipment.goods == [{"sku": "TEA", "quantity": 3}, {"sku": "CUP", "quantity": 1}]


def test_a_filled_backorder_adds_a_shipment():
    make_depot()
    hear(reserved(1))
    hear(reserved(2, kind=BackorderFilled, order_id=str(order(1))))
    assert Shipment.objects.filter(order_id=order(1)).count() == 2


def test_a_shipment_of_a_depot_not_yet_known_is_tried_again():
    class Wire:
        sent = []

        def publish(self, messages):
            self.sent += messages
            return {}

        def close(self):
            pass

    make_depot("mill")
    outcome = hear(reserved(1), reserved(2, depot="quarry"), wire=Wire())
    assert (outcome.handled, len(outcome.retried), outcome.dead) == (1, 1, [])
    assert Wire.sent[0].delay > 0 and Wire.sent[0].routing_key == "routing"
    assert "Not known here: quarry" in outcome.retried[0]
    assert [s.pk for s in Shipment.objects.all()] == [parcel(1)]


# --- cancelling ---------------------------------------------------------------------------


def test_an_open_shipment_is_cancelled():
    make_depot()
    make_shipments(2)
    hear(cancelled(1))
    assert (state(1), state(2)) == ("cancelled", "open")
    assert told() == ["shipment_cancelled"]
    books_balance()


def test_a_cancellation_may_come_first():
    make_depot()
    hear(cancelled())
    hear(reserved())
    assert state() == "cancelled"
    assert told() == ["shipment_cancelled"]
    hear(reserved(2, kind=BackorderFilled, order_id=str(order(1))))
    assert state(2) == "cancelled"
    books_balance()


def test_a_planned_shipment_is_cancelled_and_its_stop_dropped():
    planned_route()
    hear(cancelled())
    stop = stop_of()
    assert (state(), stop.state, stop.reason) == ("cancelled", "dropped", "the order was cancelled")
    assert stop.ended_at is not None
    books_balance()


def test_what_has_left_is_recalled_and_comes_back():
    route = planned_route()
    driving.dispatch_route(route_id=route.pk)
    before = len(told())
    hear(cancelled())
    shipment = Shipment.objects.get(pk=parcel(1))
    assert (shipment.state, shipment.recalled) == ("dispatched", True)
    assert told(since=before) == []
    with pytest.raises(driving.ShipmentRecalled):
        driving.deliver_stop(stop_id=stop_of().pk)
    driving.fail_stop(stop_id=stop_of().pk, reason="cancelled")
    assert state() == "returned"
    assert told(since=before) == ["stop_failed"]
    driving.deliver_stop(stop_id=stop_of(2).pk)
    assert told(since=before)[1:] == ["stop_delivered", "shipment_returned", "route_completed"]
    assert data_of("stop_failed")[0]["final"] is True
    books_balance()


@pytest.mark.parametrize("planned_again", [False, True])
def test_what_a_failed_delivery_brought_back_is_returned_not_cancelled(planned_again):
    """Its stock was booked out when it left; only a return books it in again."""
    route = planned_route(1)
    driving.dispatch_route(route_id=route.pk)
    driving.fail_stop(stop_id=stop_of().pk, reason="nobody in")
    if planned_again:
        plan(route.depot)
        assert state() == "planned"
    before = len(told())
    hear(cancelled())
    assert state() == "returned"
    assert told(since=before) == ["shipment_returned"]
    books_balance()


def test_an_ended_shipment_is_left_alone():
    route = planned_route(1)
    driving.dispatch_route(route_id=route.pk)
    driving.complete_route(route_id=route.pk)
    hear(cancelled())
    assert state() == "delivered"
    assert OrderStanding.objects.get().cancelled


# --- twice --------------------------------------------------------------------------------


@pytest.mark.parametrize("inbox_forgets", [False, True])
def test_each_consumer_bears_every_event_twice(inbox_forgets):
    first = [
        (warehouse(), warehouse("quarry")),
        (reserved(1), reserved(2)),
        (cut(1), cut(2, empties=True)),
        (cancelled(1), cancelled(3)),
    ]

    def picture():
        depots = Depot.objects.order_by("code").values("code", "name", "sequence")
        shipments = Shipment.objects.order_by("pk").values()
        standings = OrderStanding.objects.order_by("pk").values()
        return [*depots, *shipments, *standings, Vehicle.objects.count(), told()]

    for batch in first:
        hear(*batch)
    seen = picture()
    if inbox_forgets:
        InboxEntry.objects.all().delete()
    for batch in first:
        outcome = hear(*batch)
        expected = (2, 0) if inbox_forgets else (0, 2)
        assert (outcome.handled, outcome.duplicates) == expected
    assert picture() == seen


def test_every_consumer_of_the_domain_is_tried_here():
    names = {"routing.keep_depots", "routing.register_shipments", "routing.cancel_shipments"}
    names.add("routing.cut_shipments")
    from supplychain.events.consumers import consumers

    assert {c.name for c in consumers() if c.queue == "routing"} == names


# --- at once ------------------------------------------------------------------------------


@pytest.mark.parametrize("known_before", [False, True])
@pytest.mark.parametrize("cancelling_first", [False, True])
def test_registering_and_cancelling_wait_for_each_other(cancelling_first, known_before):
    """Neither sees what the other has not yet committed, unless one waits."""
    make_depot()
    if known_before:  # by another shipment of the order
        hear(reserved(2, order_id=str(order(1))))
    register, cancel = (lambda: hear(reserved())), (lambda: hear(cancelled()))
    first, second = (cancel, register) if cancelling_first else (register, cancel)
    # The first has done its work and not yet committed when the second begins.
    holding = Holding(first)
    waiting = Holding.start(second)
    eventually(blocked_sessions)
    holding.let_go()
    waiting.result(20)
    assert state() == "cancelled"
    assert told() == ["shipment_cancelled"] * (1 + known_before)
    books_balance()


def test_many_registrations_and_cancellations_at_once_end_in_order():
    make_depot()
    numbers = range(1, 21)
    outcomes = at_once(
        lambda: hear(*(reserved(n) for n in numbers)),
        lambda: hear(*(cancelled(n) for n in reversed(numbers))),
        lambda: hear(*(reserved(n) for n in reversed(numbers))),
        lambda: hear(*(cancelled(n) for n in numbers)),
    )
    assert [outcome.handled for outcome in outcomes] == [20] * 4
    assert set(Shipment.objects.values_list("state", flat=True)) == {"cancelled"}
    assert told() == ["shipment_cancelled"] * 20
    books_balance()


def test_cancelling_while_a_route_is_dispatched_recalls():
    route = planned_route(1)
    holding = Holding(lambda: driving.dispatch_route(route_id=route.pk))
    waiting = Holding.start(lambda: hear(cancelled()))
    eventually(blocked_sessions)
    holding.let_go()
    waiting.result(20)
    shipment = Shipment.objects.get()
    assert (shipment.state, shipment.recalled) == ("dispatched", True)
    assert "shipment_cancelled" not in told()


def test_dispatching_while_an_order_is_cancelled_leaves_it_behind():
    route = planned_route(2)
    holding = Holding(lambda: hear(cancelled()))
    waiting = Holding.start(lambda: driving.dispatch_route(route_id=route.pk))
    eventually(blocked_sessions)
    holding.let_go()
    waiting.result(20)
    assert (state(1), state(2)) == ("cancelled", "dispatched")
    assert told().count("shipment_dispatched") == 1
    assert data_of("route_dispatched")[0]["shipments"] == [str(parcel(2))]
    books_balance()


def test_completing_a_route_while_an_order_is_cancelled_brings_the_shipment_back():
    route = planned_route(2)
    driving.dispatch_route(route_id=route.pk)
    holding = Holding(lambda: hear(cancelled()))
    waiting = Holding.start(lambda: driving.complete_route(route_id=route.pk))
    eventually(blocked_sessions)
    holding.let_go()
    waiting.result(20)
    assert (state(1), state(2)) == ("returned", "delivered")
    assert stop_of(1).state == Stop.State.FAILED
    books_balance()
