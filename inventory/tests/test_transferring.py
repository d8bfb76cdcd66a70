"""Transfers: every unit is somewhere at every moment, and what makes no sense changes nothing."""

from datetime import date

import pytest

from inventory import balancing, transferring
from inventory.checking import InvalidStockChange
from inventory.events import (
    BackorderFilled,
    StockLow,
    TransferCancelled,
    TransferProposed,
    TransferReceived,
    TransferShipped,
)
from inventory.models import (
    Product,
    RegionExclusion,
    StockLevel,
    StockMovement,
    Transfer,
    TransferLine,
    Warehouse,
)
from inventory.selectors import books_off
from supplychain.events.context import new_id
from supplychain.events.models import OutboxEvent

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


def place(code):
    return Warehouse.objects.get(code=code)


def propose(source="leeds", target="york", **units):
    return transferring.propose_transfer(
        source=place(source),
        target=place(target),
        lines=list(units.items()),
        reason="york is short",
        actor="ada",
    )


def ship(row, **options):
    return transferring.ship_transfer(transfer_id=row.pk, actor="ben", **options)


def receive(row, reason="", **arrived):
    lines = list(arrived.items()) or None
    return transferring.receive_transfer(
        transfer_id=row.pk, actor="eve", lines=lines, reason=reason
    )


def cancel(row, reason="wrong truck"):
    return transferring.cancel_transfer(transfer_id=row.pk, reason=reason, actor="eve")


def figures(sku, code):
    """(on hand, in transit)"""
    level = StockLevel.objects.filter(product__sku=sku, warehouse__code=code).first()
    return (level.on_hand, level.in_transit) if level else None


# --- the way of a transfer ----------------------------------------------------------------


def test_goods_are_counted_where_they_are():
    stocked(A={"leeds": 10}, B={"leeds": 4, "york": 1})
    row = propose(A=6, B=4)
    assert (figures("A", "leeds"), figures("A", "york")) == ((10, 0), None)
    ship(row, expected_on=date(2026, 5, 9))
    assert (figures("A", "leeds"), figures("A", "york")) == ((4, 0), (0, 6))
    assert (figures("B", "leeds"), figures("B", "york")) == ((0, 0), (1, 4))
    assert list(books_off()) == []
    receive(row)
    assert (figures("A", "leeds"), figures("A", "york")) == ((4, 0), (6, 0))
    assert figures("B", "york") == (5, 0)
    assert list(books_off()) == []
    assert Transfer.objects.get().state == "received"
    lines = StockMovement.objects.filter(reference=str(row.pk)).values_list("reason", "actor")
    assert set(lines) == {("transfer_out", "ben"), ("transfer_in", "eve")}
    [proposed], [shipped] = told(TransferProposed), told(TransferShipped)
    assert (proposed.source, proposed.target, proposed.actor) == ("leeds", "york", "ada")
    assert {line.sku: line.quantity for line in shipped.lines} == {"A": 6, "B": 4}
    assert shipped.expected_on == date(2026, 5, 9)
    assert told(TransferReceived)[0].envelope.sequence == 3


def test_what_is_lost_on_the_way_is_in_the_ledger_with_the_reason():
    stocked(A={"leeds": 10}, B={"leeds": 10, "york": 0})
    row = propose(A=6, B=3)
    ship(row)
    receive(row, reason="fell off", A=4, B=0)
    assert (figures("A", "york"), figures("B", "york")) == ((4, 0), (0, 0))
    losses = StockMovement.objects.filter(reason="transfer_loss").order_by("delta")
    assert [(m.delta, m.bucket, m.note) for m in losses] == [
        (-3, "in_transit", "fell off"),
        (-2, "in_transit", "fell off"),
    ]
    assert told(TransferReceived)[0].reason == "fell off"
    assert list(books_off()) == []


def test_what_a_transfer_brings_goes_to_those_who_wait():
    stocked(A={"leeds": 5})
    york = warehouse()
    RegionExclusion.objects.create(warehouse=place("leeds"), country="GB")
    consume(placed(1, A=3))
    assert waiting() == [(1, "A", 3)]
    publish()
    row = propose(A=4)
    ship(row)
    follow()
    assert waiting() == [(1, "A", 3)]
    receive(row)
    follow()
    assert (waiting(), levels("A")[york.code]) == ([], (4, 3))
    assert told(BackorderFilled)[0].envelope.causation_id is not None


def test_what_was_only_proposed_is_cancelled_without_a_trace_in_the_ledger():
    stocked(A={"leeds": 10, "york": 0})
    before = StockMovement.objects.count()
    cancel(propose(A=6))
    assert StockMovement.objects.count() == before
    assert told(TransferCancelled)[0].came_back == []


def test_what_is_on_the_way_comes_back_and_goes_to_those_who_wait():
    stocked(A={"leeds": 10, "york": 0})
    row = propose(A=6)
    ship(row)
    consume(placed(1, A=9))
    assert waiting() == [(1, "A", 5)]
    publish()
    cancel(row)
    assert (figures("A", "leeds"), figures("A", "york")) == ((10, 0), (0, 0))
    assert list(books_off()) == []
    follow()
    assert waiting() == []


def test_a_proposal_is_changed_as_long_as_it_is_one():
    stocked(A={"leeds": 10}, B={"leeds": 10, "york": 0})
    row = propose(A=6)
    transferring.change_transfer(transfer_id=row.pk, lines=[("B", 2)], actor="ada")
    assert list(row.lines.values_list("product__sku", "quantity")) == [("B", 2)]
    ship(row)
    with pytest.raises(InvalidStockChange, match="is in transit; it can't be changed"):
        transferring.change_transfer(transfer_id=row.pk, lines=[("B", 1)], actor="ada")


def test_stock_that_falls_below_its_reorder_point_by_leaving_is_told():
    stocked(A={"leeds": 10, "york": 0})
    StockLevel.objects.update(reorder_point=5)
    ship(propose(A=6))
    assert [(e.warehouse, e.available) for e in told(StockLow)] == [("leeds", 4)]


# --- what makes no sense ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"source": "york", "A": 1}, "york can't send stock to itself"),
        ({"A": 0}, "whole number from 1"),
        ({"A": -3}, "whole number from 1"),
        ({"A": 2.5}, "whole number from 1"),
        ({"A": 10**9 + 1}, "whole number from 1"),
        ({"NOPE": 1}, "There is no product NOPE"),
        ({"B": 1}, "B is inactive"),
        ({}, "no lines"),
        ({"target": "london", "A": 1}, "london is inactive"),
    ],
)
def test_a_senseless_proposal_is_refused(options, reason):
    stocked(A={"leeds": 10, "york": 1}, B={"leeds": 5})
    warehouse("london", active=False)
    Product.objects.filter(sku="B").update(active=False)
    before = OutboxEvent.objects.count()
    with pytest.raises(InvalidStockChange, match=reason):
        propose(**options)
    assert not Transfer.objects.exists()
    assert OutboxEvent.objects.count() == before


def test_what_orders_have_reserved_does_not_leave():
    stocked(A={"leeds": 10}, B={"leeds": 9})
    warehouse()
    consume(placed(1, A=5))
    row = propose(A=6, B=2)
    with pytest.raises(InvalidStockChange, match=r"leeds has too few of A \(5 available\)"):
        ship(row)
    assert (figures("A", "leeds"), figures("B", "leeds")) == ((10, 0), (9, 0))
    assert Transfer.objects.get().state == "proposed"


@pytest.mark.parametrize(
    ("arrived", "reason"),
    [
        ({"A": 7, "B": 1}, "A: 6 were shipped, 7 can't arrive"),
        ({"A": 6}, "Say how many of B have arrived"),
        ({"A": 6, "B": 1, "C": 1}, "C is not in this transfer"),
        ({"A": -1, "B": 1}, "whole number from 0"),
        ({"A": 5, "B": 1}, "lost on the way needs a reason"),
    ],
)
def test_a_senseless_arrival_is_refused(arrived, reason):
    stocked(A={"leeds": 10}, B={"leeds": 10}, C={"leeds": 1})
    warehouse()
    row = propose(A=6, B=1)
    ship(row)
    with pytest.raises(InvalidStockChange, match=reason):
        receive(row, **arrived)
    assert (figures("A", "york"), figures("B", "york")) == ((0, 6), (0, 1))


def test_each_step_is_taken_once_and_in_order():
    stocked(A={"leeds": 10})
    warehouse()
    row = propose(A=6)
    with pytest.raises(InvalidStockChange, match="is proposed; it can't be received"):
        receive(row)
    ship(row)
    with pytest.raises(InvalidStockChange, match="is in transit; it can't be shipped"):
        ship(row)
    receive(row)
    for step in (ship, receive, cancel):
        with pytest.raises(InvalidStockChange, match="is received; it can't be"):
            step(row)
    with pytest.raises(InvalidStockChange, match="There is no transfer"):
        ship(Transfer(pk=new_id()))
    assert list(books_off()) == []


def test_cancelling_needs_a_reason():
    stocked(A={"leeds": 10})
    warehouse()
    with pytest.raises(InvalidStockChange, match="needs a reason"):
        cancel(propose(A=6), reason=" ")


# --- at the same time ---------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_receiving_and_cancelling_at_once_one_wins(deadlocks):
    stocked(A={"leeds": 40})
    warehouse()
    rows = [propose(A=5) for _ in range(8)]
    for row in rows:
        ship(row)
    refused = []

    def attempt(step, row):
        try:
            step(row)
        except InvalidStockChange:
            refused.append(row.pk)

    at_once(*[lambda s=s, r=r: attempt(s, r) for r in rows for s in (receive, cancel)])
    assert sorted(refused) == sorted(row.pk for row in rows)
    york, leeds = figures("A", "york"), figures("A", "leeds")
    assert (york[0] + leeds[0], york[1]) == (40, 0)
    assert list(books_off()) == []
    assert deadlocks() == 0


@pytest.mark.django_db(transaction=True)
def test_crossing_transfers_and_orders_never_wait_in_a_circle(deadlocks):
    skus = [f"A{n}" for n in range(6)]
    stocked(**{sku: {"york": 40, "leeds": 40} for sku in skus})
    ways = [("york", "leeds"), ("leeds", "york")]
    rows = [propose(*ways[n % 2], **dict.fromkeys(skus[:: (-1) ** n], 2)) for n in range(8)]
    at_once(
        *[lambda r=r: (ship(r), receive(r)) for r in rows],
        *[lambda n=n: consume(placed(n, **dict.fromkeys(skus, 1))) for n in range(8)],
    )
    follow()
    assert sum(on_hand for on_hand, _ in levels("A0").values()) == 80
    assert deadlocks() == 0
    assert_nobody_waits_in_vain()


# --- proposals ----------------------------------------------------------------------------


def limit(code, sku, *, reorder=0, safety=0):
    StockLevel.objects.filter(warehouse__code=code, product__sku=sku).update(
        reorder_point=reorder, safety_stock=safety
    )


def proposed():
    rows = TransferLine.objects.order_by("pk").values_list(
        "transfer__source__code", "transfer__target__code", "product__sku", "quantity"
    )
    return list(rows)


def test_the_long_one_helps_the_short_one_until_both_are_equally_well_off():
    stocked(A={"york": 5, "leeds": 100}, B={"york": 50, "leeds": 50}, C={"york": 1, "leeds": 90})
    for code in ("york", "leeds"):
        for sku in "ABC":
            limit(code, sku, reorder=20)
    [transfer] = balancing.propose_transfers(actor="system")
    assert proposed() == [("leeds", "york", "A", 47), ("leeds", "york", "C", 44)]
    assert (transfer.created_by, transfer.reason) == ("system", balancing.REASON)
    ship(transfer)
    receive(transfer)
    assert levels("A") == {"leeds": (53, 0), "york": (52, 0)}


def test_what_is_proposed_or_on_its_way_is_not_proposed_again():
    stocked(A={"york": 5, "leeds": 100})
    limit("york", "A", reorder=20)
    [transfer] = balancing.propose_transfers(actor="system")
    assert balancing.propose_transfers(actor="system") == []
    ship(transfer)
    assert balancing.propose_transfers(actor="system") == []
    cancel(transfer)
    assert len(balancing.propose_transfers(actor="system")) == 1


@pytest.mark.parametrize(
    ("stock", "limits", "expected"),
    [
        # Nobody is short, or nobody can spare anything.
        ({"york": 20, "leeds": 100}, {"york": {"reorder": 20}}, []),
        ({"york": 5, "leeds": 30}, {"york": {"reorder": 20}, "leeds": {"reorder": 30}}, []),
        ({"york": 5, "leeds": 30}, {"york": {"reorder": 20}, "leeds": {"safety": 30}}, []),
        # No more than can be spared.
        (
            {"york": 0, "leeds": 30},
            {"york": {"reorder": 50}, "leeds": {"reorder": 20}},
            [("leeds", "york", "A", 10)],
        ),
        # Two help one; one helps two.
        (
            {"york": 0, "leeds": 30, "london": 26},
            {"york": {"reorder": 50}, "leeds": {"reorder": 20}, "london": {"reorder": 20}},
            [("leeds", "york", "A", 10), ("london", "york", "A", 6)],
        ),
        (
            {"york": 0, "leeds": 5, "london": 100},
            {"york": {"reorder": 10}, "leeds": {"reorder": 10}},
            [("london", "leeds", "A", 25), ("london", "york", "A", 55)],
        ),
    ],
)
def test_proposals(stock, limits, expected):
    stocked(A={})
    for code in stock:
        warehouse(code)
    product("A")
    for code, units in stock.items():
        StockLevel.objects.create(
            warehouse=place(code), product=Product.objects.get(), on_hand=units
        )
    for code, mine in limits.items():
        limit(code, "A", **mine)
    balancing.propose_transfers(actor="system")
    assert sorted(proposed()) == expected


def test_orders_that_wait_where_others_may_not_send_are_helped():
    stocked(A={"leeds": 30, "york": 1})
    RegionExclusion.objects.create(warehouse=place("leeds"), country="GB")
    consume(placed(1, A=5))
    assert waiting() == [(1, "A", 4)]
    balancing.propose_transfers(actor="system")
    [(source, target, sku, units)] = proposed()
    assert (source, target, sku) == ("leeds", "york", "A")
    assert units >= 4


def test_inactive_warehouses_and_products_are_left_alone():
    stocked(A={"york": 2, "leeds": 50}, B={"york": 1, "leeds": 50})
    for sku in "AB":
        limit("york", sku, reorder=20)
    Product.objects.filter(sku="B").update(active=False)
    warehouse("leeds", active=False)
    assert balancing.propose_transfers(actor="system") == []
    warehouse("leeds")
    assert len(balancing.propose_transfers(actor="system")) == 1
    assert {sku for _, _, sku, _ in proposed()} <= {"A"}


def test_proposing_takes_as_many_statements_for_many_products():
    def world(count):
        stocked(**{f"{count}x{n}": {"york": 5, "leeds": 100} for n in range(count)})
        StockLevel.objects.filter(warehouse__code="york").update(reorder_point=20)
        return statements(lambda: balancing.propose_transfers(actor="system"))

    assert world(1) == world(50)


@pytest.mark.django_db(transaction=True)
def test_two_that_propose_at_once_propose_once(deadlocks):
    stocked(A={"york": 5, "leeds": 100})
    limit("york", "A", reorder=20)
    at_once(*[lambda: balancing.propose_transfers(actor="system") for _ in range(6)])
    assert Transfer.objects.count() == 1
    assert deadlocks() == 0
