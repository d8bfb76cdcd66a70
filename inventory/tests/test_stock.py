"""Products, warehouses, receipts, adjustments; the database's own rules; the books."""

from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, InternalError, connection, transaction

from inventory import checking, receiving, services
from inventory.events import ProductChanged, StockAdjusted, StockReceived, WarehouseChanged
from inventory.models import (
    Allocation,
    Backorder,
    Product,
    Reservation,
    StockLevel,
    StockMovement,
    Warehouse,
)
from inventory.selectors import books_off
from inventory.services import InvalidStockChange, ProductData, adjust_stock

from .conftest import (
    NOON,
    consume,
    follow,
    levels,
    placed,
    product,
    receive,
    stocked,
    told,
    waiting,
    warehouse,
)

pytestmark = pytest.mark.django_db


def the_level():
    return StockLevel.objects.get()


# --- receipts -----------------------------------------------------------------------------


def test_a_receipt_is_booked_told_and_signed():
    warehouse()
    product("A", "B")
    assert receive(reference="note 1", A=5, B=2) == 2
    assert receive(reference="note 2", A=5) == 1
    assert levels("A") == {"york": (10, 0)}
    event = told(StockReceived)[-1]
    assert (event.sku, event.quantity, event.on_hand, event.reference) == ("A", 5, 10, "note 2")
    assert event.envelope.sequence == 2
    [row] = StockMovement.objects.filter(reference="note 2")
    assert (row.delta, row.reason, row.actor) == (5, "receipt", "tests")
    assert list(books_off()) == []


def test_the_same_reference_counts_once_per_product_and_warehouse():
    warehouse()
    warehouse("leeds")
    product("A", "B")
    receive(reference="note 1", A=5)
    assert receive(reference="note 1", A=5) == 0
    assert receive(reference="note 1", A=7, B=1) == 1
    assert receive("leeds", reference="note 1", A=1) == 1
    assert levels("A") == {"york": (5, 0), "leeds": (1, 0)}
    assert len(told(StockReceived)) == 3


def test_a_long_receipt_that_was_cut_off_is_completed_by_the_same_again(monkeypatch):
    """The first parts stand on their own; here the third breaks."""
    monkeypatch.setattr(receiving, "CHUNK", 2)
    place = warehouse()
    product("A", "B", "C", "D", "E")
    whole = [(sku, 3) for sku in "ABCDE"]
    StockLevel.objects.create(
        warehouse=place, product=Product.objects.get(sku="E"), on_hand=2**63 - 1
    )
    details = {"warehouse": place, "lines": whole, "reference": "note 1", "actor": "tests"}
    with pytest.raises(Exception, match="out of range"), transaction.atomic():
        receiving._receive(
            place, dict(whole[4:]), checking.products(["E"]), "note 1", "tests", None
        )
    StockLevel.objects.filter(product__sku="E").update(on_hand=0)
    assert services.receive_stock(**{**details, "lines": whole[:3]}) == 3
    assert services.receive_stock(**details) == 2
    assert services.receive_stock(**details) == 0
    assert [levels(sku) for sku in "ABCDE"] == [{"york": (3, 0)}] * 5
    assert list(books_off()) == []


@pytest.mark.parametrize(
    ("lines", "reference", "reason"),
    [
        ([("A", 1)], "", "needs a reference"),
        ([("A", 0)], "x", "A: a quantity must be a whole number from 1 to 1,000,000,000"),
        ([("A", -1)], "x", "from 1 to"),
        ([("A", 1.5)], "x", "a whole number"),
        ([], "x", "no lines"),
        ([("A", 10**9 + 1)], "x", "from 1 to"),
        ([("A", 1), ("A", 2)], "x", "is named twice"),
        ([("A", 1), ("NOPE", 2), ("NADA", 2)], "x", "There is no product NADA, NOPE"),
    ],
)
def test_a_wrong_receipt_is_refused_whole(lines, reference, reason):
    place = warehouse()
    product("A")
    with pytest.raises(InvalidStockChange, match=reason):
        services.receive_stock(warehouse=place, lines=lines, reference=reference, actor="tests")
    assert not StockLevel.objects.exists()
    assert not StockMovement.objects.exists()


# --- adjustments --------------------------------------------------------------------------


def test_an_adjustment_is_booked_told_and_signed():
    stocked(A={"york": 5})
    adjust_stock(level_id=the_level().pk, delta=-2, reason="broken", actor="ada")
    assert levels("A") == {"york": (3, 0)}
    [event] = told(StockAdjusted)
    assert (event.delta, event.on_hand, event.reason) == (-2, 3, "broken")
    assert event.envelope.sequence == 2
    row = StockMovement.objects.get(reason="adjustment")
    assert (row.delta, row.actor, row.note) == (-2, "ada", "broken")
    assert list(books_off()) == []


@pytest.mark.parametrize(
    ("delta", "reason", "why"),
    [
        (0, "found", "must change something"),
        (10**9 + 1, "found", "at most 10⁹"),
        (-(10**9) - 1, "lost", "at most 10⁹"),
        (1, "", "needs a reason"),
        (1, "  ", "needs a reason"),
        (-3, "lost", "5 on hand, 3 of them reserved; 3 can't be taken away"),
    ],
)
def test_a_wrong_adjustment_is_refused(delta, reason, why):
    stocked(A={"york": 5})
    consume(placed(1, A=3))
    with pytest.raises(InvalidStockChange, match=why):
        adjust_stock(level_id=the_level().pk, delta=delta, reason=reason, actor="ada")
    assert levels("A") == {"york": (5, 3)}
    assert not StockMovement.objects.filter(reason="adjustment").exists()
    adjust_stock(level_id=the_level().pk, delta=-2, reason="lost", actor="ada")


def test_a_level_that_does_not_exist_is_not_adjusted():
    with pytest.raises(InvalidStockChange, match="There is no stock level 7"):
        adjust_stock(level_id=7, delta=1, reason="found", actor="ada")


def test_stock_that_was_found_goes_to_those_who_wait():
    stocked(A={"york": 1})
    consume(placed(1, A=3))
    adjust_stock(level_id=the_level().pk, delta=2, reason="found", actor="ada")
    follow()
    assert waiting() == []
    assert levels("A") == {"york": (3, 3)}


# --- products and warehouses --------------------------------------------------------------


def test_products_tell_when_they_change_and_only_then():
    product("A", "B")
    assert services.register_products(
        products=[
            ProductData("A", "thing A", Decimal("2.5"), Decimal("0.01")),
            ProductData("B", "better", Decimal("2.5"), Decimal("0.01"), active=False),
        ]
    )
    events = told(ProductChanged)
    assert [(e.sku, e.name, e.active) for e in events] == [
        ("A", "thing A", True),
        ("B", "thing B", True),
        ("B", "better", False),
    ]
    assert [e.envelope.sequence for e in events] == [1, 1, 2]


def test_warehouses_tell_when_they_change_and_only_then():
    warehouse()
    warehouse()
    warehouse(active=False)
    events = told(WarehouseChanged)
    assert [(e.code, e.active, e.envelope.sequence) for e in events] == [
        ("york", True, 1),
        ("york", False, 2),
    ]


# --- what the database itself refuses -----------------------------------------------------


def _with_order():
    stocked(A={"york": 5})
    consume(placed(1, A=7))


@pytest.mark.parametrize(
    ("constraint", "action"),
    [
        ("on_hand_not_negative", lambda: StockLevel.objects.update(on_hand=-1, reserved=-2)),
        ("reserved_not_negative", lambda: StockLevel.objects.update(reserved=-1)),
        ("nothing_sold_twice", lambda: StockLevel.objects.update(reserved=6)),
        ("product_measures", lambda: Product.objects.update(weight_kg=-1)),
        ("product_measures", lambda: Product.objects.update(volume_m3=-1)),
        ("warehouse_on_earth", lambda: Warehouse.objects.update(latitude=90.1)),
        ("warehouse_on_earth", lambda: Warehouse.objects.update(longitude=float("nan"))),
        ("movement_moves", lambda: StockMovement.objects.create(level=the_level(), delta=0)),
        ("reservation_has_units", lambda: Reservation.objects.update(quantity=0)),
        ("backorder_has_units", lambda: Backorder.objects.update(quantity=0)),
        (
            "level_once",
            lambda: StockLevel.objects.create(
                warehouse=Warehouse.objects.get(), product=Product.objects.get()
            ),
        ),
        (
            "movement_once_per_reference",
            lambda: StockMovement.objects.create(
                level=the_level(),
                delta=1,
                reason="receipt",
                reference=StockMovement.objects.get().reference,
            ),
        ),
        (
            "backorder_once",
            lambda: Backorder.objects.create(
                allocation=Allocation.objects.get(),
                product=Product.objects.get(),
                quantity=1,
                placed_at=NOON,
            ),
        ),
    ],
)
def test_the_database_refuses(constraint, action):
    _with_order()
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        action()
    assert f'"{constraint}"' in str(refused.value)


def test_the_rules_of_the_database_are_each_there():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE contype = 'c' AND convalidated "
            "AND conrelid IN ('inventory_stocklevel'::regclass, 'inventory_reservation'::regclass)"
        )
        names = {row[0] for row in cursor.fetchall()}
    assert {"on_hand_not_negative", "reserved_not_negative", "nothing_sold_twice"} <= names
    assert "reservation_has_units" in names


def test_the_ledger_is_append_only():
    stocked(A={"york": 5})
    for tamper in (
        StockMovement.objects.all().delete,
        lambda: StockMovement.objects.update(delta=6),
    ):
        with pytest.raises(InternalError, match="append-only"), transaction.atomic():
            tamper()


# --- the books ----------------------------------------------------------------------------


def verify():
    out = StringIO()
    call_command("stock", "verify", stdout=out)
    return out.getvalue()


def test_balanced_books_are_said_to_balance():
    stocked(A={"york": 5}, B={"york": 1, "leeds": 2})
    consume(placed(1, A=3, B=2))
    assert verify() == "3 stock levels: the books balance.\n"


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (lambda: StockLevel.objects.update(on_hand=6), "on hand 6, ledger 5"),
        (lambda: StockLevel.objects.update(reserved=2), "reserved 2, held reservations 3"),
        (lambda: StockMovement.objects.create(level=the_level(), delta=1), "on hand 5, ledger 6"),
        (lambda: Reservation.objects.update(state="released"), "held reservations 0"),
    ],
)
def test_a_tampered_level_is_found(tamper, found, capsys):
    stocked(A={"york": 5})
    consume(placed(1, A=3))
    tamper()
    [line] = books_off()
    assert line.startswith("A in york: ")
    assert found in line
    with pytest.raises(CommandError, match="1 stock levels are off") as failure:
        verify()
    assert failure.value.returncode == 1
