"""Each of inventory's consumers, on a broker that delivers twice."""

import pytest

from inventory.events import StockReceived, StockReserved, WarehouseChanged
from inventory.models import Allocation, Backorder, Reservation, StockLevel, StockMovement
from supplychain.events.consumers import consumers
from supplychain.events.models import InboxEntry, OutboxEvent

from .conftest import (
    cancelled,
    consume,
    dispatched,
    placed,
    publish,
    receive,
    returned,
    shipment_cancelled,
    stocked,
    told,
    warehouse,
)

pytestmark = pytest.mark.django_db(transaction=True)


def a_shipment():
    consume(placed(1, A=2))
    return told(StockReserved)[0].shipments[0].shipment_id


def one_that_left():
    shipment = a_shipment()
    consume(dispatched(shipment, 1))
    return shipment


def a_receipt():
    consume(placed(1, A=9))
    publish()
    receive(A=3)
    return next(e for e in publish() if e.event_type == StockReceived.event_type)


def a_reopening():
    warehouse(active=False)
    consume(placed(1, A=2))
    publish()
    warehouse()
    return next(e for e in publish() if e.event_type == WarehouseChanged.event_type)


DELIVERIES = {
    "inventory.reserve_stock": lambda: placed(1, A=2),
    "inventory.cancel_allocation": lambda: cancelled(1),
    "inventory.release_stock": lambda: shipment_cancelled(a_shipment(), 1),
    "inventory.commit_stock": lambda: dispatched(a_shipment(), 1),
    "inventory.take_back_stock": lambda: returned(one_that_left(), 1),
    "inventory.fill_backorders": a_receipt,
    "inventory.fill_from_warehouses": a_reopening,
}


def everything():
    models = (Allocation, Backorder, Reservation, StockLevel, StockMovement, OutboxEvent)
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_all_of_them_are_tried_here():
    assert {c.name for c in consumers() if c.queue == "inventory"} == set(DELIVERIES)


@pytest.mark.parametrize("forgotten", [False, True], ids=["inbox", "inbox trimmed"])
@pytest.mark.parametrize("name", DELIVERIES)
def test_delivered_twice_does_nothing_more(name, forgotten):
    stocked(A={"york": 5})
    event = DELIVERIES[name]()
    before = everything()
    assert consume(event).handled == 1
    after = everything()
    assert after != before
    assert InboxEntry.objects.filter(consumer=name, event_id=event.event_id).exists()
    if forgotten:
        InboxEntry.objects.all().delete()
    again = consume(event)
    assert (again.handled, again.duplicates) == ((1, 0) if forgotten else (0, 1))
    assert everything() == after
