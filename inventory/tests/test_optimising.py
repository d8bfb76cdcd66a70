"""Scarce stock goes where it completes most orders, and nobody else is worse off for it."""

import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory.events import StockReserved, StockShort
from inventory.optimising import serve_all
from inventory.picking import PickDiary
from inventory.shelves import Demand, Shelves
from inventory.sourcing import Site

from .conftest import consume, levels, order, placed, receive, stocked, told, waiting

LONG = 30.0
SKUS = ["A", "B", "C"]


def shelves(*stock):
    """Warehouses 0, 1 … with {sku: units} each."""
    sites = [Site(key, 50.0 + key, 8.0) for key in range(len(stock))]
    days = dict.fromkeys(range(len(stock)))
    return Shelves(sites, {key: dict(units) for key, units in enumerate(stock)}, PickDiary(days))


def demand(priority=0, excluded=(), **wanted):
    return Demand(wanted, 50.0, 8.0, priority=priority, excluded=frozenset(excluded))


def complete(there, demands, seconds=LONG):
    """Which of them get everything."""
    return [n for n, got in enumerate(serve_all(there, demands, seconds)) if got.complete]


def test_two_small_orders_rather_than_a_large_one():
    demands = [demand(A=3), demand(A=1), demand(A=2)]
    assert complete(shelves({"A": 3}), demands, seconds=0) == [0]
    assert complete(shelves({"A": 3}), demands) == [1, 2]


def test_of_equal_outcomes_the_earlier_orders_win():
    demands = [demand(A=1) for _ in range(5)]
    assert complete(shelves({"A": 1}, {"A": 1}), demands) == [0, 1]
    assert complete(shelves({"A": 2}), [demand(A=2), demand(A=2)]) == [0]


def test_what_is_left_goes_to_the_rest_first_come_first_served():
    demands = [demand(A=4), demand(A=3), demand(A=1), demand(A=1)]
    got = serve_all(shelves({"A": 3}), demands, LONG)
    assert [dict(one.short) for one in got] == [{"A": 3}, {"A": 3}, {}, {}]


def test_a_higher_priority_goes_first_though_fewer_are_complete_then():
    demands = [demand(A=1), demand(A=1), demand(priority=1, A=2)]
    assert complete(shelves({"A": 2}), demands) == [2]


def test_who_wants_nothing_scarce_is_not_touched():
    demands = [demand(B=1), demand(A=3), demand(A=1), demand(A=1, B=1), demand(B=1)]
    got = serve_all(shelves({"A": 2, "B": 3}), demands, LONG)
    assert [one.complete for one in got] == [True, False, True, True, True]


def test_who_can_have_it_from_one_warehouse_only():
    """The order from everywhere takes what is near; the others need just that."""
    demands = [demand(A=2), demand(excluded=[1], A=1), demand(excluded=[1], A=1)]
    there = shelves({"A": 2}, {"A": 1})
    assert complete(there.copy(), demands, seconds=0) == [0]
    assert complete(there, demands) == [0, 1]


def test_the_time_is_over_before_it_has_begun():
    demands = [demand(A=3), demand(A=1), demand(A=2)]
    assert complete(shelves({"A": 3}), demands, seconds=1e-9) == [0]


_demands = st.lists(
    st.builds(
        lambda wanted, priority, excluded: demand(priority, excluded, **wanted),
        st.dictionaries(st.sampled_from(SKUS), st.integers(1, 5), min_size=1),
        st.sampled_from([0, 0, 0, 1]),
        st.sampled_from([(), (), (0,), (1,)]),
    ),
    max_size=7,
)
_stock = st.dictionaries(st.sampled_from(SKUS), st.integers(0, 8))


def by_class(there, demands, seconds):
    """How many are complete, of the highest priority first."""
    done = complete(there, demands, seconds)
    return [sum(demands[n].priority == p for n in done) for p in (1, 0)]


@given(_demands, _stock, _stock)
@settings(max_examples=60)
def test_never_fewer_than_first_come_first_served(demands, one, two):
    greedy = by_class(shelves(one, two), demands, 0)
    assert by_class(shelves(one, two), demands, LONG) >= greedy


@given(_demands, _stock, _stock)
@settings(max_examples=60)
def test_every_unit_is_given_once_and_none_is_kept(demands, one, two):
    there = shelves(one, two)
    got = serve_all(there, demands, LONG)
    for sku in SKUS:
        given_ = sum(p.units.get(sku, 0) for each in got for p in each.parcels)
        assert given_ + there.there(sku) == one.get(sku, 0) + two.get(sku, 0)
    for wanted, each in zip(demands, got, strict=True):
        for sku, units in wanted.wanted.items():
            assert units == each.short.get(sku, 0) + sum(p.units.get(sku, 0) for p in each.parcels)
        assert not any(there.there(sku, wanted.excluded) for sku in each.short)


@given(
    st.lists(st.dictionaries(st.sampled_from(SKUS), st.integers(1, 5), min_size=1), max_size=8),
    _stock,
    _stock,
)
@settings(max_examples=60)
def test_as_many_as_trying_every_choice_finds(orders, one, two):
    there = {sku: one.get(sku, 0) + two.get(sku, 0) for sku in SKUS}

    def fits(chosen):
        return all(sum(o.get(sku, 0) for o in chosen) <= there[sku] for sku in SKUS)

    best = max(
        size
        for size in range(len(orders) + 1)
        if any(fits(chosen) for chosen in combinations(orders, size))
    )
    assert len(complete(shelves(one, two), [demand(**o) for o in orders])) == best


def test_the_same_batch_gets_the_same_answer():
    chance = random.Random(7)
    demands = [
        demand(**{sku: chance.randint(1, 6) for sku in chance.sample(SKUS, 2)}) for _ in range(40)
    ]
    answers = [complete(shelves({"A": 40, "B": 30, "C": 35}), demands) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]) > len(complete(shelves({"A": 40, "B": 30, "C": 35}), demands, 0))


# --- through the consumer -----------------------------------------------------------------


@pytest.mark.django_db
def test_a_batch_completes_more_and_the_rest_waits(settings, caplog):
    settings.INVENTORY_OPTIMISE_SECONDS = LONG
    caplog.set_level("INFO")
    stocked(A={"york": 2, "leeds": 1})
    consume(placed(1, A=3), placed(2, A=1), placed(3, A=2))
    assert {event.order_id for event in told(StockReserved)} == {order(2), order(3)}
    assert [event.order_id for event in told(StockShort)] == [order(1)]
    assert waiting() == [(1, "A", 3)]
    assert "1 of 3 orders more are complete than by their turn" in caplog.text


@pytest.mark.django_db
def test_switched_off_it_is_first_come_first_served(settings):
    settings.INVENTORY_OPTIMISE_SECONDS = 0
    stocked(A={"york": 3})
    consume(placed(1, A=3), placed(2, A=1), placed(3, A=2))
    assert waiting() == [(2, "A", 1), (3, "A", 2)]


@pytest.mark.django_db
def test_who_stands_in_line_already_is_not_overtaken(settings):
    settings.INVENTORY_OPTIMISE_SECONDS = LONG
    stocked(A={"york": 0})
    consume(placed(1, A=3))
    receive(A=3)  # the fill is on its way
    consume(placed(2, A=1), placed(3, A=2))
    assert levels("A") == {"york": (3, 0)}
    assert waiting() == [(1, "A", 3), (2, "A", 1), (3, "A", 2)]
