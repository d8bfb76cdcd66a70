"""Parts of shipments that are taken back: granted before they leave, refused after."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conftest import eventually
from routing import driving
from routing.models import CutAnswer, Route, Shipment
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
    state,
    stop_of,
    told,
)

pytestmark = pytest.mark.django_db(transaction=True)


def measures(number=1):
    shipment = Shipment.objects.get(pk=parcel(number))
    return shipment.weight_kg, shipment.volume_m3


def test_an_open_shipment_becomes_lighter():
    make_depot()
    make_shipments(2)
    Shipment.objects.update(unplannable_reason="too heavy for any vehicle")
    asked = cut(1)
    hear(asked)
    assert (measures(1), measures(2)) == ((3.0, 0.006), (5.0, 0.01))
    assert told() == ["shipment_reduced"]
    [said] = data_of("shipment_reduced")
    assert said == {
        "shipment_id": str(parcel(1)),
        "order_id": str(order(1)),
        "cut_id": asked.data["cut_id"],
    }
    reasons = dict(Shipment.objects.values_list("pk", "unplannable_reason"))
    assert reasons == {parcel(1): "", parcel(2): "too heavy for any vehicle"}
    books_balance()


def test_what_is_taken_back_is_no_longer_among_the_goods():
    make_depot()
    make_shipments(1, goods=[("A", 3), ("B", 1), ("A", 2)])
    hear(cut(1, quantity=4), cut(1, sku="B"))
    shipment = Shipment.objects.get()
    assert (shipment.goods, shipment.items) == ([{"sku": "A", "quantity": 1}], 1)


def test_of_goods_that_were_never_told_the_units_are_counted():
    make_depot()
    make_shipments(1, goods=[("A", 3)])
    Shipment.objects.update(goods=[])
    hear(cut(1, quantity=2))
    shipment = Shipment.objects.get()
    assert (shipment.goods, shipment.items) == ([], 1)


def test_a_planned_shipment_stays_in_its_route():
    route = planned_route(2)
    hear(cut(1))
    assert (state(1), measures(1), stop_of(1).state) == ("planned", (3.0, 0.006), "pending")
    assert Route.objects.get().load_kg == route.load_kg
    driving.dispatch_route(route_id=route.pk)
    assert state(1) == "dispatched"
    books_balance()


def test_a_shipment_of_which_nothing_is_left_does_not_leave():
    route = planned_route(2)
    before = len(told())
    hear(cut(1, kg=5.0, m3=0.01, empties=True))
    stop = stop_of(1)
    assert (state(1), stop.state, stop.reason) == (
        "cancelled",
        "dropped",
        "all of it was taken back",
    )
    assert told(since=before) == ["shipment_reduced", "shipment_cancelled"]
    driving.dispatch_route(route_id=route.pk)
    assert (state(1), state(2)) == ("cancelled", "dispatched")
    books_balance()


def test_what_has_left_is_left_as_it_is():
    route = planned_route(1)
    driving.dispatch_route(route_id=route.pk)
    asked = cut(1, empties=True)
    hear(asked)
    [said] = data_of("shipment_cut_refused")
    assert (said["cut_id"], said["reason"]) == (
        asked.data["cut_id"],
        "The shipment is dispatched.",
    )
    assert (state(), measures()) == ("dispatched", (5.0, 0.01))
    driving.deliver_stop(stop_id=stop_of().pk)
    hear(cut(1))
    assert data_of("shipment_cut_refused")[1]["reason"] == "The shipment is delivered."
    assert set(CutAnswer.objects.values_list("granted", flat=True)) == {False}
    books_balance()


@pytest.mark.parametrize("planned_again", [False, True])
def test_what_left_once_is_on_a_truck_or_was_booked_out(planned_again):
    route = planned_route(1)
    driving.dispatch_route(route_id=route.pk)
    driving.fail_stop(stop_id=stop_of().pk, reason="nobody in")
    if planned_again:
        plan(route.depot)
    hear(cut(1))
    [said] = data_of("shipment_cut_refused")
    assert "has left once already" in said["reason"]
    assert measures() == (5.0, 0.01)


def test_of_a_cancelled_shipment_anything_may_be_taken():
    make_depot()
    make_shipments(1)
    hear(cancelled())
    hear(cut(1), cut(1, empties=True))
    assert told() == ["shipment_cancelled", "shipment_reduced", "shipment_reduced"]
    books_balance()


def test_answers_of_one_shipment_in_a_batch_add_up():
    make_depot()
    make_shipments(1)
    one = cut(1, kg=2.0)
    hear(one, cut(1, kg=1.0), one)
    assert measures()[0] == 2.0
    assert told() == ["shipment_reduced"] * 2
    hear(cut(1, kg=9.0, m3=9.0))
    assert measures() == (0.0, 0.0)
    books_balance()


def test_a_shipment_not_yet_known_is_tried_again():
    class Wire:
        sent = []

        def publish(self, messages):
            self.sent += messages
            return {}

        def close(self):
            pass

    make_depot()
    make_shipments(1)
    outcome = hear(cut(2), cut(1), wire=Wire())
    assert (outcome.handled, len(outcome.retried)) == (1, 1)
    assert "UnknownShipment: Not known here" in outcome.retried[0]


@pytest.mark.parametrize("refusing", [False, True])
def test_asked_again_it_answers_no_more(refusing):
    route = planned_route(1)
    if refusing:
        driving.dispatch_route(route_id=route.pk)
    asked = cut(1)
    hear(asked)
    before = (told(), measures())
    InboxEntry.objects.all().delete()
    driving_on = not refusing
    if driving_on:  # the answer stands, whatever has happened since
        driving.dispatch_route(route_id=route.pk)
        before = (told(), measures())
    hear(asked)
    assert (told(), measures()) == before


def test_statements_do_not_grow_with_the_requests():
    make_depot()
    make_shipments(60)

    def statements(some):
        with CaptureQueriesContext(connection) as captured:
            hear(*[cut(n) for n in some])
        return sum(not query["sql"].startswith("NOTIFY") for query in captured)

    counts = [statements(some) for some in (range(1, 2), range(2, 12), range(12, 61))]
    assert counts[0] == counts[1] == counts[2] <= 20


# --- at once ------------------------------------------------------------------------------


def test_a_part_taken_back_while_its_route_is_dispatched_has_left():
    route = planned_route(1)
    holding = Holding(lambda: driving.dispatch_route(route_id=route.pk))
    waiting = Holding.start(lambda: hear(cut(1)))
    eventually(blocked_sessions)
    holding.let_go()
    waiting.result(20)
    assert (state(), measures()) == ("dispatched", (5.0, 0.01))
    assert "shipment_cut_refused" in told() and "shipment_reduced" not in told()


def test_a_route_dispatched_while_a_shipment_of_it_is_emptied_leaves_without():
    route = planned_route(2)
    holding = Holding(lambda: hear(cut(1, empties=True)))
    waiting = Holding.start(lambda: driving.dispatch_route(route_id=route.pk))
    eventually(blocked_sessions)
    holding.let_go()
    waiting.result(20)
    assert (state(1), state(2)) == ("cancelled", "dispatched")
    assert data_of("route_dispatched")[0]["shipments"] == [str(parcel(2))]
    books_balance()


def test_many_cuts_and_a_dispatch_at_once_agree():
    route = planned_route(6)
    cuts = [cut(n) for n in range(1, 7)]
    at_once(
        lambda: hear(*cuts),
        lambda: hear(*cuts[::-1]),
        lambda: driving.dispatch_route(route_id=route.pk),
        lambda: hear(*[cancelled(n) for n in (6, 2, 4)]),
    )
    assert CutAnswer.objects.count() == 6
    lighter = set(Shipment.objects.filter(weight_kg=3.0).values_list("pk", flat=True))
    granted = CutAnswer.objects.filter(granted=True).exclude(shipment__state="cancelled")
    assert lighter.issuperset(granted.values_list("shipment_id", flat=True))
    answers = [name for name in told() if name in ("shipment_reduced", "shipment_cut_refused")]
    assert len(answers) == 6
    books_balance()
