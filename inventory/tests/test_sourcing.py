"""choose(): which warehouse sends what, by each policy."""

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.sourcing import (
    POLICIES,
    Site,
    balanced,
    choose,
    distance_km,
    fewest_shipments,
    lowest_cost,
    nearest,
)

SKUS = ["A", "B", "C"]
_site = st.builds(
    Site,
    st.just(0),
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.integers(0, 2),
    st.integers(0, 9),
    st.sampled_from([0, 0.5]),
)
_wanted = st.dictionaries(st.sampled_from(SKUS), st.integers(1, 30))
_stock = st.dictionaries(st.sampled_from(SKUS), st.integers(0, 20))
#: Sites with what each has.
_world = st.lists(st.tuples(_site, _stock), max_size=6).map(
    lambda pairs: (
        [replace(site, key=key) for key, (site, _) in enumerate(pairs)],
        {key: stock for key, (_, stock) in enumerate(pairs)},
    )
)
_policy = st.sampled_from(list(POLICIES.values()))
NEAR, FAR, FARTHER = Site(3, 50.1, 8.0), Site(1, 51.0, 8.0), Site(2, 52.0, 8.0)


def source(wanted, stock, sites=(NEAR, FAR, FARTHER), policy=fewest_shipments):
    """Stock as {site key: {sku: units}}; the destination is just beside NEAR."""
    stock = {site.key: stock.get(site.key, {}) for site in sites}
    return choose(policy, wanted, list(sites), stock, 50.0, 8.0)


def reach(wanted, stock):
    """What all together can send."""
    there = {sku: sum(units.get(sku, 0) for units in stock.values()) for sku in wanted}
    return {sku: min(n, there[sku]) for sku, n in wanted.items()}


def teams_that_reach(wanted, sites, stock):
    """By size, every combination of sites that together can send as much as all can."""
    whole = reach(wanted, stock)
    for size in range(len(sites) + 1):
        for team in combinations(sites, size):
            if reach(wanted, {site.key: stock[site.key] for site in team}) == whole:
                yield team


@given(_policy, _wanted, _world)
def test_every_unit_is_taken_from_what_is_there_or_short(policy, wanted, world):
    sites, stock = world
    parcels, short = choose(policy, wanted, sites, stock, 10.0, 20.0)
    for sku, units in wanted.items():
        taken = {key: parcel[sku] for key, parcel in parcels.items() if sku in parcel}
        assert sum(taken.values()) + short.get(sku, 0) == units
        assert all(0 < n <= stock[key][sku] for key, n in taken.items())
        there = sum(mine.get(sku, 0) for mine in stock.values())
        assert short.get(sku, 0) == max(0, units - there)
    assert all(parcels.values())
    assert all(short.values())


@given(_policy, _wanted, _world)
def test_the_same_question_gets_the_same_answer(policy, wanted, world):
    sites, stock = world
    answers = [choose(policy, wanted, order, stock, 0, 0) for order in (sites, sites[::-1])]
    assert answers[0] == answers[1]


@given(_wanted, _world)
def test_fewest_shipments_are_as_few_as_can_be(wanted, world):
    """Of up to three; beyond, the choice is greedy."""
    sites, stock = world
    parcels, _ = choose(fewest_shipments, wanted, sites, stock, 10.0, 20.0)
    least = len(next(teams_that_reach(wanted, sites, stock)))
    assert len(parcels) == least or (len(parcels) > least > 3)


@given(_wanted, _world)
def test_lowest_cost_is_the_lowest(wanted, world):
    sites, stock = world

    def cost(team):
        return sum(
            site.handling_cost
            + site.cost_per_km * distance_km(10.0, 20.0, site.latitude, site.longitude)
            for site in team
        )

    parcels, _ = choose(lowest_cost, wanted, sites, stock, 10.0, 20.0)
    teams = list(teams_that_reach(wanted, sites, stock))
    chosen = [site for site in sites if site.key in parcels]
    if len(teams[0]) <= 3:
        lowest = min(cost(team) for team in teams if len(team) <= 3)
        assert cost(chosen) == pytest.approx(lowest)


@given(_wanted, _world)
def test_of_those_that_have_everything_the_lowest_priority_then_the_nearest_sends(wanted, world):
    sites, stock = world
    whole = [s for s in sites if all(stock[s.key].get(sku, 0) >= n for sku, n in wanted.items())]
    if whole and wanted:
        [chosen] = choose(fewest_shipments, wanted, sites, stock, 10.0, 20.0)[0]
        ranks = {
            s.key: (s.priority, distance_km(10.0, 20.0, s.latitude, s.longitude)) for s in whole
        }
        assert ranks[chosen] == min(ranks.values())


@pytest.mark.parametrize(
    ("stock", "parcels"),
    [
        ({3: {"A": 5}, 1: {"A": 5}}, {3: {"A": 4}}),  # the nearest of equals
        ({3: {"A": 3}, 2: {"A": 4}}, {2: {"A": 4}}),  # one shipment rather than a near one
        ({3: {"A": 1}, 1: {"A": 2}, 2: {"A": 3}}, {2: {"A": 3}, 3: {"A": 1}}),  # two, not three
        ({3: {"A": 4}, 1: {"A": 4, "C": 9}}, {3: {"A": 4}}),  # what nobody wants doesn't count
    ],
)
def test_fewest_shipments_then_nearest(stock, parcels):
    assert source({"A": 4}, stock) == (parcels, {})


def test_three_are_found_where_a_greedy_choice_takes_four():
    """Greedy begins with the site that has most and then needs three more."""
    stock = {1: {"A": 6, "B": 5}, 2: {"B": 6, "C": 4}, 3: {"A": 5, "C": 6}, 4: {"A": 4, "C": 4}}
    sites = [Site(key, 50 + key / 10, 8.0) for key in stock]
    parcels, short = source({"A": 11, "B": 11, "C": 10}, stock, sites)
    assert (sorted(parcels), short) == ([1, 2, 3], {})


def test_a_lower_priority_goes_before_a_shorter_way_but_not_before_fewer_shipments():
    sites = (NEAR, replace(FAR, priority=1), replace(FARTHER, priority=0))
    sites = (replace(NEAR, priority=2), *sites[1:])
    everywhere = {key: {"A": 9} for key in (1, 2, 3)}
    assert source({"A": 1}, everywhere, sites) == ({2: {"A": 1}}, {})
    assert source({"A": 9}, everywhere | {2: {"A": 8}}, sites) == ({1: {"A": 9}}, {})


def test_the_nearest_send_whatever_they_have():
    stock = {3: {"A": 1}, 1: {"A": 9, "B": 9}, 2: {"A": 9, "B": 9}}
    parcels = {3: {"A": 1}, 1: {"A": 2, "B": 1}}
    assert source({"A": 3, "B": 1}, stock, policy=nearest) == (parcels, {})


def test_balanced_takes_from_the_fullest():
    stock = {3: {"A": 5}, 1: {"A": 50}, 2: {"A": 20}}
    assert source({"A": 5}, stock, policy=balanced) == ({1: {"A": 5}}, {})
    # A rare product counts as much as a common one.
    stock = {3: {"A": 900, "B": 1}, 1: {"A": 800, "B": 9}}
    assert source({"A": 1, "B": 1}, stock, policy=balanced) == ({1: {"A": 1, "B": 1}}, {})


def test_balanced_empties_warehouses_together():
    stock = {3: {"A": 10}, 1: {"A": 40}, 2: {"A": 10}}
    for _ in range(54):
        [(key, parcel)] = source({"A": 1}, stock, policy=balanced)[0].items()
        stock[key]["A"] -= parcel["A"]
    assert sorted(units["A"] for units in stock.values()) == [2, 2, 2]


def test_lowest_cost_weighs_handling_against_the_way():
    near = replace(NEAR, handling_cost=10.0, cost_per_km=0.01)
    far = replace(FAR, handling_cost=2.0, cost_per_km=0.01)  # some 111 km: 3.11
    stock = {3: {"A": 9, "B": 9}, 1: {"A": 9}}
    assert source({"A": 1}, stock, (near, far), lowest_cost) == ({1: {"A": 1}}, {})
    # With B it must come from near: one shipment of 10 rather than two.
    assert source({"A": 1, "B": 1}, stock, (near, far), lowest_cost)[0] == {3: {"A": 1, "B": 1}}


def test_two_cheap_shipments_may_cost_less_than_one():
    dear = replace(NEAR, handling_cost=100.0)
    stock = {3: {"A": 9, "B": 9}, 1: {"A": 9}, 2: {"B": 9}}
    parcels = source({"A": 1, "B": 1}, stock, (dear, FAR, FARTHER), lowest_cost)[0]
    assert parcels == {1: {"A": 1}, 2: {"B": 1}}


@pytest.mark.parametrize("policy", POLICIES.values())
def test_more_warehouses_than_are_tried_together(policy):
    sites = [Site(key, 50.0 + key, 8.0, handling_cost=1) for key in range(14)]
    stock = {site.key: {"A": 1} for site in sites}
    parcels, short = source({"A": 13}, stock, sites, policy)
    assert len(parcels) == 13
    assert short == {}


def test_two_products_come_from_where_both_are():
    stock = {3: {"A": 2}, 1: {"B": 1}, 2: {"A": 2, "B": 1}}
    assert source({"A": 2, "B": 1}, stock) == ({2: {"A": 2, "B": 1}}, {})


def test_without_warehouses_all_is_short():
    assert source({"A": 2}, {3: {"A": 9}}, sites=()) == ({}, {"A": 2})


def test_distances_are_great_circles():
    assert distance_km(52.52, 13.405, 48.137, 11.575) == pytest.approx(504, abs=1)
    assert distance_km(0, 179.5, 0, -179.5) == pytest.approx(111.2, abs=0.1)
    assert distance_km(0, 0, 0, 180) == pytest.approx(20015, abs=1)
