"""What leaves now and what may wait."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.alone import Alone
from routing.dynamic import (
    COUNTED,
    MAY_WAIT,
    Tuning,
    leaving_now,
    neighbourly,
    prize,
)
from routing.schedule import planned_route
from routing.validate import violations

from .problems import HOUR, problem, problems, served, stop, van

NOON = (12 * HOUR, 12 * HOUR + 600)
TWO_VANS = (van(1), van(2))


def able(given, moment):
    """Those whom a van of their own could serve, leaving then."""
    return set(Alone(given).served(given.stops, given.vehicles, moment))


def left_for(urgent, waiting, later=3):
    return {each.key: 0 for each in urgent} | {each.key: later for each in waiting}


def plan(problem, left, neighbours=5.0, **more):
    ways = {each.key: neighbours for each in problem.stops}
    return leaving_now(problem, left, ways, seconds=0.4, **more)


# --- how long each can wait ---------------------------------------------------------------


def test_a_van_of_its_own_is_in_time_or_not():
    at_noon, any_time = stop(1, windows=(NOON,)), stop(2)
    given_ = problem(at_noon, any_time, vehicles=TWO_VANS)
    for hour, both in ((9, True), (11, True), (13, False), (17, False)):
        assert able(given_, hour * HOUR) == {any_time.key} | ({at_noon.key} if both else set())


def test_nobody_leaves_after_the_shift():
    far = stop(1, north=1.0)
    assert [able(problem(far), hour * HOUR) for hour in (17, 18, 23)] == [set()] * 3


@given(problems(), st.sampled_from([0, 8 * HOUR, 12 * HOUR, 20 * HOUR]))
def test_who_is_served_alone_is_who_has_a_route_alone(given_, moment):
    """Most of those that none can serve are told apart without any route."""
    vans = [
        replace(v, start_s=max(v.start_s, moment)) for v in given_.vehicles if moment <= v.end_s
    ]
    served_ = {s.key for s in given_.stops if any(planned_route(given_, v, [s]) for v in vans)}
    assert able(given_, moment) == served_


@pytest.mark.parametrize(("earlier", "sooner_back"), [(0, 0), (1, 0), (0, 1)])
def test_who_is_just_in_time_alone_is_served(earlier, sooner_back):
    there, back = problem(stop(1)).travel.seconds[[0, 1], [1, 0]].tolist()
    closes = 8 * HOUR + there - earlier
    end = 8 * HOUR + there + stop(1).service_s + back - sooner_back
    given_ = problem(stop(1, windows=((0, closes),)), vehicles=(van(end=end),))
    assert able(given_, 8 * HOUR) == (set() if earlier or sooner_back else {stop(1).key})


def test_departures_that_are_not_counted_would_change_no_prize():
    assert prize(10.0, COUNTED) == prize(10.0, 100) == 0


# --- what it is worth to take one along ---------------------------------------------------


def test_a_neighbour_is_near_in_both_directions():
    ways = np.array([[0, 2, 90, 90], [4, 0, 90, 90], [90, 90, 0, 10], [90, 90, 30, 0]])
    assert neighbourly(ways, near=0.25).tolist() == [3, 3, 20, 20]


def test_ways_to_oneself_are_not_counted_and_the_matrix_stays_as_it_is():
    ways = np.zeros((2, 2), dtype=np.int32) + 7
    assert neighbourly(ways).tolist() == [7, 7]
    assert (ways == 7).all()


@pytest.mark.parametrize("left", [0, -1])
def test_who_must_go_has_no_price(left):
    assert prize(10.0, left) is None


def test_the_longer_it_can_wait_the_less_it_is_worth_to_go_now():
    worth = [prize(10.0, left, Tuning(worth=2.0, patience=0.25)) for left in (1, 2, 5, 9)]
    assert worth == [20.0, 15.0, 0.0, 0.0]


# --- who leaves ---------------------------------------------------------------------------


def test_nobody_leaves_while_all_can_wait():
    stops = [stop(1), stop(2)]
    found = plan(problem(*stops), left_for([], stops))
    assert found.routes == ()
    assert set(found.unserved.values()) == {MAY_WAIT}


def test_one_on_the_way_rides_along_and_one_far_off_waits():
    urgent, beside, far = stop(1, north=0.2), stop(2, north=0.19), stop(3, north=-0.4)
    given_ = problem(urgent, beside, far, vehicles=TWO_VANS)
    found = plan(given_, left_for([urgent], [beside, far]))
    assert served(found) == {urgent.key, beside.key}
    assert found.unserved == {far.key: MAY_WAIT}
    assert violations(given_, found) == []


def test_one_that_is_worth_a_detour_but_no_route_of_its_own_waits():
    """A van alone would pay off by the prize; with nothing urgent aboard it still waits."""
    urgent = stop(1, north=0.2, windows=((8 * HOUR, 9 * HOUR),))
    other = stop(2, north=-0.2, windows=((8 * HOUR, 9 * HOUR),))
    given_ = problem(urgent, other, vehicles=TWO_VANS)
    found = plan(given_, left_for([urgent], [other]), neighbours=1000.0)
    assert served(found) == {urgent.key}
    assert found.unserved == {other.key: MAY_WAIT}


def test_an_urgent_one_that_nobody_can_serve_is_told_why():
    heavy, urgent = stop(1, kg=5000), stop(2)
    found = plan(problem(heavy, urgent), left_for([heavy, urgent], []))
    assert served(found) == {urgent.key}
    assert "more than any vehicle carries" in found.unserved[heavy.key]


def test_no_vehicle_says_so_for_the_urgent_and_lets_the_others_wait():
    urgent, other = stop(1), stop(2)
    found = plan(problem(urgent, other, vehicles=()), left_for([urgent], [other]))
    assert found.unserved == {urgent.key: "no vehicle is free", other.key: MAY_WAIT}


@settings(max_examples=15)
@given(problems(most=8), st.data())
def test_any_plan_is_valid_and_no_route_leaves_without_need(given_, data):
    given_ = replace(given_, stops=tuple(replace(s, prize=None) for s in given_.stops))
    left = {s.key: data.draw(st.integers(0, 3)) for s in given_.stops}
    found = leaving_now(given_, left, dict.fromkeys(left, 2.0), seconds=0.2)
    assert violations(given_, found) == []
    for route in found.routes:
        assert any(left[each.key] == 0 for each in route.stops)
    assert all(left[key] for key, why in found.unserved.items() if why == MAY_WAIT)
