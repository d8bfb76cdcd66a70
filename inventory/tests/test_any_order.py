"""Whatever happens to stock, in whatever order, and however often each event is delivered: the
books balance after each step, and what has come in is where it is said to be.

The machine knows only what its own hands did: how many units of each product have come in and
gone out. Everything else it reads from the books.
"""

from collections import Counter
from typing import Any

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

from inventory import adjusting, counting, holding, returning, transferring
from inventory.events import ShipmentCutRequested
from inventory.models import (
    Allocation,
    Backorder,
    Cut,
    Reservation,
    StockLevel,
    Transfer,
    Warehouse,
)
from inventory.selectors import books_off
from inventory.services import InvalidStockChange

from .conftest import (
    NOON,
    cancelled,
    confirmed,
    consume,
    dispatched,
    follow,
    granted,
    in_time,
    order,
    placed,
    product,
    receive,
    refused,
    returned,
    shipment_cancelled,
    taken_back,
    told,
    too_late,
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
        self._owned: Counter[str] = Counter()
        self._wanted = {}
        self._taken: Counter[tuple[int, str]] = Counter()

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

    @rule(
        wanted=st.dictionaries(skus, units, min_size=1),
        priority=st.integers(0, 2),
        confirm_by=st.sampled_from([None, None, in_time, too_late]),
    )
    def place(self, wanted, priority, confirm_by):
        self._orders += 1
        self._wanted[self._orders] = wanted
        confirm_by = confirm_by and confirm_by()
        twice(placed(self._orders, priority=priority, confirm_by=confirm_by, **wanted))

    @precondition(lambda self: self._orders)
    @rule(data=st.data())
    def confirm(self, data):
        """Also after it has expired: then it was confirmed in time, and the news was late."""
        twice(confirmed(data.draw(st.integers(1, self._orders))))

    @precondition(lambda self: self._orders)
    @rule(data=st.data())
    def take_back_a_part(self, data):
        number = data.draw(st.integers(1, self._orders))
        sku = data.draw(some(self._wanted[number]))
        before = self._taken[number, sku]
        if left := self._wanted[number][sku] - before:
            count = data.draw(st.integers(1, left))
            self._taken[number, sku] += count
            twice(taken_back(number, before, **{sku: count}))

    @rule(data=st.data())
    def cancel(self, data):
        """Also before its order is placed, and after a part of it has left."""
        number = data.draw(st.integers(1, self._orders + 1))
        twice(cancelled(number))
        for shipment_id in sorted(shipments("held", order(number))):
            twice(shipment_cancelled(shipment_id, number))

    # --- what happens on the road ---------------------------------------------------------

    @precondition(lambda self: Cut.objects.filter(state="asked").exists())
    @rule(data=st.data(), yes=st.booleans())
    def answer_to_a_cut(self, data, yes):
        """Yes, as long as it has not left; otherwise it may be either."""
        cut = data.draw(some(Cut.objects.filter(state="asked").values_list("pk", flat=True)))
        [request] = [event for event in told(ShipmentCutRequested) if event.cut_id == cut]
        gone = request.shipment_id in shipments("committed")
        answer = granted if yes and not gone else refused
        twice(answer(request, self._number(request.shipment_id)))

    @precondition(lambda self: shipments("held", confirmed=True))
    @rule(data=st.data())
    def dispatch(self, data):
        shipment_id = data.draw(some(shipments("held", confirmed=True)))
        self._own(contents(shipment_id), -1)
        twice(dispatched(shipment_id, self._number(shipment_id)))

    @precondition(lambda self: shipments("committed"))
    @rule(data=st.data())
    def bring_back(self, data):
        shipment_id = data.draw(some(shipments("committed")))
        self._own(contents(shipment_id))
        self._own(sent_back(shipment_id), -1)
        twice(returned(shipment_id, self._number(shipment_id)))

    @precondition(lambda self: shipments("committed"))
    @rule(data=st.data(), how=st.sampled_from(["restock", "quarantine", "scrap"]))
    def customer_sends_back(self, data, how):
        shipment_id = data.draw(some(shipments("committed")))
        rows = Reservation.objects.filter(shipment_id=shipment_id).order_by("pk")
        row = data.draw(st.sampled_from(list(rows.select_related("level__product"))))
        if left := row.quantity - row.returned:
            sku, count = row.level.product.sku, data.draw(st.integers(1, left))
            line = returning.ReturnLine(sku, count, how)
            details = {"shipment_id": shipment_id, "lines": [line], "actor": "ada"}
            reference = f"return {row.returned}"
            assert returning.take_back(**details, reference=reference)
            assert not returning.take_back(**details, reference=reference)
            if how != "scrap":
                self._owned[sku] += count

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

    def _change(self, level, owned, possible, change):
        """A change that is refused if it is not possible, and then changes nothing."""
        try:
            change()
        except InvalidStockChange:
            assert not possible
        else:
            assert possible
            self._owned[level.product.sku] += owned

    @precondition(lambda self: StockLevel.objects.exists())
    @rule(data=st.data(), delta=st.integers(-6, 6))
    def adjust(self, data, delta):
        level = data.draw(any_level())
        possible = delta != 0 and level.available + delta >= 0
        why = {"reason": "test", "actor": "ada"}
        self._change(
            level,
            delta,
            possible,
            lambda: adjusting.adjust_stock(level_id=level.pk, delta=delta, **why),
        )

    @precondition(lambda self: StockLevel.objects.exists())
    @rule(data=st.data(), found=st.integers(0, 12))
    def count(self, data, found):
        level = data.draw(any_level())
        place, sku = level.warehouse, level.product.sku
        opened = counting.open_count(warehouse=place, due_on=NOON.date(), actor="ada", skus=[sku])
        self._change(
            level,
            found - level.on_hand,
            found >= level.reserved,
            lambda: counting.record_count(count_id=opened.pk, lines=[(sku, found)], actor="ada"),
        )
        counting.close_count(count_id=opened.pk, actor="ada")

    @precondition(lambda self: StockLevel.objects.exists())
    @rule(data=st.data(), count=units)
    def set_aside(self, data, count):
        level = data.draw(any_level())
        step, owned, possible = data.draw(
            st.sampled_from(
                [
                    (adjusting.quarantine_stock, 0, count <= level.available),
                    (adjusting.restock_quarantined, 0, count <= level.quarantined),
                    (adjusting.scrap_stock, -count, count <= level.quarantined),
                ]
            )
        )
        details = {"level_id": level.pk, "quantity": count, "reason": "test", "actor": "ada"}
        self._change(level, owned, possible, lambda: step(**details))

    @precondition(lambda self: StockLevel.objects.exists())
    @rule(data=st.data(), kept=st.integers(0, 4))
    def keep_safety_stock(self, data, kept):
        level = data.draw(any_level())
        adjusting.set_limits(level_id=level.pk, safety_stock=kept, actor="ada")

    @precondition(lambda self: StockLevel.objects.exists())
    @rule(data=st.data(), count=units)
    def send_to_the_other_place(self, data, count):
        level = data.draw(any_level())
        source, sku = level.warehouse, level.product.sku
        row = transferring.propose_transfer(
            source=source,
            target=Warehouse.objects.exclude(pk=source.pk).get(),
            lines=[(sku, count)],
            reason="test",
            actor="ada",
        )
        self._change(
            level,
            0,
            count <= level.available,
            lambda: transferring.ship_transfer(transfer_id=row.pk, actor="ada"),
        )

    @precondition(lambda self: on_the_way())
    @rule(data=st.data(), lost=st.integers(0, 2))
    def arrive(self, data, lost):
        row = Transfer.objects.get(pk=data.draw(some(on_the_way())))
        line = row.lines.get()
        arrived = max(0, line.quantity - lost)
        lines = [(line.product.sku, arrived)]
        transferring.receive_transfer(transfer_id=row.pk, lines=lines, reason="?", actor="ada")
        self._owned[line.product.sku] -= line.quantity - arrived

    @precondition(lambda self: on_the_way())
    @rule(data=st.data())
    def turn_back(self, data):
        pk = data.draw(some(on_the_way()))
        transferring.cancel_transfer(transfer_id=pk, reason="test", actor="ada")

    # --- what time does -------------------------------------------------------------------

    @rule()
    def expire(self):
        holding.expire_holds()
        assert not Reservation.objects.filter(state="held", expires_at__lt=too_late()).exists()

    # --- what the machinery does ----------------------------------------------------------

    @rule()
    def settle(self):
        """All that inventory tells itself arrives."""
        follow()
        wanted = set(Backorder.objects.values_list("product", flat=True))
        levels = StockLevel.objects.filter(product__in=wanted)
        assert not any(level.promisable for level in levels), "an order waits in vain"

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
        """An open order has what it wants or stands in line for it; no other stands there."""
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

    @invariant()
    def what_is_only_held_never_leaves(self):
        held = Reservation.objects.filter(allocation__confirm_by__isnull=False)
        assert not held.filter(state="committed").exists()


def twice(envelope):
    """Deliver an event, and deliver it again."""
    consume(envelope)
    consume(envelope)


def any_level():
    rows = StockLevel.objects.select_related("product", "warehouse").order_by("pk")
    return st.sampled_from(list(rows))


def on_the_way():
    return set(Transfer.objects.filter(state="in_transit").values_list("pk", flat=True))


def shipments(state, order_id=None, confirmed=False):
    rows = Reservation.objects.filter(state=state)
    if order_id is not None or confirmed:
        rows = rows.filter(expires_at=None)  # routing knows of no others
    if order_id is not None:
        rows = rows.filter(allocation=order_id)
    return set(rows.values_list("shipment_id", flat=True))


def contents(shipment_id):
    rows = Reservation.objects.filter(shipment_id=shipment_id, state__in=["held", "committed"])
    return dict(rows.values_list("level__product__sku", "quantity"))


def sent_back(shipment_id):
    """By the customer, before."""
    rows = Reservation.objects.filter(shipment_id=shipment_id, state="committed")
    return dict(rows.values_list("level__product__sku", "returned"))


def counted(rows, sku):
    """{(order, SKU): units}"""
    total: Counter[Any] = Counter()
    for pk, name, units in rows.values_list("allocation_id", sku, "quantity"):
        total[pk, name] += units
    return total


@pytest.mark.django_db
def test_in_any_order():
    run_state_machine_as_test(Shop, settings=settings(max_examples=60, stateful_step_count=25))
