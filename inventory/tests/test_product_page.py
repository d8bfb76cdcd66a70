"""A product's page: all of its stock that whoever looks may see, from a bounded read."""

import re
from datetime import date, timedelta
from itertools import groupby

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.safestring import SafeString

from inventory import adjusting, charts, receiving, staffing, transferring
from inventory.models import Product, StockLevel, Warehouse
from inventory.product_page import SHOWN, stock_of

from .conftest import consume, placed, receive, statements, stocked, warehouse

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss():
    return User.objects.create_superuser("boss")


def works_in(*codes):
    user, _ = staffing.employ(
        username="ada", role="warehouse staff", warehouses=codes, password="a long enough one"
    )
    return User.objects.get(pk=user.pk)


def page(user, sku="A"):
    return stock_of(Product.objects.get(sku=sku), user)


def place(code):
    return Warehouse.objects.get(code=code)


def expect(code, reference, on=date(2026, 12, 1), **units):
    row, _ = receiving.expect_receipt(
        **{"warehouse": place(code), "reference": reference, "supplier": "Acme"},
        **{"expected_on": on, "lines": list(units.items()), "actor": "ada"},
    )
    return row


def send(source, target, **units):
    return transferring.propose_transfer(
        **{"source": place(source), "target": place(target), "lines": list(units.items())},
        **{"reason": "", "actor": "ada"},
    )


def test_levels_with_their_totals(boss):
    stocked(A={"york": 5, "leeds": 2}, B={"york": 9})
    consume(placed(1, A=3))
    shown = page(boss)
    assert [(row.warehouse.code, row.on_hand) for row in shown.levels] == [
        ("leeds", 2),
        ("york", 5),
    ]
    assert shown.totals == {
        **{"on_hand": 7, "reserved": 3, "available": 4},
        **{"quarantined": 0, "in_transit": 0},
    }
    assert page(boss, "B").totals == {}


def test_what_comes_and_what_is_waited_for(boss):
    stocked(A={"york": 1, "leeds": 4}, B={"york": 1})
    later, soon = expect("york", "PO 2", date(2026, 12, 2), A=7), expect("york", "PO 1", A=7, B=1)
    receiving.receive_stock(
        warehouse=place("york"), lines=[("A", 3)], reference="n", actor="ada", receipt=soon
    )
    receiving.cancel_receipt(receipt_id=expect("york", "PO 3", A=1).pk, actor="ada")
    moving = send("leeds", "york", A=1)
    transferring.cancel_transfer(
        transfer_id=send("leeds", "york", A=1).pk, reason="no", actor="ada"
    )
    for number, units in enumerate((20, 1)):
        consume(placed(number, A=units))
    shown = page(boss)
    assert [(line.receipt, line.missing) for line in shown.inbound] == [(soon, 4), (later, 7)]
    assert [line.transfer for line in shown.on_the_way] == [moving]
    assert [row.quantity for row in shown.waiting.rows] == [12, 1]
    assert (shown.waiting.orders, shown.waiting.units) == (2, 13)
    assert [row.delta for row in shown.movements] == [3, 1, 4]


def test_staff_see_their_own_warehouses():
    stocked(A={"york": 5, "leeds": 2})
    warehouse("london")
    expect("york", "PO 1", A=1)
    expect("leeds", "PO 2", A=1)
    here, there = send("york", "leeds", A=1), send("leeds", "london", A=1)
    shown = page(works_in("york"))
    assert [row.warehouse.code for row in shown.levels] == ["york"]
    assert [line.receipt.reference for line in shown.inbound] == ["PO 1"]
    assert [line.transfer for line in shown.on_the_way] == [here]
    assert [row.delta for row in shown.movements] == [5]
    assert there not in shown.on_the_way
    assert "leeds" not in shown.chart
    assert page(works_in("london")).chart == ""


def test_a_long_history_is_cut_and_costs_no_more(boss):
    stocked(A={"york": 1})
    few = statements(lambda: page(boss))
    consume(*(placed(n, A=1) for n in range(1, SHOWN + 4)))
    for n in range(SHOWN + 3):
        expect("york", f"PO {n}", A=1)
        adjusting.adjust_stock(
            level_id=StockLevel.objects.get().pk, delta=1, reason="found", actor="ada"
        )
    shown = page(boss)
    assert len(shown.movements) == len(shown.inbound) == len(shown.waiting.rows) == SHOWN
    assert (shown.waiting.orders, shown.waiting.units) == (SHOWN + 2, SHOWN + 2)
    assert statements(lambda: page(boss)) <= few + 2  # of a line that is cut the rest is counted


# --- the chart ----------------------------------------------------------------------------


@pytest.fixture
def on_day(monkeypatch):
    """Run something as if it were so many days ago."""

    def run(ago, action):
        with monkeypatch.context() as clock:
            then = timezone.now() - timedelta(days=ago)
            clock.setattr("django.utils.timezone.now", lambda: then)
            return action()

    return run


def values(chart):
    """{warehouse: [figure after each step]}, read off the picture's heights."""
    labels = re.findall(r'y="([\d.]+)" dy="4"[^>]*>(\d+)</text>', chart)
    (low, zero), (high, top) = labels[0], labels[-1]
    unit = (float(low) - float(high)) / (int(top) - int(zero))
    found = {}
    for path, name in re.findall(r'<path d="([^"]+)".*?<title>(\w+):', chart):
        heights = re.findall(r"(?:M[\d.]+ |V)([\d.]+)", path)
        steps = [round((float(low) - float(y)) / unit) for y in heights]
        found[name] = [value for value, _ in groupby(steps)]
    return found


def test_the_chart_goes_back_from_what_is_on_hand_now(boss, on_day):
    stocked(A={"york": 0, "leeds": 4})
    on_day(30, lambda: receive("york", A=8))
    on_day(10, lambda: receive("york", A=4))
    adjusting.adjust_stock(
        level_id=StockLevel.objects.get(warehouse__code="york").pk,
        **{"delta": -2, "reason": "lost", "actor": "ada"},
    )
    chart = page(boss).chart
    assert isinstance(chart, SafeString)
    assert values(chart) == {"leeds": [0, 4], "york": [0, 8, 12, 10]}
    assert "A on hand by warehouse. leeds: 0 at first, 4 now; york: 0 at first, 10 now" in chart


def test_what_was_longer_ago_is_where_the_chart_begins(boss, on_day):
    stocked(A={"york": 0})
    on_day(200, lambda: receive("york", A=8))
    receive("york", A=1)
    assert values(page(boss).chart) == {"york": [8, 9]}


@pytest.mark.parametrize(
    ("days", "label"), [(1 / 24, r"\d{1,2}:\d\d"), (2, r"\d+ \w{3} \d\d:00"), (20, r"\d+ \w{3}")]
)
def test_a_short_history_is_drawn_in_smaller_steps(boss, on_day, days, label):
    stocked(A={"york": 0})
    on_day(days, lambda: receive("york", A=3))
    on_day(days / 2, lambda: receive("york", A=2))
    chart = page(boss).chart
    assert values(chart) == {"york": [0, 3, 5]}
    moments = re.findall(r'y="212" [^>]*>([^<]*)<', chart)
    assert len(moments) == 5
    assert all(re.fullmatch(label, text) for text in moments)


def test_the_hour_after_midnight_has_its_nought(boss, on_day):
    stocked(A={"york": 0})
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    ago = (timezone.now() - midnight) / timedelta(days=1)
    on_day(ago - 1 / 48, lambda: receive("york", A=3))
    chart = on_day(ago - 1 / 24, lambda: page(boss).chart)
    moments = re.findall(r'y="212" [^>]*>([^<]*)<', chart)
    assert moments == ["0:29", "0:36", "0:44", "0:52", "1:00"]


def test_of_too_many_movements_only_whole_days_are_drawn(boss, on_day, monkeypatch):
    monkeypatch.setattr("inventory.product_page.DRAWN", 3)
    stocked(A={"york": 0})
    for ago in (40, 30, 20, 20, 10, 5):
        on_day(ago, lambda: receive("york", A=1))
    assert values(page(boss).chart) == {"york": [4, 5, 6]}  # of the day of two one was too many


def test_a_name_can_not_break_out_of_the_picture():
    line = charts.Line("<b>'\"", [1, 2])
    chart = charts.step_chart(["<b>", "1 Jan"], [line], title='"><script>')
    assert "<b>" not in chart
    assert "<script>" not in chart


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (1050, "1050"), (12_345, "12.3k"), (2_500_000, "2.5M")],
)
def test_figures_of_the_scale_are_short(value, text):
    assert charts.short(value) == text


@pytest.mark.parametrize(
    ("highest", "end"), [(0, 4), (4, 4), (5, 8), (9, 12), (21, 40), (10**9, 1_200_000_000)]
)
def test_the_scale_ends_at_a_round_figure(highest, end):
    chart = charts.step_chart(["now"], [charts.Line("york", [highest])], title="A")
    assert charts.short(end) in re.findall(r">([\d.kMG]+)</text>", chart)
