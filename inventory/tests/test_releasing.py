"""Reservations that the warehouse gives up: routing is asked, the order waits for other units."""

from datetime import date

import pytest

from inventory import counting, releasing
from inventory.checking import InvalidStockChange
from inventory.events import (
    AllocationReduced,
    BackorderFilled,
    ShipmentCutRequested,
    StockQuarantined,
    StockReleased,
)
from inventory.models import (
    Allocation,
    Cut,
    Product,
    Reservation,
    StockLevel,
    StockMovement,
    Warehouse,
)
from inventory.selectors import books_off
from supplychain.events.context import new_id

from .conftest import (
    assert_nobody_waits_in_vain,
    at_once,
    cancelled,
    consume,
    dispatched,
    follow,
    granted,
    levels,
    order,
    placed,
    publish,
    receive,
    refused,
    stocked,
    told,
    waiting,
)

pytestmark = pytest.mark.django_db


def reserved(number=1, sku="A"):
    return Reservation.objects.get(
        allocation=order(number), level__product__sku=sku, state=Reservation.State.HELD
    )


def release(number=1, sku="A", **options):
    return releasing.release_reservation(
        reservation_id=reserved(number, sku).pk, reason="crushed", actor="ada", **options
    )


def request():
    return told(ShipmentCutRequested)[-1]


def test_routing_is_asked_and_until_it_answers_the_units_stay_reserved():
    stocked(A={"york": 5}, B={"york": 5})
    consume(placed(1, A=3, B=1))
    cut = release()
    asked = request()
    assert (asked.cut_id, asked.shipment_id) == (cut.pk, reserved().shipment_id)
    assert [(line.sku, line.quantity) for line in asked.lines] == [("A", 3)]
    assert (asked.weight_kg, asked.empties) == (7.5, False)
    assert levels("A") == {"york": (5, 3)}
    release(sku="B")
    assert request().empties
    with pytest.raises(InvalidStockChange, match="all of it was asked for already"):
        release()


def test_when_it_has_not_left_the_units_are_free_and_the_order_waits_behind_the_others():
    stocked(A={"york": 3})
    consume(placed(1, A=3), placed(2, A=2))
    release()
    publish()
    consume(granted(request(), 1))
    assert levels("A") == {"york": (3, 0)}
    assert waiting() == [(2, "A", 2), (1, "A", 3)]
    assert Allocation.objects.get(pk=order(1)).wanted == {"A": 3}
    assert [(r.lines[0].quantity) for r in told(StockReleased)] == [3]
    [event] = told(AllocationReduced)
    assert [(line.sku, line.quantity) for line in event.outstanding] == [("A", 3)]
    assert (event.kept, event.shipments[0].quantity) == ([], 0)
    follow()
    assert waiting() == [(1, "A", 2)]
    assert {e.order_id for e in told(BackorderFilled)} == {order(1), order(2)}
    assert_nobody_waits_in_vain()


def test_what_is_set_aside_is_promised_to_nobody_and_the_order_keeps_its_place():
    stocked(A={"york": 3})
    consume(placed(1, A=3), placed(2, A=2))
    release(set_aside=True)
    publish()
    consume(granted(request(), 1))
    follow()
    level = StockLevel.objects.get()
    assert (level.on_hand, level.reserved, level.quarantined) == (0, 0, 3)
    assert waiting() == [(1, "A", 3), (2, "A", 2)]
    [event] = told(StockQuarantined)
    assert (event.quantity, event.reason, event.actor) == (3, "crushed", "ada")
    lines = StockMovement.objects.filter(reason="quarantine")
    assert {(m.bucket, m.delta, m.actor) for m in lines} == {
        ("on_hand", -3, "ada"),
        ("quarantined", 3, "ada"),
    }
    receive(A=4)
    follow()
    assert waiting() == [(2, "A", 1)]
    assert_nobody_waits_in_vain()


def test_what_has_left_stays_with_the_order():
    stocked(A={"york": 5})
    consume(placed(1, A=3))
    shipment = reserved().shipment_id
    release(set_aside=True)
    consume(refused(request(), 1))
    consume(dispatched(shipment, 1))
    assert levels("A") == {"york": (2, 0)}
    assert waiting() == []
    assert Cut.objects.get().state == "refused"
    assert Allocation.objects.get().kept == {}
    assert not told(StockQuarantined)
    assert list(books_off()) == []


def test_news_that_the_rest_has_left_may_come_before_the_answer():
    stocked(A={"york": 5}, B={"york": 5})
    consume(placed(1, A=3, B=1))
    shipment = reserved().shipment_id
    release(set_aside=True)
    consume(dispatched(shipment, 1))
    consume(granted(request(), 1))
    level = StockLevel.objects.get(product__sku="A")
    assert (level.on_hand, level.reserved, level.quarantined) == (2, 0, 3)
    assert waiting() == [(1, "A", 3)]
    assert list(books_off()) == []


def test_the_answer_twice_changes_nothing():
    stocked(A={"york": 3})
    consume(placed(1, A=3))
    release(set_aside=True)
    answer = granted(request(), 1)
    consume(answer)
    consume(answer)
    consume(granted(request(), 1))
    assert waiting() == [(1, "A", 3)]
    assert StockLevel.objects.get().quarantined == 3


def test_an_order_that_was_cancelled_meanwhile_waits_for_nothing():
    stocked(A={"york": 3})
    consume(placed(1, A=3))
    release()
    consume(cancelled(1))
    consume(granted(request(), 1))
    assert (waiting(), levels("A")) == ([], {"york": (3, 0)})


def test_what_was_released_joins_what_waits_already():
    stocked(A={"york": 3})
    consume(placed(1, A=5))
    assert waiting() == [(1, "A", 2)]
    release(set_aside=True)
    consume(granted(request(), 1))
    assert waiting() == [(1, "A", 5)]


def test_then_the_shelf_can_be_counted():
    """The way out of a count that finds fewer than are reserved."""
    stocked(A={"york": 3})
    consume(placed(1, A=3))
    place = Warehouse.objects.get()
    count = counting.open_count(warehouse=place, due_on=date(2026, 5, 20), actor="ada")

    def record():
        counting.record_count(count_id=count.pk, lines=[("A", 0)], actor="ada")

    with pytest.raises(InvalidStockChange, match="release reservations"):
        record()
    release(set_aside=True)
    consume(granted(request(), 1))
    record()
    assert levels("A") == {"york": (0, 0)}
    assert list(books_off()) == []


def test_only_what_is_held_and_confirmed_can_be_asked_for():
    stocked(A={"york": 9})
    consume(placed(1, A=3))
    row = reserved()
    consume(dispatched(row.shipment_id, 1))
    details = {"reason": "x", "actor": "ada"}
    with pytest.raises(InvalidStockChange, match="is committed already"):
        releasing.release_reservation(reservation_id=row.pk, **details)
    with pytest.raises(InvalidStockChange, match="There is no reservation"):
        releasing.release_reservation(reservation_id=new_id(), **details)
    consume(placed(2, A=3))
    Reservation.objects.filter(allocation=order(2)).update(expires_at="2026-05-04T12:00Z")
    with pytest.raises(InvalidStockChange, match=r"not confirmed yet.*2026-05-04 12:00 UTC"):
        release(2)
    with pytest.raises(InvalidStockChange, match="needs a reason"):
        releasing.release_reservation(reservation_id=row.pk, reason=" ", actor="ada")
    assert Product.objects.count() == 1
    assert not Cut.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_asked_for_by_many_at_once_it_is_asked_for_once(deadlocks):
    stocked(A={"york": 3})
    consume(placed(1, A=3))
    refusals = []

    def ask():
        try:
            release()
        except InvalidStockChange as refusal:
            refusals.append(str(refusal))

    at_once(*[ask for _ in range(6)])
    assert len(refusals) == 5
    assert Cut.objects.count() == 1
    assert deadlocks() == 0
