"""Parts of orders that are taken back: out of the line, out of what is held, and, if routing
agrees, out of shipments."""

import pytest

from inventory.events import (
    AllocationReduced,
    BackorderFilled,
    ShipmentCutRequested,
    StockHeld,
    StockReleased,
    StockReserved,
)
from inventory.models import Allocation, Cut, Reservation, StockMovement
from inventory.selectors import books_off
from supplychain.events.context import new_id

from .conftest import (
    cancelled,
    confirmed,
    consume,
    dispatched,
    follow,
    granted,
    in_time,
    levels,
    order,
    placed,
    receive,
    refused,
    returned,
    shipment_cancelled,
    statements,
    stocked,
    taken_back,
    told,
    too_late,
    waiting,
)
from .test_holding import Wire, expire_holds

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def balanced():
    yield
    assert list(books_off()) == []


def wanted(number=1):
    return Allocation.objects.get(pk=order(number)).wanted


def reservations():
    return sorted(Reservation.objects.values_list("level__product__sku", "quantity", "state"))


def the_request(number=-1):
    return told(ShipmentCutRequested)[number]


def units(lines):
    return {line.sku: line.quantity for line in lines}


# --- what has not been reserved -----------------------------------------------------------


def test_what_waits_is_given_up_first():
    stocked(A={"york": 3})
    consume(placed(1, A=5))
    back = taken_back(1, A=1)
    consume(back)
    assert (waiting(), wanted()) == ([(1, "A", 1)], {"A": 4})
    [event] = told(AllocationReduced)
    assert (units(event.outstanding), event.kept, event.shipments) == ({"A": 1}, [], [])
    assert event.envelope.causation_id == back.event_id
    consume(taken_back(1, A=1, before=1))
    assert (waiting(), told(AllocationReduced)[-1].outstanding) == ([], [])
    assert told(ShipmentCutRequested, StockReleased) == []
    assert levels("A") == {"york": (3, 3)}


def test_what_is_only_held_is_let_go_at_once():
    stocked(A={"york": 2, "leeds": 1}, B={"york": 1})
    consume(placed(1, A=4, B=1, confirm_by=in_time()))
    consume(taken_back(1, A=3))
    assert (waiting(), wanted()) == ([], {"A": 1, "B": 1})
    assert sum(reserved for _, reserved in levels("A").values()) == 1
    held = told(StockHeld)[-1]
    assert (held.shipments, held.outstanding) == ([], [])
    assert sum(sum(units(e.lines).values()) for e in told(StockReleased)) == 2
    assert told(ShipmentCutRequested, AllocationReduced) == []
    consume(confirmed(1))
    [reserved] = told(StockReserved)
    assert {sku: n for s in reserved.shipments for sku, n in units(s.lines).items()} == wanted()


def test_what_has_expired_is_not_wanted_again():
    stocked(A={"york": 5})
    consume(placed(1, A=4, confirm_by=too_late()))
    expire_holds()
    consume(taken_back(1, A=3))
    consume(confirmed(1))
    assert levels("A") == {"york": (5, 1)}


def test_what_is_taken_back_of_an_order_that_is_over_is_nothing():
    stocked(A={"york": 5})
    consume(placed(1, A=4))
    consume(cancelled(1))
    consume(taken_back(1, A=3))
    assert told(ShipmentCutRequested, AllocationReduced) == []


def test_a_part_taken_back_before_its_order_came_is_tried_again():
    outcome = consume(taken_back(1, A=3), wire=Wire())
    assert outcome.retried[0].startswith("UnknownAllocation: Not placed here: ")


def test_the_later_word_counts_though_it_comes_first():
    stocked(A={"york": 0})
    consume(placed(1, A=9))
    first, second = taken_back(1, A=2), taken_back(1, A=3, before=2)
    consume(second)
    consume(first)
    assert waiting() == [(1, "A", 4)]


# --- what has been reserved ---------------------------------------------------------------


def test_routing_is_asked_before_reserved_stock_is_free():
    stocked(A={"york": 5}, B={"york": 5})
    consume(placed(1, A=3, B=1))
    back = taken_back(1, A=2)
    consume(back)
    asked = the_request()
    assert (units(asked.lines), asked.weight_kg, asked.volume_m3) == ({"A": 2}, 5.0, 0.02)
    assert (asked.empties, asked.envelope.causation_id) == (False, back.event_id)
    assert (levels("A"), wanted()) == ({"york": (5, 3)}, {"A": 3, "B": 1})
    assert told(AllocationReduced, StockReleased) == []
    yes = granted(asked, 1)
    consume(yes)
    assert (levels("A"), wanted()) == ({"york": (5, 1)}, {"A": 1, "B": 1})
    assert reservations() == [("A", 1, "held"), ("B", 1, "held")]
    [released], [reduced] = told(StockReleased), told(AllocationReduced)
    assert (units(released.lines), released.shipment_id) == ({"A": 2}, asked.shipment_id)
    assert reduced.envelope.causation_id == yes.event_id
    assert {s.shipment_id: s.quantity for s in reduced.shipments} == {asked.shipment_id: 2}


def test_what_is_taken_out_of_a_shipment_goes_to_those_who_wait():
    stocked(A={"york": 5})
    consume(placed(1, A=5), placed(2, A=2))
    consume(taken_back(1, A=2))
    consume(granted(the_request(), 1))
    follow()
    assert told(BackorderFilled)[0].order_id == order(2)
    assert (waiting(), levels("A")) == ([], {"york": (5, 5)})


def test_what_has_left_stays_in_the_order():
    stocked(A={"york": 5})
    consume(placed(1, A=5))
    consume(taken_back(1, A=2))
    consume(dispatched(the_request().shipment_id, 1))
    consume(refused(the_request(), 1))
    assert (levels("A"), wanted()) == ({"york": (0, 0)}, {"A": 5})
    [reduced] = told(AllocationReduced)
    assert (units(reduced.kept), reduced.reason) == ({"A": 2}, "The shipment is dispatched.")
    assert told(StockReleased) == []


def test_what_is_known_to_have_left_is_not_asked_for():
    stocked(A={"york": 5})
    consume(placed(1, A=4))
    consume(dispatched(told(StockReserved)[0].shipments[0].shipment_id, 1))
    consume(taken_back(1, A=2))
    assert told(ShipmentCutRequested) == []
    [reduced] = told(AllocationReduced)
    assert (units(reduced.kept), wanted()) == ({"A": 2}, {"A": 4})
    assert reduced.reason


def test_a_cut_of_all_that_is_left_empties_the_shipment():
    stocked(A={"york": 5}, B={"york": 5}, C={"leeds": 5})
    consume(placed(1, A=2, B=1, C=1))
    consume(taken_back(1, A=2))
    consume(taken_back(1, B=1))
    first, second = told(ShipmentCutRequested)
    assert (first.empties, second.empties) == (False, True)
    consume(granted(second, 1))
    consume(granted(first, 1))
    consume(shipment_cancelled(first.shipment_id, 1))
    assert wanted() == {"C": 1}
    assert reservations() == [("A", 2, "released"), ("B", 1, "released"), ("C", 1, "held")]
    left = {s.shipment_id: s.quantity for s in told(AllocationReduced)[-1].shipments}
    assert left == {first.shipment_id: 0}


def test_units_are_asked_for_once_however_many_are_taken_back():
    stocked(A={"york": 3})
    consume(placed(1, A=5))
    receive(A=2)
    follow()
    consume(taken_back(1, A=3))
    consume(taken_back(1, A=1, before=3))
    cuts = told(ShipmentCutRequested)
    assert [units(cut.lines) for cut in cuts] == [{"A": 2}, {"A": 1}, {"A": 1}]
    assert [cut.empties for cut in cuts] == [True, False, False]
    assert cuts[0].shipment_id != cuts[1].shipment_id == cuts[2].shipment_id


def test_several_lines_of_a_shipment_are_one_request():
    stocked(A={"york": 5}, B={"york": 5})
    consume(placed(1, A=2, B=2))
    consume(taken_back(1, A=1, B=1))
    [asked] = told(ShipmentCutRequested)
    assert (units(asked.lines), asked.weight_kg) == ({"A": 1, "B": 1}, 5.0)


def test_a_shipment_that_left_without_a_part_before_that_was_known_is_put_right():
    stocked(A={"york": 5}, B={"york": 5})
    consume(placed(1, A=3, B=1))
    consume(taken_back(1, A=2, B=1))
    asked = the_request()
    consume(dispatched(asked.shipment_id, 1))
    assert (levels("A"), levels("B")) == ({"york": (2, 0)}, {"york": (4, 0)})
    consume(granted(asked, 1))
    assert (levels("A"), levels("B")) == ({"york": (4, 0)}, {"york": (5, 0)})
    assert reservations() == [("A", 1, "committed"), ("B", 1, "released")]
    lines = StockMovement.objects.filter(reason="dispatch", level__product__sku="A")
    assert sorted(lines.values_list("delta", flat=True)) == [-3, 2]
    consume(returned(asked.shipment_id, 1))
    assert levels("A") == {"york": (5, 0)}


def test_a_shipment_that_is_back_before_its_cut_is_known_is_whole():
    stocked(A={"york": 5})
    consume(placed(1, A=3))
    consume(taken_back(1, A=2))
    asked = the_request()
    consume(dispatched(asked.shipment_id, 1))
    consume(returned(asked.shipment_id, 1))
    consume(granted(asked, 1))
    assert levels("A") == {"york": (5, 0)}


def test_a_whole_cancellation_may_overtake_the_answer():
    stocked(A={"york": 5})
    consume(placed(1, A=3))
    consume(taken_back(1, A=2))
    asked = the_request()
    consume(cancelled(1))
    consume(shipment_cancelled(asked.shipment_id, 1))
    consume(granted(asked, 1))
    assert levels("A") == {"york": (5, 0)}
    assert set(Cut.objects.values_list("state", flat=True)) == {"done"}


def test_an_answer_that_nobody_asked_for_is_tried_again():
    stocked(A={"york": 5})
    consume(placed(1, A=3))
    consume(taken_back(1, A=1))
    odd = the_request().model_copy(update={"cut_id": new_id()})
    outcome = consume(granted(odd, 1), wire=Wire())
    assert outcome.retried[0].startswith("UnknownAllocation: Not asked for: ")


def test_statements_do_not_grow_with_the_orders():
    stocked(A={"york": 300}, B={"york": 300})
    consume(*[placed(n, A=2, B=2) for n in range(60)])
    batches = (range(1), range(1, 11), range(11, 60))
    asking = [
        statements(lambda some=some: consume(*[taken_back(n, A=1, B=1) for n in some]))
        for some in batches
    ]
    cuts = {e.order_id: e for e in told(ShipmentCutRequested)}
    assert len(cuts) == 60
    settling = [
        statements(lambda some=some: consume(*[granted(cuts[order(n)], n) for n in some]))
        for some in batches
    ]
    assert asking[0] == asking[1] == asking[2] <= 30
    assert settling[0] == settling[1] == settling[2] <= 30


def test_statements_do_not_grow_with_held_orders():
    stocked(A={"york": 300})
    consume(*[placed(n, A=4, confirm_by=in_time()) for n in range(75)])
    consume(*[placed(n, A=2, confirm_by=in_time()) for n in range(75, 99)])
    counts = [
        statements(lambda some=some: consume(*[taken_back(n, A=1) for n in some]))
        for some in (range(1), range(1, 11), range(11, 60))
    ]
    assert counts[0] == counts[1] == counts[2] <= 30
