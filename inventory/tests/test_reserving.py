"""Orders in, promises out: reserved, split, on backorder, rejected, never twice."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inventory.events import (
    AllocationRejected,
    BackorderFilled,
    StockReceived,
    StockReserved,
    StockShort,
)
from inventory.models import Allocation, Reservation
from inventory.selectors import books_off
from supplychain.events.models import InboxEntry, OutboxEvent

from .conftest import (
    cancelled,
    consume,
    follow,
    levels,
    order,
    placed,
    publish,
    receive,
    statements,
    stocked,
    told,
    waiting,
    warehouse,
)

pytestmark = pytest.mark.django_db(transaction=True)


def units(event):
    return {
        shipment.warehouse: {line.sku: line.quantity for line in shipment.lines}
        for shipment in event.shipments
    }


def outstanding(event):
    return {line.sku: line.quantity for line in event.outstanding}


def test_an_order_is_reserved_in_the_nearest_warehouse_that_has_all_of_it():
    stocked(A={"york": 1, "leeds": 9, "london": 9}, B={"leeds": 9, "london": 9})
    consume(placed(1, A=2, B=1))
    [event] = told(StockReserved)
    assert units(event) == {"leeds": {"A": 2, "B": 1}}
    assert (event.complete, event.order_id) == (True, order(1))
    assert (event.shipments[0].weight_kg, event.shipments[0].volume_m3) == (7.5, 0.03)
    assert levels("A") == {"york": (1, 0), "leeds": (9, 2), "london": (9, 0)}
    held = Reservation.objects.filter(allocation=order(1), state="held")
    assert {row.shipment_id for row in held} == {event.shipments[0].shipment_id}
    assert list(books_off()) == []


def test_the_event_says_where_to_who_caused_it_and_which_journey():
    stocked(A={"york": 1})
    sent = placed(1, A=1)
    consume(sent)
    [event] = told(StockReserved)
    assert (event.ship_to.city, event.ship_to.name) == ("York", "Ada O'Neill")
    assert event.envelope.causation_id == sent.event_id
    assert event.envelope.correlation_id == sent.correlation_id
    assert event.envelope.sequence == 1


def test_an_order_is_split_when_no_warehouse_has_all_of_it():
    stocked(A={"york": 3, "london": 4}, B={"london": 1})
    consume(placed(1, A=6, B=1))
    [event] = told(StockReserved)
    assert units(event) == {"london": {"A": 4, "B": 1}, "york": {"A": 2}}
    assert len({s.shipment_id for s in event.shipments}) == 2
    assert event.complete


def test_what_is_short_goes_on_backorder():
    stocked(A={"york": 3}, B={})
    consume(placed(1, A=5, B=1))
    [event] = told(StockReserved)
    assert units(event) == {"york": {"A": 3}}
    assert outstanding(event) == {"A": 2, "B": 1}
    assert waiting() == [(1, "A", 2), (1, "B", 1)]


def test_an_order_of_which_nothing_is_there_is_short():
    stocked(A={"york": 0})
    consume(placed(1, A=5))
    [event] = told(StockShort)
    assert outstanding(event) == {"A": 5}
    assert told(StockReserved) == []


def test_lines_of_the_same_product_are_added_up():
    stocked(A={"york": 9})
    consume(placed(1, lines=[("A", 2), ("A", 3)]))
    assert levels("A") == {"york": (9, 5)}


def test_an_unknown_product_rejects_the_order_and_no_other_of_its_batch():
    stocked(A={"york": 9})
    consume(placed(1, A=1, NOPE=1, NADA=1), placed(2, A=1))
    [event] = told(AllocationRejected)
    assert (event.order_id, event.reason) == (order(1), "There is no product NADA, NOPE.")
    assert Allocation.objects.get(pk=order(1)).state == Allocation.State.REJECTED
    assert levels("A") == {"york": (9, 1)}


def test_within_a_batch_the_older_order_comes_first():
    stocked(A={"york": 3})
    consume(placed(2, A=2), placed(1, A=2))
    assert waiting() == [(2, "A", 1)]


def test_an_inactive_warehouse_does_not_ship():
    stocked(A={"york": 3, "london": 3})
    warehouse("york", active=False)
    consume(placed(1, A=4))
    assert levels("A") == {"york": (3, 0), "london": (3, 3)}
    assert waiting() == [(1, "A", 1)]


def test_a_new_order_never_overtakes_one_that_waits():
    stocked(A={"york": 0}, B={"york": 9})
    consume(placed(1, A=4))
    receive(A=5)  # the fill is on its way
    consume(placed(2, A=1, B=1))
    assert levels("A") == {"york": (5, 0)}
    assert waiting() == [(1, "A", 4), (2, "A", 1)]
    assert units(told(StockReserved)[0]) == {"york": {"B": 1}}
    follow()
    assert waiting() == []
    assert levels("A") == {"york": (5, 5)}


def test_a_cancelled_order_is_promised_nothing_even_if_the_cancellation_came_first():
    stocked(A={"york": 9})
    consume(cancelled(1))
    consume(placed(1, A=1), placed(2, A=1))
    assert levels("A") == {"york": (9, 1)}
    assert Allocation.objects.get(pk=order(1)).state == Allocation.State.CANCELLED
    assert [event.order_id for event in told(StockReserved)] == [order(2)]


def test_cancelling_ends_waiting_and_holds_what_may_be_on_a_truck():
    stocked(A={"york": 3})
    consume(placed(1, A=5))
    consume(cancelled(1))
    assert waiting() == []
    assert levels("A") == {"york": (3, 3)}
    assert Allocation.objects.get(pk=order(1)).state == Allocation.State.CANCELLED


def test_a_rejected_order_stays_rejected():
    consume(placed(1, NOPE=1))
    consume(cancelled(1))
    assert Allocation.objects.get(pk=order(1)).state == Allocation.State.REJECTED


@pytest.mark.parametrize("forgotten", [False, True], ids=["inbox", "inbox trimmed"])
def test_orders_and_cancellations_delivered_twice_are_handled_once(forgotten):
    stocked(A={"york": 3})
    orders = [placed(1, A=2), placed(2, A=2), placed(3, NOPE=1)]
    cancels = [cancelled(2), cancelled(4)]
    consume(*orders)
    consume(*cancels)
    before = (levels("A"), waiting(), OutboxEvent.objects.count(), Allocation.objects.count())
    if forgotten:
        InboxEntry.objects.all().delete()
    again = [consume(*orders), consume(*cancels)]
    assert (levels("A"), waiting()) == before[:2]
    assert (OutboxEvent.objects.count(), Allocation.objects.count()) == before[2:]
    if not forgotten:
        assert [(o.handled, o.duplicates) for o in again] == [(0, 3), (0, 2)]


def test_the_same_order_twice_in_one_batch_is_reserved_once():
    stocked(A={"york": 9})
    consume(placed(1, A=1), placed(1, A=1))
    assert levels("A") == {"york": (9, 1)}
    assert len(told(StockReserved)) == 1


def test_the_number_of_statements_does_not_grow_with_the_orders():
    stocked(A={"york": 500}, B={"york": 500, "leeds": 500}, C={})
    counts, first = {}, 0
    for size in (1, 10, 100):
        batch = [placed(first + n, A=1, B=1, C=1) for n in range(size)]
        counts[size] = statements(lambda batch=batch: consume(*batch))
        first += size
    assert counts[1] == counts[10] == counts[100] <= 24


# --- filling ------------------------------------------------------------------------------


def test_backorders_are_filled_oldest_first_by_a_receipt():
    stocked(A={"york": 0})
    consume(placed(2, A=2), placed(3, A=2))
    consume(placed(1, A=2))  # late, but older
    receive(A=5)
    [brought] = [e for e in follow() if e.event_type == StockReceived.event_type]
    filled = told(BackorderFilled)
    assert [event.order_id for event in filled] == [order(1), order(2), order(3)]
    assert [event.complete for event in filled] == [True, True, False]
    assert outstanding(filled[2]) == {"A": 1}
    assert waiting() == [(3, "A", 1)]
    assert levels("A") == {"york": (5, 5)}
    for number, event in enumerate(filled, start=1):
        assert event.envelope.causation_id == brought.event_id
        assert event.envelope.correlation_id == f"journey of order/{order(number)}"
        assert event.envelope.sequence == 2


def test_what_a_filled_order_still_waits_for_is_all_that_it_waits_for():
    stocked(A={"york": 0}, B={})
    consume(placed(1, A=2, B=3))
    receive(A=1)
    follow()
    [event] = told(BackorderFilled)
    assert outstanding(event) == {"A": 1, "B": 3}
    receive(B=3)
    follow()
    assert outstanding(told(BackorderFilled)[1]) == {"A": 1}


def test_each_order_of_a_batch_is_filled_because_of_what_brought_its_stock():
    stocked(A={"york": 0}, B={"york": 0}, C={"york": 0})
    consume(placed(1, A=1), placed(2, B=1), placed(3, A=1, B=1), placed(4, C=1))
    receive(A=9, B=9)
    brought = {e.data["sku"]: e.event_id for e in follow() if "received" in e.event_type}
    causes = {e.order_id: e.envelope.causation_id for e in told(BackorderFilled)}
    assert causes == {order(1): brought["A"], order(2): brought["B"], order(3): None}


def test_a_long_line_is_read_only_as_far_as_the_stock_reaches():
    stocked(A={"york": 0})
    consume(*[placed(n, A=2) for n in range(100)])
    receive(A=5)
    with CaptureQueriesContext(connection) as captured:
        follow()
    locking = 'FROM "inventory_allocation"', "FOR NO KEY UPDATE"
    [locked] = [q["sql"] for q in captured if all(part in q["sql"] for part in locking)]
    assert locked.count("::uuid") == 3
    assert waiting()[0] == (2, "A", 1)
    assert len(waiting()) == 98


def test_the_number_of_statements_of_a_fill_does_not_grow():
    skus = [f"A{n}" for n in range(100)]
    stocked(**{sku: {"york": 0} for sku in skus})
    consume(*[placed(n, **{sku: 2}) for n, sku in enumerate(skus)])
    publish()
    counts = []
    for size in (1, 10, 89):
        receive(**{skus.pop(): 1 for _ in range(size)})
        events = publish()
        counts.append(statements(lambda events=events: consume(*events)))
        assert len(publish()) == size
    assert counts[0] == counts[1] == counts[2] <= 24


def test_filling_delivered_twice_fills_once():
    stocked(A={"york": 0})
    consume(placed(1, A=2), placed(2, A=2))
    receive(A=3)
    [event] = [e for e in publish() if e.event_type == StockReceived.event_type]
    consume(event)
    again = consume(event)
    assert (again.handled, again.duplicates) == (0, 1)
    assert levels("A") == {"york": (3, 3)}
    assert waiting() == [(2, "A", 1)]
    InboxEntry.objects.all().delete()
    consume(event)
    assert len(told(BackorderFilled)) == 2


def test_a_warehouse_that_ships_again_serves_those_who_wait():
    stocked(A={"york": 3})
    warehouse("york", active=False)
    follow()
    consume(placed(1, A=2))
    assert waiting() == [(1, "A", 2)]
    warehouse("york")
    follow()
    assert waiting() == []
    assert levels("A") == {"york": (3, 2)}


def test_stock_in_an_inactive_warehouse_fills_nothing():
    stocked(A={"york": 0})
    warehouse("york")
    warehouse("leeds")
    consume(placed(1, A=2))
    receive("leeds", A=2)
    warehouse("leeds", active=False)
    follow()
    assert waiting() == [(1, "A", 2)]
