"""Whatever happens to stock, in whatever order, and however often each event is delivered: the
books balance after each step, and what has come in is where it is said to be.

The machine knows only what its own hands did: how many units of each product have come in and
gone out. Everything else it reads from the books.
"""

from collections import Counter

import pytest
from django.db import transaction
from django.db.models import F, Sum
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from inventory.models import Allocation, Backorder, Reservation, StockLevel
from inventory.selectors import books_off
from inventory.services import InvalidStockChange, adjust_stock

from .conftest import (
    assert_nobody_waits_in_vain,
    cancelled,
    consume,
    dispatched,
    follow,
    order,
    placed,
    product,
    receive,
    returned,
    shipment_cancelled,
    warehouse,
)

SKUS = ("A", "B", "C")
PLACES = ("york", "leeds")
units = st.integers(1, 6)
places = st.sampled_from(PLACES)
skus = st.sampled_from(SKUS)


def some(rows):
    """One of these."""
    return st.sampled_from(sorted(rows))


class Shop(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self._undo = transaction.atomic()
        self._undo.__enter__()
        self._orders = 0
        self._owned = Counter()

    def teardown(self):
        transaction.set_rollback(True)
        self._undo.__exit__(None, None, None)

    @initialize()
    def open(self):
        product(*SKUS)
        for code in PLACES:
            warehouse(code)

    def _own(self, units, sign=1):
        for sku, count in units.items():
            self._owned[sku] += sign * count

    # --- what channels do -----------------------------------------------------------------

    @rule(wanted=st.dictionaries(skus, units, min_size=1))
    def place(self, wanted):
        self._orders += 1
        twice(placed(self._orders, **wanted))

    @rule(data=st.data())
    def cancel(self, data):
        """Also before its order is placed, and after a part of it has left."""
        number = data.draw(st.integers(1, self._orders + 1))
        twice(cancelled(number))
        for shipment_id in sorted(shipments("held", order(number))):
            twice(shipment_cancelled(shipment_id, number))

    # --- what happens on the road ---------------------------------------------------------

    @precondition(lambda self: shipments("held"))
    @rule(data=st.data())
    def dispatch(self, data):
        shipment_id = data.draw(some(shipments("held")))
        self._own(contents(shipment_id), -1)
        twice(dispatched(shipment_id, self._number(shipment_id)))

    @precondition(lambda self: shipments("committed"))
    @rule(data=st.data())
    def bring_back(self, data):
        shipment_id = data.draw(some(shipments("committed")))
        self._own(contents(shipment_id))
        twice(returned(shipment_id, self._number(shipment_id)))

    def _number(self, shipment_id):
        [pk] = set(
            Reservation.objects.filter(shipment_id=shipment_id).values_list(
                "allocation_id", flat=True
            )
        )
        return next(n for n in range(1, self._orders + 1) if order(n) == pk)

    # --- what staff do --------------------------------------------------------------------

    @rule(code=places, sku=skus, count=units, note=st.integers(1, 9))
    def receive(self, code, sku, count, note):
        """A delivery note that comes again counts once."""
        if receive(code, f"note {note}", **{sku: count}):
            self._owned[sku] += count

    @precondition(lambda self: StockLevel.objects.exists())
    @rule(data=st.data(), delta=st.integers(-6, 6))
    def adjust(self, data, delta):
        level = data.draw(st.sampled_from(list(StockLevel.objects.order_by("pk"))))
        possible = delta != 0 and level.available + delta >= 0
        try:
            adjust_stock(level_id=level.pk, delta=delta, reason="test", actor="ada")
        except InvalidStockChange:
            assert not possible
        else:
            assert possible
            self._owned[level.product.sku] += delta

    # --- what the machinery does ----------------------------------------------------------

    @rule()
    def settle(self):
        """All that inventory tells itself arrives."""
        follow()
        assert_nobody_waits_in_vain()

    # --- what holds after each step -------------------------------------------------------

    @invariant()
    def the_books_balance(self):
        assert list(books_off()) == []

    @invariant()
    def what_came_in_is_there(self):
        figures = F("on_hand") + F("quarantined") + F("in_transit")
        rows = StockLevel.objects.order_by().values_list("product__sku")
        assert dict(rows.annotate(total=Sum(figures)).filter(total__gt=0)) == +self._owned

    @invariant()
    def nobody_is_promised_more_than_wanted(self):
        taken = Reservation.objects.filter(state__in=["held", "committed", "returned"])
        promised = counted(taken, "level__product__sku")
        waiting = counted(Backorder.objects.all(), "product__sku")
        for allocation in Allocation.objects.all():
            for sku, wanted in allocation.wanted.items():
                has, waits = promised[allocation.pk, sku], waiting[allocation.pk, sku]
                if allocation.state == Allocation.State.OPEN:
                    assert has + waits == wanted
                else:
                    assert has <= wanted
                    assert waits == 0


def twice(envelope):
    """Deliver an event, and deliver it again."""
    consume(envelope)
    consume(envelope)


def shipments(state, order_id=None):
    rows = Reservation.objects.filter(state=state)
    if order_id is not None:
        rows = rows.filter(allocation=order_id)
    return set(rows.values_list("shipment_id", flat=True))


def contents(shipment_id):
    rows = Reservation.objects.filter(shipment_id=shipment_id)
    return dict(rows.values_list("level__product__sku", "quantity"))


def counted(rows, sku):
    """{(order, SKU): units}"""
    total = Counter()
    for pk, name, units in rows.values_list("allocation_id", sku, "quantity"):
        total[pk, name] += units
    return total


@pytest.mark.django_db
def test_in_any_order():
    run_state_machine_as_test(Shop, settings=settings(max_examples=60, stateful_step_count=25))
