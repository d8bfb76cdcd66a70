"""Orders that are confirmed or not, and taken back in part, on their way through all domains; at
the end of each the books of all must balance."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from inventory import holding, returning, ruling, services
from inventory.models import Allocation, Cut, Reservation, StockLevel, Warehouse
from notifications.models import Notification
from orders.models import Order, OrderShipment
from orders.services import create_channel
from routing import driving, overdue, planning
from routing.models import CutAnswer, Depot, Route, Shipment, Stop, Vehicle
from supplychain.events.testing import deliver
from supplychain.operations import books

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
PLACE = {"latitude": -23.55, "longitude": -46.65}
URL = "/api/v1/orders/"


@pytest.fixture
def shop():
    """A channel's client; 5 A and 5 B in one warehouse."""
    services.register_products(
        products=[
            services.ProductData(sku, f"thing {sku}", Decimal(2), Decimal("0.01"))
            for sku in ("A", "B")
        ]
    )
    services.register_warehouse(code="mill", name="Mill", **PLACE)
    receive(A=5, B=5)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {create_channel(code='web')}")
    return client


def receive(reference="opening", **units):
    services.receive_stock(
        warehouse=Warehouse.objects.get(),
        lines=list(units.items()),
        reference=reference,
        actor="tests",
    )
    deliver()


def place(shop, name, *, held=False, **units):
    body = {
        "external_id": name,
        "customer": {"name": "Ana", "email": "ana@example.com"},
        "ship_to": {
            "address": "Rua Augusta 1",
            "city": "São Paulo",
            "postal_code": "01304-001",
            "country": "BR",
            "latitude": -23.56,
            "longitude": -46.66,
        },
        "lines": [{"sku": s, "quantity": n, "unit_price": "1.00"} for s, n in units.items()],
        "currency": "BRL",
    }
    if held:
        body["confirm_by"] = (timezone.now() + timedelta(hours=1)).isoformat()
    answer = shop.post(URL, body, format="json")
    assert answer.status_code == 201, answer.json()
    deliver()
    return answer.json()["id"]


def status(order):
    return Order.objects.get(pk=order).status


def call(shop, order, action, **body):
    answer = shop.post(f"{URL}{order}/{action}/", body, format="json")
    assert answer.status_code == 200, answer.json()


def take_back(shop, order, **units):
    lines = [{"sku": sku, "quantity": count} for sku, count in units.items()]
    call(shop, order, "cancel", lines=lines)


def run_out():
    """The time of every hold is over."""
    Allocation.objects.filter(confirm_by__isnull=False).update(
        confirm_by=timezone.now() - timedelta(hours=1)
    )
    holding.expire_holds()


def plan():
    run = planning.plan_depot(depot=Depot.objects.get())
    assert run is not None and not run.error
    deliver()


def leave():
    for route in Route.objects.filter(state="planned"):
        driving.dispatch_route(route_id=route.pk)


def arrive():
    for route in Route.objects.filter(state="dispatched"):
        driving.complete_route(route_id=route.pk)
    deliver()


def ship():
    plan()
    leave()
    deliver()
    arrive()


def mailed(event_type):
    """The orders whose customers are told of such an event."""
    rows = Notification.objects.filter(kind="email", event_type=event_type)
    return [str(row.order_id) for row in rows]


def stock(sku="A"):
    level = StockLevel.objects.get(product__sku=sku)
    return level.on_hand, level.reserved


def test_an_order_that_is_confirmed_is_shipped_and_not_before(shop):
    order = place(shop, "1", held=True, A=3, B=1)
    assert (status(order), stock()) == ("placed", (5, 3))
    assert not Shipment.objects.exists()
    assert books.faults() == []
    call(shop, order, "confirm")
    deliver()
    assert (status(order), Shipment.objects.get().weight_kg) == ("reserved", 8.0)
    ship()
    assert (status(order), stock()) == ("delivered", (2, 0))
    assert books.faults() == []


def test_an_order_that_is_forgotten_leaves_its_stock_to_the_next(shop):
    forgotten = place(shop, "1", held=True, A=4)
    waiting = place(shop, "2", A=5)
    assert status(waiting) == "partially_reserved"
    run_out()
    deliver()
    assert (status(forgotten), status(waiting)) == ("cancelled", "reserved")
    ship()
    assert status(waiting) == "delivered"
    assert books.faults() == []


def test_a_confirmation_in_time_is_never_lost(shop):
    """It is on its way while its order expires; then it stands in line where it stood before."""
    order = place(shop, "1", held=True, A=4)
    waiting = place(shop, "2", A=5)
    call(shop, order, "confirm")
    run_out()
    assert stock() == (5, 1)
    deliver()
    assert (status(order), status(waiting)) == ("reserved", "partially_reserved")
    receive("more", A=4)
    assert status(waiting) == "reserved"
    ship()
    assert {status(order), status(waiting)} == {"delivered"}
    assert books.faults() == []


def test_an_unconfirmed_order_is_cancelled_whatever_is_still_under_way(shop):
    order = place(shop, "1", held=True, A=4)
    call(shop, order, "confirm")
    call(shop, order, "cancel")
    deliver()
    assert (status(order), stock()) == ("cancelled", (5, 0))
    other = place(shop, "2", held=True, A=4)
    call(shop, other, "cancel")
    deliver()
    assert (status(other), stock()) == ("cancelled", (5, 0))
    assert books.faults() == []


def test_what_is_taken_back_in_time_does_not_leave(shop):
    order = place(shop, "1", A=5, B=2)
    waiting = place(shop, "2", A=2)
    plan()
    take_back(shop, order, A=2, B=1)
    deliver()
    assert (status(order), status(waiting)) == ("planned", "reserved")
    assert Shipment.objects.get(order_id=order).weight_kg == 8.0
    leave()
    deliver()
    arrive()
    ship()
    assert (status(order), status(waiting)) == ("delivered", "delivered")
    assert (stock("A"), stock("B")) == ((0, 0), (4, 0))
    assert books.faults() == []


def test_what_is_on_a_truck_is_promised_to_nobody(shop):
    refused = place(shop, "1", A=3)
    place(shop, "2", A=2)
    waiting = place(shop, "3", A=3)
    plan()
    leave()
    Shipment.objects.update(attempts=driving.MAX_ATTEMPTS - 1)
    driving.fail_stop(stop_id=Stop.objects.get(shipment__order_id=refused).pk, reason="refused")
    deliver()
    assert (status(refused), stock()) == ("delivery_failed", (0, 0))
    assert status(waiting) == "backordered"
    assert books.faults(finished=False) == []
    arrive()
    assert (status(refused), status(waiting)) == ("returned", "reserved")
    assert books.faults(finished=False) == []


def test_what_has_left_before_routing_heard_of_it_stays_in_the_order(shop):
    order = place(shop, "1", A=5)
    plan()
    take_back(shop, order, A=2)
    leave()
    deliver()
    assert Cut.objects.get().state == "refused"
    made = Order.objects.get()
    assert (made.cancelled_quantity, made.status) == (0, "dispatched")
    note = "2 × A could not be taken back: The shipment is dispatched."
    assert note in made.history.values_list("reason", flat=True)
    assert mailed("orders.order_lines_cancelled") == mailed("orders.order_lines_kept") == [order]
    arrive()
    assert (status(order), stock()) == ("delivered", (0, 0))
    assert books.faults() == []


def test_a_shipment_of_which_all_is_taken_back_is_cancelled_and_the_order_goes_on(shop):
    order = place(shop, "1", A=5, B=7)
    receive("more", B=2)
    assert (status(order), Shipment.objects.count()) == ("reserved", 2)
    plan()
    take_back(shop, order, B=2)
    deliver()
    assert sorted(Shipment.objects.values_list("state", flat=True)) == ["cancelled", "planned"]
    leave()
    deliver()
    arrive()
    assert (status(order), stock("B")) == ("delivered", (2, 0))
    assert books.faults() == []


def test_what_waits_is_taken_back_and_the_rest_completes_the_order(shop):
    order = place(shop, "1", A=7)
    ship()
    assert status(order) == "partially_reserved"
    take_back(shop, order, A=2)
    deliver()
    assert status(order) == "delivered"
    assert books.faults() == []


def test_what_a_customer_sends_back_is_sold_again(shop):
    order = place(shop, "1", A=5)
    ship()
    waiting = place(shop, "2", A=1)
    shipment = Shipment.objects.get(order_id=order)
    returning.take_back(
        shipment_id=shipment.pk,
        lines=[returning.ReturnLine("A", 1, "restock"), returning.ReturnLine("A", 2, "scrap")],
        reference="RMA",
        actor="clerk",
    )
    deliver()
    assert (status(order), status(waiting)) == ("delivered", "reserved")
    assert mailed("inventory.goods_returned") == [order]
    assert mailed("inventory.backorder_filled") == [waiting]
    assert books.faults() == ["1 orders are still reserved"]
    ship()
    assert books.faults() == []


# --- when it comes ------------------------------------------------------------------------


def told_times(order):
    """What the customer was mailed about when it comes, oldest first."""
    kinds = [f"orders.order_{kind}" for kind in ("promised", "planned", "eta_changed", "delayed")]
    rows = Notification.objects.filter(kind="email", event_type__in=kinds, order_id=order)
    return [row.event_type.removeprefix("orders.order_") for row in rows.order_by("pk")]


def trouble():
    return list(OrderShipment.objects.values_list("state", "trouble"))


def as_if_planned_for(hours):
    """The one route and its stop are moved to so many hours from now, and what was told of them."""
    now = timezone.now()
    starts, arrives = now + timedelta(hours=hours), now + timedelta(hours=hours, minutes=20)
    ends = now + timedelta(hours=hours + 1)
    Route.objects.filter(state="planned").update(starts_at=starts, planned_at=starts, ends_at=ends)
    Stop.objects.filter(state="pending").update(eta=arrives)
    Shipment.objects.update(told_eta=arrives)
    OrderShipment.objects.update(eta=arrives, told_eta=arrives)


def test_a_promise_that_is_kept_is_mailed_once(shop):
    order = place(shop, "1", A=3)
    [shipment] = shop.get(f"{URL}{order}/").json()["shipments"]
    assert shipment["window_from"] < shipment["eta"] < shipment["window_until"]
    assert told_times(order) == ["promised"]
    ship()
    assert told_times(order) == ["promised"]
    assert status(order) == "delivered"
    assert books.faults() == []


def test_without_promises_the_plan_is_mailed(shop, settings):
    settings.PROMISE_SECONDS = 0.0
    order = place(shop, "1", A=3)
    ship()
    assert told_times(order) == ["planned"]
    assert books.faults() == []


def test_a_route_that_never_leaves_delays_the_order_which_then_has_a_new_time(shop):
    order = place(shop, "1", A=3)
    plan()
    as_if_planned_for(-5)
    overdue.end_what_is_overdue(timezone.now())
    deliver()
    assert told_times(order) == ["promised", "delayed"]
    assert (status(order), trouble()) == ("planned", [("planned", "delayed")])
    plan()
    assert told_times(order)[2:] == ["eta_changed"]
    assert (status(order), trouble()) == ("planned", [("planned", "")])
    leave()
    deliver()
    arrive()
    assert status(order) == "delivered"
    assert books.faults() == []


def test_a_vehicle_that_leaves_late_says_so(shop):
    order = place(shop, "1", A=3)
    plan()
    as_if_planned_for(-9)
    leave()  # its window, wherever it was, is not now
    OrderShipment.objects.update(told_from=None, told_until=None)
    deliver()
    assert told_times(order) == ["promised", "eta_changed"]
    arrive()
    assert books.faults() == []


def test_what_no_vehicle_can_take_is_the_staffs_affair(shop, settings):
    settings.PROMISE_SECONDS = 0.0
    Vehicle.objects.update(capacity_kg=1)
    order = place(shop, "1", A=3)
    plan()
    assert (told_times(order), trouble()) == ([], [("reserved", "unplannable")])
    assert books.faults(finished=False) == []
    Vehicle.objects.update(capacity_kg=1000)
    ship()
    assert (told_times(order), status(order)) == (["planned"], "delivered")
    assert books.faults() == []


def test_a_promise_that_no_plan_can_keep_is_taken_back(shop):
    order = place(shop, "1", A=3)
    Vehicle.objects.update(capacity_kg=1)
    plan()
    assert told_times(order) == ["promised", "delayed"]
    assert trouble() == [("reserved", "unplannable")]
    assert books.faults(finished=False) == []


# --- the books find what is off -----------------------------------------------------------


def test_the_books_find_an_answer_that_was_lost(shop):
    order = place(shop, "1", A=5)
    take_back(shop, order, A=2)
    deliver()
    CutAnswer.objects.update(granted=False)
    assert "1 parts of shipments are done in inventory and not in routing" in books.faults()
    Cut.objects.update(state="asked")
    assert any("routing has not answered" in fault for fault in books.faults())
    Order.objects.update(cancelled_quantity=1)
    assert any("4 units are left of it, by inventory 3" in fault for fault in books.faults())


def test_the_books_find_a_time_that_orders_has_not_heard_of(shop):
    place(shop, "1", A=2)
    place(shop, "2", A=2)
    plan()
    assert not any("come at another time" in fault for fault in books.faults())
    first, second = OrderShipment.objects.all()
    OrderShipment.objects.filter(pk=first.pk).update(eta=timezone.now())
    assert "1 shipments come at another time than orders has heard of" in books.faults()
    Shipment.objects.filter(pk=second.pk).update(state="open", unplannable_reason="too heavy")
    assert "1 shipments can't be planned and orders has not heard of it" in books.faults()


def test_the_books_find_an_order_that_stands_though_it_expired(shop):
    order = place(shop, "1", held=True, A=5)
    run_out()
    deliver()
    Order.objects.filter(pk=order).update(status="placed", confirm_by=timezone.now())
    faults = books.faults()
    assert "1 orders stand though what was held for them has expired" in faults
    assert "1 orders are still placed" in faults


def test_the_books_find_a_shipment_that_routing_was_not_told_of(shop):
    place(shop, "1", held=True, A=5)
    Reservation.objects.update(expires_at=None)
    assert "1 reserved shipments are unknown to routing" in books.faults()


def test_the_books_find_stock_that_an_order_waits_for_in_vain(shop):
    place(shop, "1", A=7)
    ship()
    assert books.faults() == []
    levels = StockLevel.objects.filter(product__sku="A")
    levels.update(on_hand=4, safety_stock=1)  # behind the ledger's back, so that nobody hears of it
    in_vain = "3 × A are available while an order waits for it"
    assert in_vain in books.faults()
    levels.update(safety_stock=4)
    assert not any("waits for it" in fault for fault in books.faults())
    levels.update(safety_stock=1)
    Warehouse.objects.update(active=False)
    assert in_vain not in books.faults()


def test_stock_that_may_not_go_where_an_order_goes_is_waited_for_in_vain_by_nobody(shop):
    mill = Warehouse.objects.get()
    exclusion = ruling.exclude_region(warehouse=mill, country="br", region="SP", actor="ada")
    here = place(shop, "1", A=2)
    assert status(here) == "reserved"  # its address says no region
    ruling.exclude_region(warehouse=mill, country="BR", channel="web", actor="ada")
    order = place(shop, "2", A=2)
    assert (status(order), stock()) == ("backordered", (5, 2))
    ship()
    assert books.faults() == []
    Allocation.objects.filter(pk=order).update(channel="shop")
    assert "3 × A are available while an order waits for it" in books.faults()
    Allocation.objects.filter(pk=order).update(channel="web")
    ruling.include_region(exclusion=exclusion, actor="ada")
    deliver()
    assert (status(order), books.faults()) == ("backordered", [])
