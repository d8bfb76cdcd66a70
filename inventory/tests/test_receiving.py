"""Announced goods: what is said about them, what comes of them, and what can't be said."""

from datetime import date

import pytest

from inventory import receiving
from inventory.checking import InvalidStockChange
from inventory.events import ReceiptCancelled, ReceiptClosed, ReceiptExpected, StockReceived
from inventory.models import Product, Receipt, ReceiptLine
from inventory.selectors import books_off
from supplychain.events.context import new_id
from supplychain.events.models import OutboxEvent

from .conftest import at_once, levels, product, told, warehouse
from .test_races import meanwhile

pytestmark = pytest.mark.django_db
MAY = date(2026, 5, 20)


@pytest.fixture
def york():
    product("A", "B", "C")
    return warehouse()


def expect(place, reference="PO 1", day=MAY, supplier="Acme", **units):
    return receiving.expect_receipt(
        warehouse=place,
        reference=reference,
        supplier=supplier,
        expected_on=day,
        lines=list(units.items()),
        actor="ada",
    )[0]


def come(place, receipt, reference, **units):
    return receiving.receive_stock(
        warehouse=place,
        lines=list(units.items()),
        reference=reference,
        actor="ben",
        receipt=receipt,
    )


def figures(receipt):
    rows = receipt.lines.order_by("pk").values_list("product__sku", "quantity", "received")
    return {sku: (announced, received) for sku, announced, received in rows}


def state(receipt):
    return Receipt.objects.get(pk=receipt.pk).state


# --- announcing ---------------------------------------------------------------------------


def test_an_announcement_is_told(york):
    receipt = expect(york, A=5, B=2)
    [event] = told(ReceiptExpected)
    assert (event.receipt_id, event.warehouse, event.reference) == (receipt.pk, "york", "PO 1")
    assert (event.expected_on, event.supplier, event.actor) == (MAY, "Acme", "ada")
    assert {line.sku: line.quantity for line in event.lines} == {"A": 5, "B": 2}
    assert levels("A") == {}


def test_the_same_announcement_again_is_the_one_that_is_there(york):
    assert expect(york, A=5).pk == expect(york, A=5).pk
    assert len(told(ReceiptExpected)) == 1
    assert figures(Receipt.objects.get()) == {"A": (5, 0)}


@pytest.mark.parametrize(
    "other",
    [{"A": 6}, {"A": 5, "B": 1}, {"A": 5, "day": date(2026, 6, 1)}, {"A": 5, "supplier": ""}],
)
def test_a_reference_announces_one_thing(york, other):
    expect(york, A=5)
    with pytest.raises(InvalidStockChange, match="'PO 1' in york announces something else"):
        expect(york, **other)
    assert figures(Receipt.objects.get()) == {"A": (5, 0)}


@pytest.mark.parametrize(
    ("units", "reason"),
    [
        ({"A": 0}, "A: a quantity must be a whole number from 1 to 1,000,000,000"),
        ({"A": -1}, "whole number"),
        ({"A": 1.5}, "whole number"),
        ({"A": True}, "whole number"),
        ({"A": 10**9 + 1}, "whole number"),
        ({"NOPE": 1}, "There is no product NOPE"),
        ({"C": 1}, "C is inactive"),
        ({}, "There are no lines"),
        ({"A": 1, "reference": " "}, "needs a reference"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing(york, units, reason):
    Product.objects.filter(sku="C").update(active=False)
    before = OutboxEvent.objects.count()
    with pytest.raises(InvalidStockChange, match=reason):
        expect(york, **units)
    assert not Receipt.objects.exists()
    assert OutboxEvent.objects.count() == before


def test_nothing_is_announced_to_or_received_in_an_inactive_warehouse(york):
    closed = warehouse("leeds", active=False)
    with pytest.raises(InvalidStockChange, match="leeds is inactive"):
        expect(closed, A=1)
    with pytest.raises(InvalidStockChange, match="leeds is inactive"):
        come(closed, None, "note 1", A=1)
    assert levels("A") == {}


# --- changing and ending ------------------------------------------------------------------


def test_an_announcement_is_changed_in_part_and_told_in_whole(york):
    receipt = expect(york, A=5, B=2)
    come(york, receipt, "note 1", A=3)
    receiving.change_receipt(receipt_id=receipt.pk, lines=[("A", 9), ("C", 1)], actor="eve")
    assert figures(receipt) == {"A": (9, 3), "C": (1, 0)}
    event = told(ReceiptExpected)[-1]
    assert {line.sku: line.quantity for line in event.lines} == {"A": 9, "C": 1}
    assert (event.supplier, event.expected_on, event.actor) == ("Acme", MAY, "eve")
    receiving.change_receipt(receipt_id=receipt.pk, expected_on=date(2026, 6, 1), actor="eve")
    assert Receipt.objects.get().expected_on == date(2026, 6, 1)
    assert figures(receipt) == {"A": (9, 3), "C": (1, 0)}


def test_a_line_that_has_come_is_not_left_out(york):
    receipt = expect(york, A=5, B=2)
    come(york, receipt, "note 1", A=3)
    with pytest.raises(InvalidStockChange, match="A has come already"):
        receiving.change_receipt(receipt_id=receipt.pk, lines=[("B", 2)], actor="eve")
    assert figures(receipt) == {"A": (5, 3), "B": (2, 0)}


def test_a_change_down_to_what_has_come_closes_it(york):
    receipt = expect(york, A=5)
    come(york, receipt, "note 1", A=3)
    receiving.change_receipt(receipt_id=receipt.pk, lines=[("A", 3)], actor="eve")
    assert state(receipt) == "received"


def test_what_nothing_has_come_of_is_cancelled(york):
    receipt = expect(york, A=5)
    receiving.cancel_receipt(receipt_id=receipt.pk, actor="eve")
    assert state(receipt) == "cancelled"
    assert told(ReceiptCancelled)[0].reference == "PO 1"
    for change in (receiving.cancel_receipt, receiving.close_receipt, receiving.change_receipt):
        with pytest.raises(InvalidStockChange, match="'PO 1' is cancelled"):
            change(receipt_id=receipt.pk, actor="eve")
    with pytest.raises(InvalidStockChange, match="There is no receipt"):
        receiving.close_receipt(receipt_id=new_id(), actor="eve")


def test_what_has_come_in_part_is_closed_and_not_cancelled(york):
    receipt = expect(york, A=5)
    come(york, receipt, "note 1", A=3)
    with pytest.raises(InvalidStockChange, match="something has come already; close it"):
        receiving.cancel_receipt(receipt_id=receipt.pk, actor="eve")
    receiving.close_receipt(receipt_id=receipt.pk, actor="eve")
    assert state(receipt) == "received"
    [line] = told(ReceiptClosed)[0].lines
    assert (line.sku, line.quantity, line.received) == ("A", 5, 3)


# --- receiving ----------------------------------------------------------------------------


def test_a_receipt_comes_in_parts_and_is_closed_by_the_last(york):
    receipt = expect(york, A=5, B=2)
    come(york, receipt, "note 1", A=3)
    assert (figures(receipt), state(receipt)) == ({"A": (5, 3), "B": (2, 0)}, "expected")
    come(york, receipt, "note 2", A=2, B=2)
    assert (figures(receipt), state(receipt)) == ({"A": (5, 5), "B": (2, 2)}, "received")
    assert levels("A") == {"york": (5, 0)}
    assert len(told(ReceiptClosed)) == 1
    assert list(books_off()) == []


def test_a_delivery_that_is_booked_again_counts_once_even_when_the_receipt_is_closed(york):
    receipt = expect(york, A=5)
    assert come(york, receipt, "note 1", A=5) == 1
    assert come(york, receipt, "note 1", A=5) == 0
    assert (figures(receipt), levels("A")) == ({"A": (5, 5)}, {"york": (5, 0)})
    with pytest.raises(InvalidStockChange, match="is received; receive these goods without it"):
        come(york, receipt, "note 2", A=1)
    assert levels("A") == {"york": (5, 0)}


def test_too_much_is_taken_and_seen(york):
    receipt = expect(york, A=5, B=1)
    come(york, receipt, "note 1", A=7)
    assert (figures(receipt)["A"], levels("A")) == ((5, 7), {"york": (7, 0)})
    assert state(receipt) == "expected"


def test_what_was_not_announced_is_refused_whole(york):
    receipt = expect(york, A=5)
    with pytest.raises(InvalidStockChange, match="does not announce B"):
        come(york, receipt, "note 1", A=5, B=1)
    elsewhere = warehouse("leeds")
    with pytest.raises(InvalidStockChange, match="is expected in york, not leeds"):
        come(elsewhere, receipt, "note 1", A=5)
    assert levels("A") == {}
    assert not told(StockReceived)


@pytest.mark.django_db(transaction=True)
def test_deliveries_of_one_receipt_at_once_are_all_counted(deadlocks):
    product("A", "B")
    place = warehouse()
    receipt = expect(place, A=16, B=1)
    at_once(*[lambda n=n: come(place, receipt, f"note {n // 2}", A=2) for n in range(16)])
    assert ReceiptLine.objects.get(product__sku="A").received == 16
    assert levels("A") == {"york": (16, 0)}
    assert deadlocks() == 0


@pytest.mark.django_db(transaction=True)
def test_the_same_announcement_at_once_is_made_once(deadlocks):
    product("A", "B")
    place = warehouse()
    at_once(*[lambda: expect(place, A=3, B=1) for _ in range(8)])
    assert Receipt.objects.count() == 1
    assert ReceiptLine.objects.count() == 2
    assert deadlocks() == 0


@pytest.mark.django_db(transaction=True)
def test_of_the_last_two_deliveries_at_once_one_closes_the_receipt(deadlocks):
    product("A", "B")
    place = warehouse()
    receipt = expect(place, A=1, B=1)
    with meanwhile(lambda: come(place, receipt, "note 2", B=1)) as start:
        come(place, receipt, "note 1", A=1)
        start()  # it waits for the receipt, though it moves another level
    assert state(receipt) == "received"
    assert len(told(ReceiptClosed)) == 1
    assert deadlocks() == 0
