"""Real transactions at the same time: nothing sold twice, nobody deadlocked, nobody forgotten.

What must not depend on luck holds a lock in one transaction until another one is seen to wait
for it; what must hold for any order of things lets many run at once.
"""

import random
import threading
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from conftest import eventually
from inventory import locks, services
from inventory.events import BackorderFilled, StockReceived, StockReserved, StockShort
from inventory.models import Allocation, Backorder, Product, Reservation, StockLevel
from inventory.selectors import books_off

from .conftest import (
    assert_nobody_waits_in_vain,
    at_once,
    cancelled,
    consume,
    dispatched,
    follow,
    levels,
    order,
    placed,
    product,
    publish,
    receive,
    returned,
    shipment_cancelled,
    stocked,
    told,
    waiting,
    warehouse,
)

pytestmark = pytest.mark.django_db(transaction=True)


def blocked():
    """How many transactions wait for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return cursor.fetchone()[0]


@contextmanager
def meanwhile(action):
    """Run it in another transaction, from when it waits for us until after we have committed."""
    failures = []

    def run():
        try:
            at_once(action)
        except BaseException as failure:  # noqa: BLE001 - raised again below
            failures.append(failure)

    def start():
        thread.start()
        eventually(lambda: blocked() == 1)

    thread = threading.Thread(target=run)
    with transaction.atomic():
        yield start
    thread.join(60)
    assert failures == []


def test_five_units_are_sold_five_times_to_32_at_once(deadlocks):
    stocked(A={"york": 3, "leeds": 2})
    at_once(*[lambda n=n: consume(placed(n, A=1)) for n in range(32)])
    assert Reservation.objects.filter(state="held").count() == 5
    assert len(told(StockReserved)) == 5
    assert len(told(StockShort)) == len(waiting()) == 27
    assert levels("A") == {"york": (3, 3), "leeds": (2, 2)}
    assert deadlocks() == 0
    assert_nobody_waits_in_vain()


def test_crossed_orders_of_several_products_all_end_in_a_promise(deadlocks):
    skus = [f"A{n}" for n in range(8)]
    stocked(**{sku: {"york": 20, "leeds": 20} for sku in skus})
    chance = random.Random(1)

    def batch(worker):
        batches = []
        for number in range(worker * 20, worker * 20 + 20, 5):
            orders = [
                placed(n, lines=[(sku, chance.randint(1, 4)) for sku in chance.sample(skus, 4)])
                for n in range(number, number + 5)
            ]
            chance.shuffle(orders)
            batches.append(orders)
        return lambda: [consume(*orders) for orders in batches]

    at_once(*[batch(worker) for worker in range(12)])
    promised = {event.order_id for event in told(StockReserved, StockShort)}
    assert promised == {order(n) for n in range(240)}
    assert deadlocks() == 0
    assert_nobody_waits_in_vain()


def test_the_same_orders_at_once_are_reserved_once(deadlocks):
    stocked(A={"york": 100})
    orders = [placed(n, A=1) for n in range(10)]
    at_once(*[lambda: consume(*orders) for _ in range(6)])
    assert levels("A") == {"york": (100, 10)}
    assert deadlocks() == 0


@pytest.mark.parametrize("turn", range(6))
def test_receipts_racing_with_orders_leave_nobody_waiting_in_vain(turn, deadlocks):
    """No level exists at first: the hardest case, since there is no row of it to lock."""
    product("A")
    warehouse()
    publish()
    at_once(
        *[lambda n=n: consume(placed(n, A=1)) for n in range(8)],
        lambda: (receive(A=5), follow()),
    )
    follow()
    assert levels("A") == {"york": (5, 5)}
    assert_nobody_waits_in_vain()
    assert deadlocks() == 0


def test_an_order_that_saw_no_level_is_found_by_the_fill():
    """The order has looked for stock and not yet written its backorder when the goods come."""
    product("A")
    warehouse()
    publish()

    def receive_and_fill():
        receive(A=5)
        consume(*[e for e in publish() if e.event_type == StockReceived.event_type])

    with meanwhile(receive_and_fill) as start:
        locks.products(["A"])  # where reserving begins
        assert not StockLevel.objects.exists()
        start()  # the goods are booked; the fill waits for our product
        allocation = Allocation.objects.create(
            order_id=order(1), event_sequence=1, correlation_id="x", destination=destination()
        )
        Backorder.objects.create(
            allocation=allocation,
            product=Product.objects.get(),
            quantity=2,
            placed_at="2026-05-04T12:00Z",
        )
    assert waiting() == []
    assert levels("A") == {"york": (5, 2)}


def destination():
    place = {"city": "York", "postal_code": "YO1", "country": "GB", "address": "1 Mill Lane"}
    return {**place, "latitude": 53.96, "longitude": -1.08, "name": "Ada"}


def test_an_order_cancelled_while_the_fill_waits_for_it_leaves_its_stock_to_the_next():
    stocked(A={"york": 0})
    consume(placed(1, A=2), placed(2, A=2))
    receive(A=2)
    with meanwhile(follow) as start:
        locks.allocations([order(1)])  # where cancelling begins
        start()  # the fill waits for order 1, which is first in line
        Allocation.objects.filter(pk=order(1)).update(state="cancelled")
        Backorder.objects.filter(allocation=order(1)).delete()
    assert [event.order_id for event in told(BackorderFilled)] == [order(2)]
    assert waiting() == []
    assert levels("A") == {"york": (2, 2)}


def test_an_order_filled_while_its_cancellation_waits_keeps_what_it_holds():
    stocked(A={"york": 0})
    consume(placed(1, A=3))
    receive(A=2)
    with meanwhile(lambda: consume(cancelled(1))) as start:
        locks.allocations([order(1)])
        start()
        follow()
    assert waiting() == []
    assert levels("A") == {"york": (2, 2)}
    assert Allocation.objects.get(pk=order(1)).state == "cancelled"
    assert list(books_off()) == []


@pytest.mark.parametrize("turn", range(6))
def test_cancelling_racing_with_filling_leaves_nobody_waiting_in_vain(turn, deadlocks):
    stocked(A={"york": 0})
    consume(*[placed(n, A=1) for n in range(20)])
    publish()
    at_once(
        *[lambda n=n: consume(cancelled(n), cancelled(n + 1)) for n in (0, 4, 8)],
        lambda: consume(cancelled(3), cancelled(2)),
        lambda: (receive(A=4), follow()),
        lambda: (receive(A=3), follow()),
    )
    follow()
    assert levels("A") == {"york": (7, 7)}
    assert_nobody_waits_in_vain()
    assert deadlocks() == 0


def test_an_order_and_its_cancellation_at_once_end_cancelled(deadlocks):
    stocked(A={"york": 100})
    at_once(
        *[lambda n=n: consume(*[placed(m, A=1) for m in range(n, n + 5)]) for n in (0, 5)],
        *[lambda n=n: consume(*[cancelled(m) for m in range(n, -1, -1)]) for n in (4, 9, 7)],
    )
    assert set(Allocation.objects.values_list("state", flat=True)) == {"cancelled"}
    assert Allocation.objects.count() == 10
    assert levels("A")["york"][1] == Reservation.objects.filter(state="held").count()
    assert waiting() == []
    assert deadlocks() == 0


def test_new_levels_of_the_same_products_are_made_at_once(deadlocks):
    skus = [f"A{n}" for n in range(40)]
    product(*skus)
    place = warehouse()

    def book(number, order_of_skus):
        services.receive_stock(
            warehouse=place,
            lines=[(sku, 1) for sku in order_of_skus],
            reference=f"note {number}",
            actor="tests",
        )

    chance = random.Random(2)
    at_once(*[lambda n=n: book(n // 2, chance.sample(skus, len(skus))) for n in range(12)])
    assert {sku: levels(sku) for sku in skus} == {sku: {"york": (6, 0)} for sku in skus}
    assert list(books_off()) == []
    assert deadlocks() == 0


def test_everything_at_once_leaves_the_books_balanced(deadlocks):
    """Orders, cancellations, receipts, corrections, departures, returns, on few products."""
    skus = [f"A{n}" for n in range(4)]
    stocked(**{sku: {"york": 10, "leeds": 10} for sku in skus})
    chance = random.Random(3)
    orders = {
        n: placed(n, lines=[(sku, chance.randint(1, 3)) for sku in chance.sample(skus, 3)])
        for n in range(120)
    }
    consume(*[orders[n] for n in range(20)])
    publish()
    shipments = [(s.shipment_id, n) for n in range(20) for s in shipments_of(n)]
    leaving, staying = shipments[::2], shipments[1::2]
    pks = list(StockLevel.objects.values_list("pk", flat=True))
    at_once(
        *[
            lambda n=n: [
                consume(*[orders[m] for m in range(k, k + 5)]) for k in range(n, n + 25, 5)
            ]
            for n in range(20, 120, 25)
        ],
        lambda: [
            consume(*[cancelled(m) for m in range(k + 9, k - 1, -1)]) for k in range(0, 60, 10)
        ],
        lambda: [(receive(reference=str(n), **dict.fromkeys(skus, 2)), follow()) for n in range(6)],
        lambda: [
            (services.adjust_stock(level_id=pk, delta=3, reason="found", actor="x"), follow())
            for pk in pks
        ],
        lambda: [consume(*[shipment_cancelled(*s) for s in staying]), follow()],
        lambda: [
            consume(*[dispatched(*s) for s in leaving]),
            consume(*[returned(*s) for s in leaving]),
            follow(),
        ],
    )
    follow()
    assert deadlocks() == 0
    assert_nobody_waits_in_vain()


def shipments_of(number):
    return [s for e in told(StockReserved) if e.order_id == order(number) for s in e.shipments]
