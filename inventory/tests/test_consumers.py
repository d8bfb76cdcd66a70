"""Each of inventory's consumers, on a broker that delivers twice."""

import pytest

from inventory.events import (
    ReservationExpired,
    ShipmentCutRequested,
    StockReceived,
    StockReserved,
    WarehouseChanged,
)
from inventory.holding import expire_holds
from inventory.models import Allocation, Backorder, Cut, Reservation, StockLevel, StockMovement
from supplychain.events.consumers import consumers
from supplychain.events.models import InboxEntry, OutboxEvent

from .conftest import (
    cancelled,
    confirmed,
    consume,
    dispatched,
    granted,
    in_time,
    placed,
    publish,
    receive,
    refused,
    returned,
    shipment_cancelled,
    stocked,
    taken_back,
    told,
    too_late,
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


def a_hold(event, until=in_time, **units):
    """An event of an order that stock is only held for, and a part of it short."""
    consume(placed(1, A=9, confirm_by=until()))
    publish()
    return event(1, **units)


def one_that_has_expired():
    a_hold(placed, too_late, A=1)
    expire_holds()
    publish()
    return confirmed(1)


def an_expiry():
    consume(placed(1, A=9, confirm_by=too_late()))
    consume(placed(2, A=3))
    expire_holds()
    return next(e for e in publish() if e.event_type == ReservationExpired.event_type)


def a_part(units=2):
    consume(placed(1, A=7))
    publish()
    return taken_back(1, A=units)


def an_answer(answer):
    consume(a_part(4))  # 2 of them wait, 2 are reserved
    return answer(told(ShipmentCutRequested)[0], 1)


DELIVERIES = {
    "inventory.reserve_stock": lambda: placed(1, A=2),
    "inventory.cancel_allocation": lambda: cancelled(1),
    "inventory.release_stock": lambda: shipment_cancelled(a_shipment(), 1),
    "inventory.commit_stock": lambda: dispatched(a_shipment(), 1),
    "inventory.take_back_stock": lambda: returned(one_that_left(), 1),
    "inventory.confirm_allocation": lambda: a_hold(confirmed),
    "inventory.cut_allocation": lambda: a_part(4),
    "inventory.settle_cuts": lambda: an_answer(granted),
    "inventory.fill_backorders": a_receipt,
    "inventory.fill_from_warehouses": a_reopening,
}


#: Other things that these consumers hear of.
MORE = {
    "a cancelled hold": lambda: a_hold(cancelled),
    "a part of a hold": lambda: a_hold(taken_back, A=5),
    "a confirmation after the expiry": one_that_has_expired,
    "an expiry": an_expiry,
    "a refusal": lambda: an_answer(refused),
}


def everything():
    models = (Allocation, Backorder, Cut, Reservation, StockLevel, StockMovement, OutboxEvent)
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_all_of_them_are_tried_here():
    assert {c.name for c in consumers() if c.queue == "inventory"} == set(DELIVERIES)


@pytest.mark.parametrize("forgotten", [False, True], ids=["inbox", "inbox trimmed"])
@pytest.mark.parametrize("name", [*DELIVERIES, *MORE])
def test_delivered_twice_does_nothing_more(name, forgotten):
    stocked(A={"york": 5})
    event = {**DELIVERIES, **MORE}[name]()
    before = everything()
    assert consume(event).handled == 1
    after = everything()
    assert after != before
    seen = InboxEntry.objects.filter(event_id=event.event_id)
    assert name in MORE or seen.filter(consumer=name).exists()
    if forgotten:
        InboxEntry.objects.all().delete()
    again = consume(event)
    assert (again.handled, again.duplicates) == ((1, 0) if forgotten else (0, 1))
    assert everything() == after
