"""Cycle counts: what was counted is what is on hand, and nobody's count is lost to another's."""

from datetime import date, timedelta

import pytest
from django.utils import timezone

from inventory import counting
from inventory.checking import InvalidStockChange
from inventory.events import CountCancelled, CountClosed, CountOpened, StockCounted, StockLow
from inventory.models import CountLine, CycleCount, StockLevel, StockMovement, Warehouse
from inventory.selectors import books_off
from supplychain.events.context import new_id

from .conftest import (
    assert_nobody_waits_in_vain,
    at_once,
    consume,
    follow,
    levels,
    placed,
    product,
    publish,
    statements,
    stocked,
    told,
    waiting,
    warehouse,
)

pytestmark = pytest.mark.django_db
MAY = date(2026, 5, 20)


def open_count(code="york", **options):
    place = Warehouse.objects.get(code=code)
    return counting.open_count(warehouse=place, due_on=MAY, actor="ada", **options)


def record(row, actor="ben", recount=False, **counted):
    return counting.record_count(
        count_id=row.pk, lines=list(counted.items()), actor=actor, recount=recount
    )


def skus(row):
    return set(row.lines.values_list("level__product__sku", flat=True))


# --- what is counted ----------------------------------------------------------------------


def test_all_levels_of_a_warehouse_or_some_of_them():
    stocked(A={"york": 1, "leeds": 2}, B={"york": 1}, C={"leeds": 1})
    assert skus(open_count()) == {"A", "B"}
    assert skus(open_count(skus=["B"])) == {"B"}
    event = told(CountOpened)[0]
    assert (event.warehouse, event.levels, event.due_on, event.actor) == ("york", 2, MAY, "ada")


def test_those_that_are_due_are_not_opened_twice():
    stocked(A={"york": 1}, B={"york": 1}, C={"york": 1})
    Warehouse.objects.update(count_every_days=10)
    for sku, days in {"A": 9, "B": 11}.items():
        StockLevel.objects.filter(product__sku=sku).update(
            counted_at=timezone.now() - timedelta(days=days)
        )
    first = open_count(due_only=True)
    assert skus(first) == {"B", "C"}
    with pytest.raises(InvalidStockChange, match="Nothing in york is due to be counted"):
        open_count(due_only=True)
    record(first, B=1)
    counting.close_count(count_id=first.pk, actor="ada")
    assert skus(open_count(due_only=True)) == {"C"}


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        (["NOPE"], "There is no product NOPE"),
        (["A", "C"], "C was never in york"),
    ],
)
def test_what_is_not_there_is_not_counted(chosen, reason):
    stocked(A={"york": 1}, C={"leeds": 1})
    with pytest.raises(InvalidStockChange, match=reason):
        open_count(skus=chosen)
    assert not CycleCount.objects.exists()


def test_an_empty_warehouse_is_not_counted():
    warehouse()
    with pytest.raises(InvalidStockChange, match="Nothing in york has a stock level"):
        open_count()


# --- recording ----------------------------------------------------------------------------


def test_a_count_is_booked_told_and_signed():
    stocked(A={"york": 10}, B={"york": 4}, C={"york": 1})
    row = open_count()
    record(row, A=8, B=4)
    assert (levels("A"), levels("B")) == ({"york": (8, 0)}, {"york": (4, 0)})
    [line] = StockMovement.objects.filter(reason="count")
    assert (line.delta, line.actor, line.level.product.sku) == (-2, "ben", "A")
    assert line.reference.startswith(str(row.pk))
    events = {e.sku: (e.expected, e.counted, e.actor) for e in told(StockCounted)}
    assert events == {"A": (10, 8, "ben"), "B": (4, 4, "ben")}
    assert StockLevel.objects.filter(counted_at=None).count() == 1
    assert list(books_off()) == []


def test_what_was_found_goes_to_those_who_wait():
    stocked(A={"york": 1})
    consume(placed(1, A=3))
    publish()
    record(open_count(), A=5)
    follow()
    assert waiting() == []
    assert_nobody_waits_in_vain()


def test_what_fell_below_its_reorder_point_is_told():
    stocked(A={"york": 10})
    StockLevel.objects.update(reorder_point=9)
    record(open_count(), A=8)
    assert [e.available for e in told(StockLow)] == [8]


def test_fewer_than_are_reserved_is_refused_with_what_to_do():
    stocked(A={"york": 10}, B={"york": 1})
    consume(placed(1, A=6))
    row = open_count()
    with pytest.raises(InvalidStockChange, match=r"5 counted, but 6 are reserved.*first") as told_:
        record(row, B=0, A=5)
    assert "release reservations" in str(told_.value)
    assert (levels("A"), levels("B")) == ({"york": (10, 6)}, {"york": (1, 0)})
    record(row, A=6)
    assert levels("A") == {"york": (6, 6)}


def test_who_counts_second_is_told_who_was_first_and_may_insist():
    stocked(A={"york": 10})
    row = open_count()
    record(row, actor="ben", A=8)
    with pytest.raises(counting.AlreadyCounted, match=r"A in york: ben counted 8 at .* recount"):
        record(row, actor="eve", A=9)
    assert levels("A") == {"york": (8, 0)}
    record(row, actor="eve", recount=True, A=9)
    record(row, actor="eve", recount=True, A=8)
    line = CountLine.objects.get()
    assert (line.expected, line.counted, line.counted_by) == (9, 8, "eve")
    assert levels("A") == {"york": (8, 0)}
    assert list(books_off()) == []


@pytest.mark.parametrize(
    ("counted", "reason"),
    [
        ({"A": -1}, "whole number from 0"),
        ({"A": 1.5}, "whole number from 0"),
        ({"A": 10**9 + 1}, "whole number from 0"),
        ({"B": 1}, "B is not part of this count"),
        ({}, "no lines"),
    ],
)
def test_a_senseless_count_is_refused(counted, reason):
    stocked(A={"york": 10}, B={"leeds": 1})
    row = open_count()
    with pytest.raises(InvalidStockChange, match=reason):
        record(row, **counted)
    assert not told(StockCounted)


# --- ending -------------------------------------------------------------------------------


def test_a_closed_count_says_how_it_went_and_takes_no_more():
    stocked(A={"york": 10}, B={"york": 4}, C={"york": 1})
    row = open_count()
    record(row, A=8, B=4)
    counting.close_count(count_id=row.pk, actor="ada")
    event = told(CountClosed)[0]
    assert (event.counted, event.uncounted, event.differing) == (2, 1, 1)
    with pytest.raises(InvalidStockChange, match="is closed; open another one"):
        record(row, C=1)
    with pytest.raises(InvalidStockChange, match="is closed"):
        counting.cancel_count(count_id=row.pk, actor="ada")


def test_a_cancelled_count_keeps_what_was_counted():
    stocked(A={"york": 10})
    row = open_count()
    record(row, A=8)
    counting.cancel_count(count_id=row.pk, actor="ada")
    assert told(CountCancelled)[0].actor == "ada"
    assert levels("A") == {"york": (8, 0)}
    with pytest.raises(InvalidStockChange, match="There is no count"):
        counting.close_count(count_id=new_id(), actor="ada")


# --- many, and at the same time -----------------------------------------------------------


def test_many_lines_take_as_many_statements_as_one():
    names = [f"A{n}" for n in range(40)]
    stocked(**{sku: {"york": 5} for sku in names})
    row = open_count()
    one = statements(lambda: record(row, A0=4))
    assert statements(lambda: record(row, **dict.fromkeys(names[1:], 4))) == one


@pytest.mark.django_db(transaction=True)
def test_of_two_supervisors_at_once_the_second_is_told(deadlocks):
    stocked(A={"york": 10}, B={"york": 10})
    row = open_count()
    refused = []

    def count(actor, counted):
        try:
            record(row, actor=actor, **counted)
        except counting.AlreadyCounted as late:
            refused.append((actor, str(late)))

    at_once(*[lambda n=n: count(f"s{n}", {"A": n, "B": 10 - n}) for n in range(8)])
    assert len(refused) == 7
    line = CountLine.objects.get(level__product__sku="A")
    assert all(f"{line.counted_by} counted {line.counted}" in reason for _, reason in refused)
    assert line.counted_by not in {actor for actor, _ in refused}
    assert line.counted is not None
    assert levels("A") == {"york": (line.counted, 0)}
    assert levels("B") == {"york": (10 - line.counted, 0)}
    assert list(books_off()) == []
    assert deadlocks() == 0


@pytest.mark.django_db(transaction=True)
def test_counts_among_orders_keep_the_books(deadlocks):
    product("A")
    stocked(A={"york": 30}, B={"york": 30})
    rows = [open_count() for _ in range(4)]

    def count(row):
        try:
            record(row, A=25, B=25)
        except InvalidStockChange as refusal:
            assert "reserved" in str(refusal)

    at_once(
        *[lambda r=r: count(r) for r in rows],
        *[lambda n=n: consume(placed(n, A=3, B=3)) for n in range(10)],
    )
    follow()
    assert_nobody_waits_in_vain()
    assert deadlocks() == 0
