"""Confirming, expiring, taking back and filling at the same time, in real transactions."""

import random

import pytest

from inventory import holding, locks
from inventory.events import (
    ReservationExpired,
    ShipmentCutRequested,
    StockHeld,
    StockReleased,
    StockReserved,
    StockShort,
)
from inventory.models import Allocation, Cut, Reservation
from inventory.selectors import books_off

from .conftest import (
    assert_nobody_waits_in_vain,
    at_once,
    cancelled,
    confirmed,
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
    taken_back,
    told,
    too_late,
    waiting,
)
from .test_races import meanwhile

pytestmark = pytest.mark.django_db(transaction=True)


def state(number=1):
    return Allocation.objects.get(pk=order(number)).state


def test_a_confirmation_that_waits_for_the_expiry_reserves_anew():
    stocked(A={"york": 5})
    consume(placed(1, A=4, confirm_by=too_late()))
    with meanwhile(lambda: consume(confirmed(1))) as start:
        locks.products(["A"])
        locks.allocations([order(1)])  # where confirming begins, since nothing has expired yet
        start()
        holding.expire_holds()
    assert (state(), levels("A")) == ("open", {"york": (5, 4)})
    assert len(told(ReservationExpired)) == len(told(StockReserved)) == 1
    assert sorted(Reservation.objects.values_list("state", flat=True)) == ["expired", "held"]
    assert list(books_off()) == []


def test_an_expiry_that_waits_for_the_confirmation_lets_nothing_go():
    stocked(A={"york": 5})
    consume(placed(1, A=4, confirm_by=too_late()))
    with meanwhile(holding.expire_holds) as start:
        locks.levels_of_products([])
        locks.allocations([order(1)])
        start()
        consume(confirmed(1))
    assert (state(), levels("A")) == ("open", {"york": (5, 4)})
    assert told(ReservationExpired) == []


def test_a_cancellation_sees_what_was_held_while_it_waited():
    """The hold was filled between the look at it and its lock: all of it is let go."""
    stocked(A={"york": 0})
    consume(placed(1, A=4, confirm_by=too_late()))
    receive(A=3)
    with meanwhile(lambda: consume(cancelled(1))) as start:
        locks.allocations([order(1)])
        start()
        follow()
    assert levels("A") == {"york": (3, 0)}
    assert len(told(StockReleased)) == 1
    assert list(books_off()) == []


def test_an_expiry_sees_what_was_held_while_it_waited():
    stocked(A={"york": 0})
    consume(placed(1, A=4, confirm_by=too_late()))
    receive(A=3)
    with meanwhile(holding.expire_holds) as start:
        locks.allocations([order(1)])
        start()
        follow()
    assert (state(), levels("A"), waiting()) == ("expired", {"york": (3, 0)}, [])
    assert list(books_off()) == []


@pytest.mark.parametrize("turn", range(4))
def test_confirming_racing_with_expiring_never_loses_a_confirmation(turn, deadlocks):
    stocked(A={"york": 20, "leeds": 20}, B={"york": 40})
    numbers = range(30)
    consume(*[placed(n, A=1, B=1, confirm_by=too_late()) for n in numbers])
    publish()
    chance = random.Random(turn)
    mine = chance.sample(numbers, 20)
    at_once(
        *[lambda some=mine[k::4]: consume(*[confirmed(n) for n in some]) for k in range(4)],
        *[holding.expire_holds] * 3,
        lambda: consume(*[placed(n, A=1) for n in range(100, 105)]),
    )
    holding.expire_holds()
    follow()
    assert {state(n) for n in mine} == {"open"}
    assert {state(n) for n in set(numbers) - set(mine)} == {"expired"}
    promised = {e.order_id for e in told(StockReserved, StockShort)}
    assert promised.issuperset({order(n) for n in mine})
    assert deadlocks() == 0
    assert_nobody_waits_in_vain()


def test_a_part_taken_back_while_its_shipment_is_booked_out_is_settled_once(deadlocks):
    stocked(A={"york": 90})
    consume(*[placed(n, A=3) for n in range(30)])
    consume(*[taken_back(n, A=2) for n in range(30)])
    cuts = {n: cut for n, cut in zip(range(30), told(ShipmentCutRequested), strict=True)}
    at_once(
        lambda: consume(*[dispatched(cuts[n].shipment_id, n) for n in range(30)]),
        lambda: consume(*[granted(cuts[n], n) for n in range(0, 30, 2)]),
        lambda: consume(*[granted(cuts[n], n) for n in range(28, -1, -2)]),
        lambda: consume(*[refused(cuts[n], n) for n in range(1, 30, 2)]),
    )
    assert levels("A") == {"york": (15 * 2, 0)}
    assert deadlocks() == 0
    assert list(books_off()) == []


@pytest.mark.parametrize("turn", range(4))
def test_the_whole_life_at_once_leaves_the_books_balanced(turn, deadlocks):
    skus = ["A", "B", "C"]
    stocked(**{sku: {"york": 12, "leeds": 12} for sku in skus})
    chance = random.Random(turn)
    firm, loose = range(40), range(40, 80)
    orders = {
        n: placed(
            n,
            lines=[(sku, chance.randint(1, 3)) for sku in chance.sample(skus, 2)],
            priority=chance.randint(0, 9),
            confirm_by=too_late() if n in loose else None,
        )
        for n in (*firm, *loose)
    }
    consume(*[orders[n] for n in range(20)])
    publish()
    shipments = [(s.shipment_id, n) for n in range(20) for s in shipments_of(n)]
    known = [n for n in (*range(20), *loose) if n % 2]
    parts = [taken_back(n, **{orders[n].open().lines[0].sku: 1}) for n in chance.sample(known, 20)]
    consume(*[orders[n] for n in loose])
    publish()
    at_once(
        *[lambda n=n: consume(*[orders[m] for m in range(n, n + 10)]) for n in (20, 30)],
        lambda: [consume(*parts[k : k + 5]) for k in range(0, 20, 5)],
        lambda: consume(*[confirmed(n) for n in range(40, 60)]),
        lambda: [consume(*[cancelled(n) for n in range(k + 9, k - 1, -3)]) for k in (0, 30, 60)],
        holding.expire_holds,
        lambda: consume(*[dispatched(*s) for s in shipments[::2]]),
        lambda: [(receive(reference=str(n), A=2, B=2), follow()) for n in range(4)],
    )
    holding.expire_holds()
    answer_all(shipments[::2])
    follow()
    assert deadlocks() == 0
    assert not Cut.objects.filter(state="asked").exists()
    assert_nobody_waits_in_vain()
    held = Reservation.objects.filter(state="held", expires_at__isnull=False)
    assert not held.exists()
    assert {e.order_id for e in told(StockHeld)} == {order(n) for n in loose}


def answer_all(left):
    """As routing would: what has left is refused."""
    numbers = {order(n): n for n in range(100)}
    gone = {shipment for shipment, _ in left}
    for cut in told(ShipmentCutRequested):
        answer = refused if cut.shipment_id in gone else granted
        consume(answer(cut, numbers[cut.order_id]))


def shipments_of(number):
    return [s for e in told(StockReserved) if e.order_id == order(number) for s in e.shipments]
