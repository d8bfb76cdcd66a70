"""Stock held for orders that are not confirmed: handed over when they are, let go when not."""

from datetime import timedelta

import pytest
from django.utils import timezone

from inventory import holding
from inventory.events import (
    BackorderFilled,
    ReservationExpired,
    StockHeld,
    StockReleased,
    StockReserved,
    StockShort,
)
from inventory.models import Allocation, Backorder, Reservation
from inventory.selectors import books_off
from inventory.tasks import expire_holds

from .conftest import (
    cancelled,
    confirmed,
    consume,
    follow,
    in_time,
    levels,
    order,
    placed,
    receive,
    statements,
    stocked,
    told,
    too_late,
    waiting,
)

pytestmark = pytest.mark.django_db(transaction=True)


def states():
    return list(Reservation.objects.order_by("pk").values_list("state", flat=True))


def state(number):
    return Allocation.objects.get(pk=order(number)).state


class Wire:
    def __init__(self):
        self.sent = []

    def publish(self, messages):
        self.sent += messages
        return {}

    def close(self):
        pass


# --- priority -----------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.0, 0.25], ids=["in line", "optimised"])
def test_of_orders_that_come_together_the_highest_priority_is_served_first(settings, seconds):
    settings.INVENTORY_OPTIMISE_SECONDS = seconds
    stocked(A={"york": 3})
    consume(placed(1, A=3), placed(2, A=3, priority=9), placed(3, A=1, priority=1))
    assert {e.order_id for e in told(StockReserved)} == {order(2)}
    assert {e.order_id for e in told(StockShort)} == {order(1), order(3)}


def test_who_waits_is_served_by_priority_and_then_in_turn():
    stocked(A={"york": 0})
    consume(placed(1, A=1), placed(2, A=1), placed(3, A=1, priority=2), placed(4, A=1, priority=1))
    for _ in range(4):
        receive(A=1)
        follow()
    assert [e.order_id for e in told(BackorderFilled)] == [order(n) for n in (3, 4, 1, 2)]


def test_an_order_of_high_priority_does_not_jump_a_line_that_is_being_served():
    """What has come in is the fill's to give, by priority, whoever asks in between."""
    stocked(A={"york": 0})
    consume(placed(1, A=1))
    receive(A=1)
    consume(placed(2, A=1, priority=9))
    follow()
    [filled] = told(BackorderFilled)
    assert filled.order_id == order(2)
    assert waiting() == [(1, "A", 1)]


# --- holding ------------------------------------------------------------------------------


def test_an_unconfirmed_order_holds_stock_and_says_so_to_nobody_who_ships():
    stocked(A={"york": 5})
    until = in_time()
    consume(placed(1, A=4, confirm_by=until))
    assert levels("A") == {"york": (5, 4)}
    assert Reservation.objects.get().expires_at == until
    [held] = told(StockHeld)
    assert (held.confirm_by, held.outstanding) == (until, [])
    assert held.shipments[0].lines[0].quantity == 4
    assert told(StockReserved, StockShort) == []
    assert list(books_off()) == []


def test_an_unconfirmed_order_that_gets_nothing_says_it_in_the_same_way():
    stocked(A={"york": 0})
    consume(placed(1, A=4, confirm_by=in_time()))
    [held] = told(StockHeld)
    assert (held.shipments, held.outstanding[0].quantity) == ([], 4)
    receive(A=3)
    follow()
    assert told(StockShort, StockReserved, BackorderFilled) == []
    later = told(StockHeld)[-1]
    assert (later.shipments[0].lines[0].quantity, later.outstanding[0].quantity) == (3, 1)
    assert Reservation.objects.get().expires_at is not None


# --- confirmation -------------------------------------------------------------------------


def test_a_confirmed_order_hands_all_that_is_held_over():
    stocked(A={"york": 2}, B={"leeds": 1})
    consume(placed(1, A=3, B=1, confirm_by=in_time()))
    receive(A=1)
    follow()
    yes = confirmed(1)
    consume(yes)
    [reserved] = told(StockReserved)
    units = [(s.warehouse, line.sku, line.quantity) for s in reserved.shipments for line in s.lines]
    assert sorted(units) == [("leeds", "B", 1), ("york", "A", 1), ("york", "A", 2)]
    assert reserved.outstanding == []
    assert {s.shipment_id for s in reserved.shipments} == set(
        Reservation.objects.values_list("shipment_id", flat=True)
    )
    assert sum(s.weight_kg for s in reserved.shipments) == 4 * 2.5
    assert round(sum(s.volume_m3 for s in reserved.shipments), 6) == 4 * 0.01
    assert reserved.envelope.causation_id == yes.event_id
    assert set(Reservation.objects.values_list("expires_at", flat=True)) == {None}
    assert Allocation.objects.get().confirm_by is None


def test_a_confirmed_order_says_what_it_waits_for():
    stocked(A={"york": 1}, B={"york": 0})
    consume(placed(1, A=1, B=2, confirm_by=in_time()), placed(2, B=1, confirm_by=in_time()))
    consume(confirmed(1), confirmed(2))
    [reserved], [short] = told(StockReserved), told(StockShort)
    assert [(q.sku, q.quantity) for q in reserved.outstanding] == [("B", 2)]
    assert (short.order_id, short.outstanding[0].quantity) == (order(2), 1)
    receive(B=3)
    follow()
    assert {e.order_id for e in told(BackorderFilled)} == {order(1), order(2)}


def test_a_confirmation_that_overtook_its_order_is_tried_again():
    outcome = consume(confirmed(1), wire=Wire())
    assert outcome.retried[0].startswith("UnknownAllocation: Not placed here: ")


@pytest.mark.parametrize("how", ["cancelled", "rejected"])
def test_a_confirmation_of_what_is_over_changes_nothing(how):
    stocked(A={"york": 5})
    if how == "cancelled":
        consume(cancelled(1))
    else:
        consume(placed(1, Z=4, confirm_by=in_time()))
    before = len(told(StockHeld, StockReserved, StockShort))
    consume(confirmed(1))
    assert state(1) == how
    assert len(told(StockHeld, StockReserved, StockShort)) == before == 0


def test_statements_of_confirming_do_not_grow():
    stocked(A={"york": 500})
    consume(*[placed(n, A=1, confirm_by=in_time()) for n in range(60)])
    counts = [
        statements(lambda some=some: consume(*[confirmed(n) for n in some]))
        for some in (range(1), range(1, 11), range(11, 60))
    ]
    assert counts[0] == counts[1] == counts[2] <= 25
    assert len(told(StockReserved)) == 60


# --- expiry -------------------------------------------------------------------------------


def test_what_is_not_confirmed_in_time_is_free_again():
    stocked(A={"york": 5}, B={"york": 1})
    consume(placed(1, A=4, B=3, confirm_by=too_late()))
    assert expire_holds() == 1
    assert (levels("A"), levels("B")) == ({"york": (5, 0)}, {"york": (1, 0)})
    assert (state(1), set(states()), waiting()) == ("expired", {"expired"}, [])
    [event] = told(ReservationExpired)
    assert (event.order_id, event.skus) == (order(1), {"A", "B"})
    assert {line.sku: line.quantity for line in event.lines} == {"A": 4, "B": 1}
    assert event.envelope.correlation_id == f"journey of order/{order(1)}"
    assert list(books_off()) == []
    assert expire_holds() == 0


def test_what_has_expired_goes_to_those_who_wait():
    stocked(A={"york": 5})
    consume(placed(1, A=4, confirm_by=too_late()))
    consume(placed(2, A=5))
    expire_holds()
    follow()
    [filled], [expired] = told(BackorderFilled), told(ReservationExpired)
    assert (filled.order_id, filled.outstanding) == (order(2), [])
    assert filled.envelope.causation_id == expired.envelope.event_id


def test_an_order_that_holds_nothing_expires_too():
    stocked(A={"york": 0})
    consume(placed(1, A=4, confirm_by=too_late()))
    expire_holds()
    assert (state(1), waiting()) == ("expired", [])
    assert told(ReservationExpired)[0].lines == []


def test_what_is_in_time_confirmed_or_over_does_not_expire(settings):
    settings.EXPIRY_GRACE = 60
    stocked(A={"york": 9})
    just = timezone.now() - timedelta(seconds=30)
    consume(placed(1, A=1, confirm_by=just), placed(2, A=1, confirm_by=in_time()))
    consume(placed(3, A=1), placed(4, A=1, confirm_by=too_late()))
    consume(placed(5, A=1, confirm_by=too_late()))
    consume(confirmed(4))
    consume(cancelled(5))
    assert expire_holds() == 0
    assert told(ReservationExpired) == []
    settings.EXPIRY_GRACE = 10
    assert expire_holds() == 1
    assert [e.order_id for e in told(ReservationExpired)] == [order(1)]


def test_a_run_expires_no_more_than_it_may_and_the_next_goes_on(monkeypatch):
    monkeypatch.setattr(holding, "EXPIRED_AT_ONCE", 3)
    monkeypatch.setattr(holding, "EXPIRIES_PER_RUN", 2)
    stocked(A={"york": 20})
    consume(*[placed(n, A=1, confirm_by=too_late()) for n in range(10)])
    assert [holding.expire_holds() for _ in range(3)] == [6, 4, 0]
    assert levels("A") == {"york": (20, 0)}


def test_statements_of_expiring_do_not_grow():
    stocked(A={"york": 500}, B={"york": 10})
    counts = []
    for some in (range(1), range(1, 11), range(11, 60)):
        consume(*[placed(n, A=1, B=1, confirm_by=too_late()) for n in some])
        counts.append(statements(holding.expire_holds))
    assert counts[0] == counts[1] == counts[2] <= 20
    assert len(told(ReservationExpired)) == 60


def test_a_confirmation_in_time_that_comes_after_the_expiry_reserves_anew():
    stocked(A={"york": 5}, B={"york": 2})
    consume(placed(1, A=4, B=2, confirm_by=too_late()))
    expire_holds()
    consume(placed(2, A=3))
    yes = confirmed(1)
    consume(yes)
    reserved = told(StockReserved)[-1]
    assert reserved.order_id == order(1)
    assert reserved.envelope.causation_id == yes.event_id
    units = {line.sku: line.quantity for s in reserved.shipments for line in s.lines}
    assert units == {"A": 2, "B": 2}
    assert waiting() == [(1, "A", 2)]
    assert (state(1), Allocation.objects.get(pk=order(1)).confirm_by) == ("open", None)
    new = Reservation.objects.filter(allocation=order(1), state="held")
    assert set(new.values_list("expires_at", flat=True)) == {None}
    assert list(books_off()) == []
    assert expire_holds() == 0


def test_reserving_anew_does_not_overtake_those_who_wait():
    stocked(A={"york": 2})
    consume(placed(1, A=2, confirm_by=too_late()))
    consume(placed(2, A=2))
    expire_holds()
    consume(confirmed(1))
    assert waiting() == [(1, "A", 2), (2, "A", 2)]
    follow()
    assert waiting() == [(2, "A", 2)]  # it was placed first


# --- cancelling what is held --------------------------------------------------------------


def test_a_cancelled_unconfirmed_order_lets_go_at_once():
    stocked(A={"york": 5})
    consume(placed(1, A=4, confirm_by=in_time()))
    no = cancelled(1)
    consume(no)
    assert levels("A") == {"york": (5, 0)}
    assert (state(1), states()) == ("cancelled", ["released"])
    [released] = told(StockReleased)
    assert released.envelope.causation_id == no.event_id
    assert (released.warehouse, released.lines[0].quantity) == ("york", 4)
    consume(confirmed(1))
    assert told(StockReserved) == []


def test_a_cancelled_confirmed_order_waits_for_routing():
    stocked(A={"york": 5})
    consume(placed(1, A=4, confirm_by=in_time()))
    consume(confirmed(1))
    consume(cancelled(1))
    assert levels("A") == {"york": (5, 4)}
    assert told(StockReleased) == []


def test_a_cancellation_after_the_expiry_is_final():
    stocked(A={"york": 5})
    consume(placed(1, A=4, confirm_by=too_late()))
    expire_holds()
    consume(cancelled(1))
    consume(confirmed(1))
    assert (state(1), states()) == ("cancelled", ["expired"])
    assert told(StockReserved) == []


def test_a_cancellation_before_its_unconfirmed_order_holds_nothing():
    stocked(A={"york": 5})
    consume(cancelled(1))
    consume(placed(1, A=4, confirm_by=in_time()))
    assert levels("A") == {"york": (5, 0)}
    assert not Backorder.objects.exists()


def test_statements_of_letting_go_do_not_grow():
    stocked(A={"york": 500})
    consume(*[placed(n, A=1, confirm_by=in_time()) for n in range(60)])
    counts = [
        statements(lambda some=some: consume(*[cancelled(n) for n in some]))
        for some in (range(1), range(1, 11), range(11, 60))
    ]
    assert counts[0] == counts[1] == counts[2] <= 25
