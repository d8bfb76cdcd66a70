"""Solver and validator: plans of any problem keep every constraint, and a plan that doesn't is
found out."""

import random
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from routing import solver
from routing.problem import Place, Plan, Problem, Stop, Vehicle, Visit
from routing.solver import solve
from routing.travel import matrices, tour_m
from routing.validate import violations

DEPOT = Place(53.96, -1.08)
HOUR = 3600
NO_ROOM = "the vehicles that are free have no room or time left for it"


def van(key=1, kg=1000.0, m3=8.0, start=8 * HOUR, end=18 * HOUR):
    return Vehicle(key, kg, m3, start, end)


def stop(number, north=0.01, east=0.0, kg=5.0, m3=0.01, window=None):
    place = Place(DEPOT.latitude + north, DEPOT.longitude + east)
    return Stop(UUID(int=number), place, kg, m3, window=window)


VAN = van()


def problem(*stops, vehicles=(VAN,)):
    return Problem(DEPOT, tuple(vehicles), tuple(stops))


def served(plan):
    return {visit.stop.key for route in plan.routes for visit in route.visits}


def solved(given, seconds=0.15):
    plan = solve(given, seconds=seconds)
    assert violations(given, plan) == []
    return plan


# --- generated problems -------------------------------------------------------------------

_windows = st.none() | st.tuples(st.integers(6, 20), st.integers(0, 8)).map(
    lambda w: (w[0] * HOUR, (w[0] + w[1]) * HOUR)
)
_stops = st.builds(
    stop,
    st.integers(1, 10**6),
    north=st.floats(-0.6, 0.6),
    east=st.floats(-0.9, 0.9),
    kg=st.floats(0, 400),
    m3=st.floats(0, 4),
    window=_windows,
)
_vans = st.builds(
    van,
    st.integers(1, 10**6),
    kg=st.floats(0.5, 900),
    m3=st.floats(0.05, 9),
    start=st.integers(6 * HOUR, 12 * HOUR),
    end=st.integers(13 * HOUR, 22 * HOUR),
)


@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(_stops, max_size=14, unique_by=lambda s: s.key),
    st.lists(_vans, max_size=4, unique_by=lambda v: v.key),
    st.sampled_from([3, 120]),
)
def test_any_plan_keeps_every_constraint(stops, vehicles, sector):
    """With sectors of three stops, too: their vehicles' shifts and sizes differ."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solver, "SECTOR", sector)
        patch.setattr(solver, "SEARCH_LEAST", 0.02)
        given = problem(*stops, vehicles=vehicles)
        plan = solved(given, seconds=0.02)
    assert all(reason for reason in plan.unserved.values())


def test_a_town_is_planned_within_capacity_and_time():
    rng = random.Random(7)
    stops = [
        stop(n, rng.uniform(-0.2, 0.2), rng.uniform(-0.3, 0.3), kg=rng.uniform(1, 40))
        for n in range(1, 261)
    ]
    plan = solved(problem(*stops, vehicles=[van(n) for n in range(12)]), seconds=1.0)
    assert len(plan.unserved) == 0
    assert len({route.vehicle.key for route in plan.routes}) == len(plan.routes) > 1


# --- one constraint each ------------------------------------------------------------------


def test_weight_splits_a_load_over_vehicles():
    stops = [stop(n, kg=60) for n in range(1, 5)]
    plan = solved(problem(*stops, vehicles=[van(n, kg=125) for n in range(3)]))
    assert sorted(len(route.visits) for route in plan.routes) == [2, 2]


def test_volume_splits_a_load_over_vehicles():
    stops = [stop(n, m3=0.6) for n in range(1, 5)]
    plan = solved(problem(*stops, vehicles=[van(n, m3=1.25) for n in range(3)]))
    assert sorted(len(route.visits) for route in plan.routes) == [2, 2]


def test_what_exceeds_all_vehicles_is_left_with_its_reason():
    plan = solved(problem(*(stop(n, kg=60) for n in range(1, 4)), vehicles=[van(kg=125)]))
    assert len(served(plan)) == 2
    assert list(plan.unserved.values()) == [NO_ROOM]


def test_windows_are_met_by_waiting_and_by_order():
    late = stop(1, 0.01, window=(15 * HOUR, 15 * HOUR + 60))
    early = stop(2, 0.02, window=(9 * HOUR, 9 * HOUR + 60))
    (route,) = solved(problem(late, early)).routes
    assert [visit.stop.key for visit in route.visits] == [early.key, late.key]


def test_a_shift_ends_with_the_vehicle_back():
    _, seconds = matrices([DEPOT, stop(1, 0.5).place])
    there_and_back = int(seconds[0, 1] + seconds[1, 0]) + 300
    enough = van(end=8 * HOUR + there_and_back)
    assert solved(problem(stop(1, 0.5), vehicles=[enough])).unserved == {}
    short = replace(enough, end_s=enough.end_s - 1)
    (reason,) = solved(problem(stop(1, 0.5), vehicles=[short])).unserved.values()
    assert reason == "no vehicle reaches it within its window and is back before its shift ends"


@pytest.mark.parametrize(
    ("impossible", "vehicles", "reason"),
    [
        (stop(1, north=float("nan")), [van()], "its coordinates are not numbers"),
        (stop(1, east=float("inf")), [van()], "its coordinates are not numbers"),
        (stop(1, window=(2, 1)), [van()], "its delivery window closes before it opens"),
        (stop(1), [], "no vehicle is free"),
        (stop(1, kg=1001), [van()], "1001 kg are more than any vehicle carries"),
        (stop(1, m3=9), [van()], "9 m³ are more than any vehicle for its weight holds"),
        (
            stop(1, kg=900, m3=5),
            [van(1, kg=1000, m3=1), van(2, kg=10, m3=8)],
            "5 m³ are more than any vehicle for its weight holds",
        ),
        (
            stop(1, window=(0, 7 * HOUR)),
            [van()],
            "no vehicle reaches it within its window and is back before its shift ends",
        ),
        (
            stop(1, window=(18 * HOUR, 19 * HOUR)),
            [van()],
            "no vehicle reaches it within its window and is back before its shift ends",
        ),
        (
            stop(1, north=20),
            [van()],
            "no vehicle reaches it within its window and is back before its shift ends",
        ),
    ],
)
def test_an_impossible_stop_gets_its_reason_and_holds_up_nobody(impossible, vehicles, reason):
    other = stop(2)
    plan = solved(problem(impossible, other, vehicles=vehicles))
    assert plan.unserved[impossible.key] == reason
    assert served(plan) == ({other.key} if vehicles else set())


def test_a_window_after_the_shifts_of_a_sectors_vehicles_is_no_error(monkeypatch):
    """The vehicle of the first sector ends before the window opens; another doesn't."""
    monkeypatch.setattr(solver, "SECTOR", 1)
    evening = stop(1, north=-0.01, window=(15 * HOUR, 16 * HOUR))
    vehicles = [van(1, end=12 * HOUR), van(2)]
    plan = solved(problem(evening, stop(2), vehicles=vehicles))
    assert served(plan) == {UUID(int=1), UUID(int=2)}


def test_a_heavy_stop_finds_the_large_vehicle_of_another_sector(monkeypatch):
    monkeypatch.setattr(solver, "SECTOR", 1)
    heavy = stop(1, north=-0.01, kg=900)
    vehicles = [van(1, kg=50), van(2, kg=50), van(3), van(4)]
    plan = solved(problem(heavy, stop(2), vehicles=vehicles))
    assert plan.unserved == {}


def test_the_most_urgent_of_too_many_stops_are_planned(monkeypatch):
    monkeypatch.setattr(solver, "SECTOR", 2)
    stops = [stop(n, north) for n, north in ((9, 0.01), (3, 0.02), (7, -0.01), (1, -0.02))]
    plan = solved(problem(*stops))
    assert served(plan) == {UUID(int=9), UUID(int=3)}
    assert set(plan.unserved.values()) == {NO_ROOM}


def test_no_stops_make_no_plan():
    assert solved(problem()) == Plan()


# --- the validator ------------------------------------------------------------------------

FINE = problem(
    stop(1, 0.05, kg=10, m3=1, window=(9 * HOUR, 12 * HOUR)),
    stop(2, 0.1, kg=10, m3=1),
    stop(3, kg=9999),
    vehicles=[van(1, kg=20, m3=2)],
)


@pytest.fixture(scope="module")
def fine():
    plan = solve(FINE, seconds=0.1)
    assert violations(FINE, plan) == []
    return plan


def _with_route(plan, **changes):
    return replace(plan, routes=(replace(plan.routes[0], **changes),))


def _moved(plan, number, by):
    """The plan with one arrival ``by`` seconds later."""
    visits = tuple(
        Visit(v.stop, v.arrival_s + by if v.stop.key.int == number else v.arrival_s)
        for v in plan.routes[0].visits
    )
    return _with_route(plan, visits=visits)


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (lambda p: replace(p, routes=p.routes * 2), "vehicle 1 has 2 routes"),
        (lambda p: replace(p, routes=p.routes * 2), "is visited 2 times"),
        (lambda p: Plan(p.routes, {}), "either visited or unserved with a reason"),
        (lambda p: Plan(p.routes, {UUID(int=3): ""}), "either visited or unserved"),
        (lambda p: Plan((), p.unserved), "either visited or unserved with a reason"),
        (
            lambda p: Plan(p.routes, {**p.unserved, UUID(int=1): "lazy"}),
            "either visited or unserved with a reason",
        ),
        (
            lambda p: Plan(p.routes, {**p.unserved, UUID(int=8): "who?"}),
            "is unserved, but not one of the problem",
        ),
        (lambda p: _with_route(p, departure_s=7 * HOUR), "outside its shift"),
        (lambda p: _with_route(p, return_s=19 * HOUR), "outside its shift"),
        (lambda p: _with_route(p, return_s=9 * HOUR), "is back faster than one can drive"),
        (lambda p: _with_route(p, distance_m=1), "m long"),
        (lambda p: _with_route(p, visits=()), "its route has no stop"),
        (lambda p: _with_route(p, vehicle=van(1, kg=9e9)), "vehicle 1 is not one of the problem"),
        (lambda p: _with_route(p, vehicle=van(5)), "vehicle 5 is not one of the problem"),
        (lambda p: _moved(p, 1, 9 * HOUR), "is reached outside its window"),
        (lambda p: _moved(p, 2, -9 * HOUR), "is reached faster than one can drive"),
    ],
)
def test_a_tampered_plan_is_found_out(fine, tamper, fault):
    assert fault in "; ".join(violations(FINE, tamper(fine)))


@pytest.mark.parametrize(
    ("load", "fault"),
    [({"load_kg": 10.01}, "kg over its 20"), ({"load_m3": 1.00001}, "m³ over its 2")],
)
def test_an_overloaded_vehicle_is_found_out(fine, load, fault):
    heavier = {s.key: replace(s, **load) for s in FINE.stops[:2]}
    visits = tuple(Visit(heavier[v.stop.key], v.arrival_s) for v in fine.routes[0].visits)
    given = replace(FINE, stops=(*heavier.values(), FINE.stops[2]))
    assert any(fault in found for found in violations(given, _with_route(fine, visits=visits)))


def test_a_stop_that_pretends_to_be_lighter_is_found_out(fine):
    light = tuple(Visit(replace(v.stop, load_kg=0), v.arrival_s) for v in fine.routes[0].visits)
    found = violations(FINE, _with_route(fine, visits=light))
    assert set(found) == {f"stop {UUID(int=n)} is not one of the problem" for n in (1, 2)}


# --- travel -------------------------------------------------------------------------------


def test_distances_and_speeds_are_plausible():
    york, leeds = Place(53.96, -1.08), Place(53.80, -1.55)
    metres, seconds = matrices([york, leeds])
    assert 38_000 < metres[0, 1] < 55_000  # by road about 40 km
    assert 35 * 60 < seconds[0, 1] < 70 * 60
    assert metres[0, 1] == metres[1, 0] and metres[0, 0] == seconds[0, 0] == 0
    assert tour_m([york, leeds]) == 2 * metres[0, 1]
    assert tour_m([york]) == 0


def test_a_longer_way_takes_longer():
    places = [DEPOT, *(stop(n, north=0.001 * 1.4**n).place for n in range(20))]
    _, seconds = matrices(places)
    row = list(seconds[0])
    assert row == sorted(row)
