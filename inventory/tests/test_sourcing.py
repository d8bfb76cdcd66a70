"""choose(): which warehouse sends what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.sourcing import Site, choose, distance_km

SKUS = ["A", "B", "C"]
_units = st.integers(0, 20)
_sites = st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), max_size=5).map(
    lambda places: [Site(key, *place) for key, place in enumerate(places)]
)
_wanted = st.dictionaries(st.sampled_from(SKUS), st.integers(1, 30))
_stock = st.dictionaries(st.tuples(st.integers(0, 6), st.sampled_from(SKUS)), _units)
NEAR, FAR, FARTHER = Site(3, 50.1, 8.0), Site(1, 51.0, 8.0), Site(2, 52.0, 8.0)


def source(wanted, stock, sites=(NEAR, FAR, FARTHER)):
    """Stock as {site key: {sku: units}}; the destination is just beside NEAR."""
    available = {(key, sku): n for key, units in stock.items() for sku, n in units.items()}
    return choose(wanted, list(sites), available, 50.0, 8.0)


@given(_wanted, _sites, _stock)
def test_every_unit_is_taken_from_what_is_there_or_short(wanted, sites, stock):
    parcels, short = choose(wanted, sites, stock, 10.0, 20.0)
    keys = {site.key for site in sites}
    for sku, units in wanted.items():
        taken = {key: parcel[sku] for key, parcel in parcels.items() if sku in parcel}
        assert sum(taken.values()) + short.get(sku, 0) == units
        assert all(0 < n <= stock[key, sku] for key, n in taken.items())
        there = sum(n for (key, what), n in stock.items() if what == sku and key in keys)
        assert short.get(sku, 0) == max(0, units - there)
    assert all(parcels.values())
    assert all(short.values())


@given(_wanted, _sites, _stock)
def test_who_has_everything_sends_everything(wanted, sites, stock):
    parcels, _ = choose(wanted, sites, stock, 10.0, 20.0)
    complete = [
        site
        for site in sites
        if wanted and all(stock.get((site.key, sku), 0) >= n for sku, n in wanted.items())
    ]
    if complete:
        distances = {
            site.key: distance_km(10.0, 20.0, site.latitude, site.longitude) for site in complete
        }
        [chosen] = parcels
        assert distances[chosen] == min(distances.values())


@given(_wanted, _sites, _stock)
def test_the_same_question_gets_the_same_answer(wanted, sites, stock):
    answers = [choose(wanted, order, stock, 0, 0) for order in (sites, sites[::-1])]
    assert answers[0] == answers[1]


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


def test_two_products_come_from_where_both_are():
    stock = {3: {"A": 2}, 1: {"B": 1}, 2: {"A": 2, "B": 1}}
    assert source({"A": 2, "B": 1}, stock) == ({2: {"A": 2, "B": 1}}, {})


def test_without_warehouses_all_is_short():
    assert source({"A": 2}, {3: {"A": 9}}, sites=()) == ({}, {"A": 2})


def test_distances_are_great_circles():
    assert distance_km(52.52, 13.405, 48.137, 11.575) == pytest.approx(504, abs=1)
    assert distance_km(0, 179.5, 0, -179.5) == pytest.approx(111.2, abs=0.1)
    assert distance_km(0, 0, 0, 180) == pytest.approx(20015, abs=1)
