"""What staff do in the admin is shown before it is done, done by the services, and stands in the
ledger under their name."""

import re
from datetime import date, timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.urls import reverse
from django.utils import timezone

from inventory import adjusting, counting, receiving, transferring
from inventory.events import StockAdjusted, StockReceived
from inventory.models import (
    CycleCount,
    Receipt,
    Reservation,
    StockLevel,
    StockMovement,
    Transfer,
    Warehouse,
    WarehouseStaff,
)

from .conftest import consume, levels, placed, product, stocked, told, warehouse

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
TOMORROW = timezone.now().date() + timedelta(days=1)


@pytest.fixture
def works(client):
    """Log somebody in, with a role and warehouses (codes)."""

    def log_in(role="supervisors", *codes):
        user = User.objects.create_user(f"ada {len(User.objects.all())}", is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        for code in codes:
            WarehouseStaff.objects.create(user=user, warehouse=Warehouse.objects.get(code=code))
        client.force_login(user)
        return user.username

    return log_in


def page(name, row=None):
    return reverse(f"admin:inventory_{name}", args=[row.pk] if row else [])


def level(sku="A", code="york"):
    return StockLevel.objects.get(product__sku=sku, warehouse__code=code)


def site(code="york"):
    return Warehouse.objects.get(code=code)


def text(answer):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def hidden(client, address):
    """What the form sends without being asked."""
    fields = client.get(address).context["form"].hidden_fields()
    return {field.html_name: field.value() for field in fields}


def act(client, address, **said):
    """Fill in, look at what would happen, confirm; gives the page that shows it, and the last."""
    before = list(StockMovement.objects.values_list("pk", flat=True))
    said = {**hidden(client, address), **said}
    shown = client.post(address, said)
    assert shown.context["confirming"], text(shown)
    assert list(StockMovement.objects.values_list("pk", flat=True)) == before
    return shown, client.post(address, {**said, "confirmed": "1"}, follow=True)


def refused(client, address, **said):
    """Why it can't be done; nobody gets as far as confirming it, nor past it."""
    before = StockMovement.objects.count()
    said = {**hidden(client, address), **said}
    for more in ({}, {"confirmed": "1"}):
        answer = client.post(address, {**said, **more})
        assert answer.status_code == 200
        assert not answer.context["confirming"]
    assert StockMovement.objects.count() == before
    return " ".join(str(e) for errors in answer.context["form"].errors.values() for e in errors)


def changes(shown):
    return [(c.warehouse, c.sku, c.figure, c.before, c.after) for c in shown.context["changes"]]


def booked(actor):
    """[(bucket, delta, reason)] of the lines that stand in the ledger under this name."""
    rows = StockMovement.objects.filter(actor=actor).order_by("pk")
    return list(rows.values_list("bucket", "delta", "reason"))


# --- levels -------------------------------------------------------------------------------


def test_stock_is_adjusted_once(client, works):
    stocked(A={"york": 5})
    consume(placed(1, A=3))
    ada = works("warehouse staff", "york")
    address = page("stocklevel_adjust", level())
    reference = client.get(address).context["form"]["reference"].value()
    said = {"delta": -2, "reason": "lost", "reference": reference}
    shown, last = act(client, address, **said)
    assert changes(shown) == [("york", "A", "on hand", 5, 3)]
    assert "Adjusted." in text(last)
    client.post(address, {**said, "confirmed": "1"})  # a double click
    assert levels("A") == {"york": (3, 3)}
    assert booked(ada) == [("on_hand", -2, "adjustment")]
    assert [event.reason for event in told(StockAdjusted)] == ["lost"]


@pytest.mark.parametrize(
    ("name", "more", "left"),
    [
        ("quarantine", {}, (3, 4)),
        ("restock", {}, (7, 0)),
        ("scrap", {"bucket": "quarantined"}, (5, 0)),
    ],
)
def test_what_is_set_aside_moves_once(client, works, name, more, left):
    stocked(A={"york": 7})
    works("warehouse staff", "york")
    pk = level().pk
    adjusting.quarantine_stock(level_id=pk, quantity=2, reason="wet", actor="x")
    address = page(f"stocklevel_{name}", level())
    reference = client.get(address).context["form"]["reference"].value()
    said = {"quantity": 2, "reason": "seen", "reference": reference, **more}
    act(client, address, **said)
    client.post(address, {**said, "confirmed": "1"})  # a double click
    row = level()
    assert (row.on_hand, row.quarantined) == left


def test_what_orders_have_reserved_is_not_adjusted_away(client, works):
    stocked(A={"york": 5})
    consume(placed(1, A=3))
    works("warehouse staff", "york")
    address = page("stocklevel_adjust", level())
    reference = client.get(address).context["form"]["reference"].value()
    why = refused(client, address, delta=-3, reason="lost", reference=reference)
    assert "3 can't be taken away" in why
    assert levels("A") == {"york": (5, 3)}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"delta": "0"}, "must change something"),
        ({"delta": "1.5"}, "whole number"),
        ({"delta": str(10**10)}, "less than or equal"),
        ({"reason": ""}, "required"),
        ({"reason": "  "}, "required"),
        ({"reason": "x" * 121}, "at most 120"),
        ({"reference": "no id"}, "valid UUID"),
    ],
)
def test_a_wrong_adjustment_says_what_is_wrong(client, works, fields, wrong):
    stocked(A={"york": 5})
    works()
    said = {"delta": 1, "reason": "found", "reference": "0" * 32, **fields}
    assert wrong in refused(client, page("stocklevel_adjust", level()), **said)


def test_goods_are_set_aside_looked_at_and_scrapped(client, works):
    stocked(A={"york": 10})
    ada = works("warehouse staff", "york")
    shown, _ = act(client, page("stocklevel_quarantine", level()), quantity=4, reason="wet")
    assert changes(shown) == [
        ("york", "A", "on hand", 10, 6),
        ("york", "A", "quarantined", 0, 4),
    ]
    act(client, page("stocklevel_restock", level()), quantity=1, reason="dry")
    act(client, page("stocklevel_scrap", level()), bucket="quarantined", quantity=3, reason="mould")
    act(client, page("stocklevel_scrap", level()), bucket="on_hand", quantity=1, reason="fell")
    row = level()
    assert (row.on_hand, row.quarantined) == (6, 0)
    assert [reason for _, _, reason in booked(ada)] == [
        *("quarantine", "quarantine", "restock", "restock", "scrap", "scrap")
    ]
    too_many = {"bucket": "quarantined", "quantity": 1, "reason": "x"}
    assert "0 in quarantine" in refused(client, page("stocklevel_scrap", row), **too_many)


def test_limits_are_set_by_supervisors(client, works):
    stocked(A={"york": 10})
    works()
    address = page("stocklevel_limits", level())
    assert client.get(address).context["form"]["safety_stock"].value() == 0
    shown, _ = act(client, address, safety_stock=2, reorder_point=5)
    assert changes(shown) == [
        ("york", "A", "safety stock", 0, 2),
        ("york", "A", "reorder point", 0, 5),
    ]
    assert (level().safety_stock, level().reorder_point) == (2, 5)


def test_books_that_do_not_balance_are_corrected_by_supervisors(client, works):
    stocked(A={"york": 10})
    ada = works()
    address = page("stocklevel_correct", level())
    assert "nothing to correct" in refused(client, address, reason="to be sure")
    StockLevel.objects.update(on_hand=12)
    shown, _ = act(client, address, reason="somebody wrote to the table", counted="11")
    assert changes(shown) == [("york", "A", "on hand", 12, 11)]
    assert booked(ada) == [("on_hand", 1, "correction")]


# --- goods that come ----------------------------------------------------------------------


def test_goods_are_received_once(client, works):
    product("A", "B b")
    warehouse()
    warehouse("leeds")
    ada = works("warehouse staff", "york")
    address = page("stocklevel_receive")
    form = client.get(address).context["form"]
    assert [str(row) for row in form.fields["warehouse"].queryset] == ["york"]
    said = {"warehouse": site().pk, "reference": "note 1", "lines": "A 5\r\n\r\n B b; 7 \r\n"}
    shown, last = act(client, address, **said)
    assert changes(shown) == [("york", "A", "on hand", 0, 5), ("york", "B b", "on hand", 0, 7)]
    assert "Received." in text(last)
    last = client.post(address, {**said, "confirmed": "1"}, follow=True)
    assert "booked before" in text(last)
    assert (levels("A"), levels("B b")) == ({"york": (5, 0)}, {"york": (7, 0)})
    assert booked(ada) == [("on_hand", 5, "receipt"), ("on_hand", 7, "receipt")]
    assert {event.reference for event in told(StockReceived)} == {"note 1"}


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ("A", "Line 1: “A” is no SKU with a number"),
        ("A 5\nB", "Line 2"),
        ("A 0", "whole number from 1"),
        ("A -1", "whole number from 1"),
        ("A 1.5", "whole number from 1"),
        ("A ٣", "whole number from 1"),
        (f"A {10**10}", "whole number from 1"),
        ("A 1\nA 2", "named twice"),
        ("NOPE 1", "no product NOPE"),
        ("", "required"),
        ("\n".join(f"S{n} 1" for n in range(501)), "import a file"),
    ],
)
def test_a_wrong_delivery_says_what_is_wrong(client, works, lines, wrong):
    product("A")
    warehouse()
    works()
    said = {"warehouse": site().pk, "reference": "note", "lines": lines}
    assert wrong in refused(client, page("stocklevel_receive"), **said)


def test_announced_goods_come_in_two_deliveries(client, works):
    product("A", "B")
    warehouse()
    ada = works("warehouse staff", "york")
    said = {"warehouse": site().pk, "reference": "PO 7", "supplier": "Tea Ltd"}
    shown, last = act(
        client, page("receipt_announce"), **said, expected_on=TOMORROW, lines="A 5\nB 2"
    )
    assert changes(shown) == []
    receipt = Receipt.objects.get()
    assert last.redirect_chain[-1][0] == page("receipt_change", receipt)
    address = page("receipt_receive", receipt)
    assert [f.label for f in client.get(address).context["form"]] == ["A", "B", "Reference"]
    shown, _ = act(client, address, **{"n0-A": 3, "n1-B": "", "reference": "note 1"})
    assert changes(shown) == [("york", "A", "on hand", 0, 3)]
    act(client, address, **{"n0-A": 2, "n1-B": 2, "reference": "note 2"})
    receipt.refresh_from_db()
    assert (receipt.state, receipt.created_by) == ("received", ada)
    assert [delta for _, delta, _ in booked(ada)] == [3, 2, 2]


def test_an_announcement_is_changed_closed_and_cancelled(client, works):
    product("A", "B")
    warehouse()
    works()
    said = {"reference": "PO", "supplier": "", "expected_on": TOMORROW, "actor": "x"}
    row, _ = receiving.expect_receipt(warehouse=site(), lines=[("A", 5)], **said)
    address = page("receipt_change_announcement", row)
    assert client.get(address).context["form"]["lines"].value() == "A 5"
    act(client, address, supplier="Tea", expected_on="2027-01-31", lines="B 2")
    row.refresh_from_db()
    assert (row.supplier, row.expected_on) == ("Tea", date(2027, 1, 31))
    assert [(x.product.sku, x.quantity) for x in row.lines.all()] == [("B", 2)]
    act(client, page("receipt_close", row))
    row.refresh_from_db()
    assert row.state == "received"
    assert "can't be cancelled" in refused(client, page("receipt_cancel", row))
    other, _ = receiving.expect_receipt(
        warehouse=site(), lines=[("A", 5)], **{**said, "reference": "PO 2"}
    )
    act(client, page("receipt_cancel", other))
    other.refresh_from_db()
    assert other.state == "cancelled"


# --- transfers ----------------------------------------------------------------------------


def test_stock_is_moved_and_a_part_of_it_lost(client, works):
    stocked(A={"york": 10}, B={"leeds": 1})
    ada = works("warehouse staff", "york", "leeds")
    places = {"source": site().pk, "target": site("leeds").pk}
    act(client, page("transfer_propose"), **places, lines="A 4", reason="short")
    row = Transfer.objects.get()
    act(client, page("transfer_change_lines", row), lines="A 6")
    shown, _ = act(client, page("transfer_ship", row), expected_on=TOMORROW)
    assert changes(shown) == [
        ("leeds", "A", "in transit", 0, 6),
        ("york", "A", "on hand", 10, 4),
    ]
    address = page("transfer_receive", row)
    assert "needs a reason" in refused(client, address, **{"n0-A": 5})
    shown, _ = act(client, address, **{"n0-A": 5, "reason": "fell off"})
    assert ("leeds", "A", "on hand", 0, 5) in changes(shown)
    assert levels("A") == {"york": (4, 0), "leeds": (5, 0)}
    assert {reason for *_, reason in booked(ada)} == {
        *("transfer_out", "transfer_in", "transfer_loss")
    }


def test_what_is_on_the_way_can_come_back(client, works):
    stocked(A={"york": 10}, B={"leeds": 1})
    works()
    row = transferring.propose_transfer(
        source=site(), target=site("leeds"), lines=[("A", 4)], reason="", actor="x"
    )
    transferring.ship_transfer(transfer_id=row.pk, actor="x")
    shown, _ = act(client, page("transfer_cancel", row), reason="snow")
    assert ("york", "A", "on hand", 6, 10) in changes(shown)
    row.refresh_from_db()
    assert row.state == "cancelled"


def test_each_end_of_a_transfer_does_its_own_part(client, works):
    stocked(A={"york": 10}, B={"leeds": 1})
    row = transferring.propose_transfer(
        source=site(), target=site("leeds"), lines=[("A", 4)], reason="", actor="x"
    )
    works("warehouse staff", "leeds")
    for name in ("ship", "cancel", "change_lines"):
        address = page(f"transfer_{name}", row)
        assert client.post(address, {"confirmed": "1", "reason": "x"}).status_code == 403
    transferring.ship_transfer(transfer_id=row.pk, actor="x")
    works("warehouse staff", "york")
    said = {"confirmed": "1", "n0-A": 4}
    assert client.post(page("transfer_receive", row), said).status_code == 403
    row.refresh_from_db()
    assert row.state == "in_transit"


# --- counts -------------------------------------------------------------------------------


def test_shelves_are_counted_blind(client, works):
    stocked(A={"york": 10}, B={"york": 5}, C={"york": 7})
    ada = works("warehouse staff", "york")
    said = {"warehouse": site().pk, "due_on": TOMORROW, "which": "some", "skus": "A\nB"}
    act(client, page("cyclecount_open_count"), **said)
    row = CycleCount.objects.get()
    address = page("cyclecount_record", row)
    form = client.get(address).context["form"]
    assert [f.label for f in form][:2] == ["A", "B"]
    assert not any(str(known) in form.as_p() for known in (">10<", ">5<"))
    shown, _ = act(client, address, **{"n0-A": 9})
    assert changes(shown) == [("york", "A", "on hand", 10, 9)]
    assert next(iter(client.get(address).context["form"])).label == "B"
    again = f"{address}?q=A"
    assert f"{ada} counted 9" in text(client.get(again))
    assert "Count it again only as a recount" in refused(client, again, **{"n0-A": 8})
    act(client, again, **{"n0-A": 8, "recount": "on"})
    act(client, page("cyclecount_close", row))
    row.refresh_from_db()
    assert row.state == "closed"
    assert booked(ada) == [("on_hand", -1, "count"), ("on_hand", -1, "count")]
    assert levels("A") == {"york": (8, 0)}


def test_a_count_of_all_that_is_due_is_opened_and_given_up(client, works):
    stocked(A={"york": 10})
    works()
    said = {"warehouse": site().pk, "due_on": TOMORROW}
    assert "Name the products" in refused(
        client, page("cyclecount_open_count"), **said, which="some"
    )
    act(client, page("cyclecount_open_count"), **said, which="due")
    act(client, page("cyclecount_cancel", CycleCount.objects.get()))
    assert CycleCount.objects.get().state == "cancelled"
    act(client, page("cyclecount_open_count"), **said, which="all")
    assert counting.State.OPEN in CycleCount.objects.values_list("state", flat=True)


def test_nothing_filled_in_is_no_count(client, works):
    stocked(A={"york": 10})
    works()
    row = counting.open_count(warehouse=site(), due_on=TOMORROW, actor="x")
    assert "Nothing is filled in" in refused(client, page("cyclecount_record", row), **{"n0-A": ""})


# --- reservations -------------------------------------------------------------------------


def test_a_reservation_is_released_by_asking_routing(client, works):
    stocked(A={"york": 10})
    consume(placed(1, A=3))
    ada = works("warehouse staff", "york")
    row = Reservation.objects.get()
    act(client, page("reservation_release", row), reason="broken", set_aside="on")
    assert f"3 by {ada}" in text(client.get(page("reservation_change", row)))
    assert levels("A") == {"york": (10, 3)}  # until routing has answered


# --- several at once ----------------------------------------------------------------------


def test_chosen_levels_are_filled_into_a_count_and_a_transfer(client, works):
    stocked(A={"york": 10, "leeds": 1}, B={"york": 5})
    works()
    mine = [level("A").pk, level("B").pk]
    chosen = {"action": "count_them", "_selected_action": mine}
    form = client.post(page("stocklevel_changelist"), chosen, follow=True).context["form"]
    assert form["skus"].value() == "A\nB"
    assert form["warehouse"].value() == str(site().pk)
    chosen["action"] = "move_them"
    form = client.post(page("stocklevel_changelist"), chosen, follow=True).context["form"]
    assert form["lines"].value() == "A 1\nB 1"
    chosen["_selected_action"] = [*mine, level("A", "leeds").pk]
    answer = client.post(page("stocklevel_changelist"), chosen, follow=True)
    assert "Choose levels of one warehouse" in text(answer)


def test_what_would_happen_can_be_changed_again(client, works):
    stocked(A={"york": 10})
    works()
    said = {"quantity": 2, "reason": "wet", "again": "1"}
    answer = client.post(page("stocklevel_quarantine", level()), said)
    assert not answer.context["confirming"]
    assert answer.context["form"]["quantity"].value() == "2"
    assert level().quarantined == 0
