"""The planner: plans of any problem keep every constraint, and what can't be planned is told."""

import logging
import math
import random
import threading
import time
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from routing import solver
from routing.engines import with_both, with_ortools, with_pyvrp
from routing.problem import NO_WAY, BadProblem, Break, Plan, Problem, Travel
from routing.reasons import NO_ROOM, NOT_IN_TIME, NOT_WORTH
from routing.schedule import planned_route
from routing.solver import UnknownEngine, solve
from routing.start import completed, orders_of
from routing.validate import score, violations

from .problems import DEPOT, HOUR, LEEDS, NO_BREAKS, YORK, problem, problems, served, stop, van

ENGINES = ["pyvrp", "ortools"]
COLD = frozenset(["cold"])


@pytest.fixture(autouse=True)
def _no_search_fails(caplog, request):
    """A plan made at once would hide it."""
    yield
    if "fails" not in request.node.name:
        assert "The search failed" not in caplog.text


def solved(given, seconds=0.15, **how):
    plan = solve(given, seconds=seconds, **how)
    assert violations(given, plan) == []
    visits = [visit.stop.key for route in plan.routes for visit in route.visits]
    assert sorted([*visits, *plan.unserved]) == sorted(stop.key for stop in given.stops)
    assert all(plan.unserved.values())
    return plan


def town(count=120, vehicles=6, **more):
    rng = random.Random(7)
    stops = [
        stop(n, rng.uniform(-0.2, 0.2), rng.uniform(-0.3, 0.3), kg=rng.uniform(1, 40))
        for n in range(1, count + 1)
    ]
    return problem(*stops, vehicles=[van(n, **more) for n in range(vehicles)])


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


# --- any problem --------------------------------------------------------------------------

#: Without shrinking: each example is a search.
many = hypothesis_settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@many
@given(problems(NO_BREAKS))
def test_pyvrp_keeps_every_constraint_of_any_problem(given):
    solved(given, 0.03, engine="pyvrp")


@many
@given(problems())
def test_ortools_keeps_every_constraint_of_any_problem(given):
    solved(given, 0.03, engine="ortools")


@many
@given(problems())
def test_no_search_makes_a_plan_worse(given):
    first = solve(given, seconds=0)
    assert violations(given, first) == []
    for engine in ("auto", "ortools"):
        later = solved(given, 0.03, engine=engine, warm_start=first)
        assert score(given, later) <= score(given, first)


@many
@given(problems(NO_BREAKS))
def test_what_the_engines_find_is_valid_as_it_is(given):
    """Else their models would be wrong, and the plan made at once be all that comes out."""
    possible = given.only([s for s in given.stops if not solver.hopeless(given, s)])
    for engine in (with_pyvrp, with_ortools) if possible.stops else ():
        if not engine.covers(possible):
            continue
        until = time.monotonic() + 0.03
        for orders in engine.search(possible, Plan(), warm=False, until=until, seeds=[1]):
            for key, stops in orders.items():
                assert planned_route(possible, possible.vehicle_of[key], stops)


@many
@given(problems())
def test_engines_may_start_from_any_plan(given):
    """Whether all stops must be served then, or some have no place."""
    possible = given.only([s for s in given.stops if not solver.hopeless(given, s)])
    first = solve(possible, seconds=0)
    for engine in (with_pyvrp, with_ortools, with_both):
        if not (possible.stops and engine.covers(possible)):
            continue
        until = time.monotonic() + 0.03
        for orders in engine.search(possible, first, warm=True, until=until, seeds=[1]):
            for key, stops in orders.items():
                assert planned_route(possible, possible.vehicle_of[key], stops)


@many
@given(problems(), st.randoms(use_true_random=False))
def test_a_plan_made_for_another_problem_is_mended(given, chance):
    """Its vehicles come from elsewhere, carry less, and have other shifts; stops have changed."""
    before = solve(given, seconds=0)
    narrower = [
        replace(v, capacity_kg=v.capacity_kg * chance.random(), end_s=v.end_s - 3600)
        for v in given.vehicles
        if chance.random() < 0.8
    ]
    stops = tuple(replace(s, service_s=s.service_s + 600) for s in given.stops)
    changed = replace(given, vehicles=tuple(narrower), stops=stops)
    solved(changed, 0.0, warm_start=before)
    solved(changed, 0.03, warm_start=before, engine="ortools")


# --- one constraint each ------------------------------------------------------------------


def test_weight_splits_a_load_over_vehicles(engine):
    stops = [stop(n, kg=60) for n in range(1, 5)]
    given = problem(*stops, vehicles=[van(n, kg=125) for n in range(3)])
    plan = solved(given, engine=engine)
    assert sorted(len(route.visits) for route in plan.routes) == [2, 2]


def test_volume_splits_a_load_over_vehicles(engine):
    stops = [stop(n, m3=0.6) for n in range(1, 5)]
    given = problem(*stops, vehicles=[van(n, m3=1.25) for n in range(3)])
    plan = solved(given, engine=engine)
    assert sorted(len(route.visits) for route in plan.routes) == [2, 2]


@pytest.mark.parametrize("limit", [{"capacity_items": 6}, {"max_stops": 2}])
def test_pieces_and_stops_are_counted(engine, limit):
    stops = [stop(n, items=3) for n in range(1, 5)]
    given = problem(*stops, vehicles=[van(n, **limit) for n in range(3)])
    plan = solved(given, engine=engine)
    assert sorted(len(route.visits) for route in plan.routes) == [2, 2]


def test_what_exceeds_all_vehicles_is_left_with_its_reason(engine):
    stops = [stop(n, kg=60) for n in range(1, 4)]
    plan = solved(problem(*stops, vehicles=[van(kg=125)]), engine=engine)
    assert len(served(plan)) == 2
    assert list(plan.unserved.values()) == [NO_ROOM]


def test_of_too_many_those_of_low_priority_are_left(engine):
    stops = [stop(n, 0.01 * n, kg=60, priority=n % 2) for n in range(1, 9)]
    plan = solved(problem(*stops, vehicles=[van(kg=240)]), engine=engine)
    assert {key.int for key in served(plan)} == {1, 3, 5, 7}


def test_a_prize_decides_whether_a_detour_is_worth_it(engine):
    """A hundred kilometres there and back, at one a kilometre."""
    near, far = stop(1, 0.01), stop(2, 0.4, prize=150.0)
    assert solved(problem(near, far), engine=engine).unserved == {}
    poor = replace(far, prize=20.0)
    assert solved(problem(near, poor), engine=engine).unserved == {poor.key: NOT_WORTH}


def test_windows_are_met_by_waiting_and_by_order(engine):
    late = stop(1, 0.01, windows=((15 * HOUR, 15 * HOUR + 60),))
    early = stop(2, 0.02, windows=((9 * HOUR, 9 * HOUR + 60),))
    (route,) = solved(problem(late, early), engine=engine).routes
    assert [visit.stop.key for visit in route.visits] == [early.key, late.key]


def test_of_several_windows_the_one_that_suits_is_taken(engine):
    noon = [stop(n, windows=((12 * HOUR, 12 * HOUR),)) for n in (1, 2)]
    either = stop(3, windows=((11 * HOUR + 3500, 12 * HOUR), (16 * HOUR, 17 * HOUR)))
    given = problem(*noon, either, vehicles=[van(1), van(2)])
    plan = solved(given, engine=engine)
    assert plan.unserved == {}
    (visit,) = [v for route in plan.routes for v in route.visits if v.stop.key == either.key]
    assert 16 * HOUR <= visit.arrival_s <= 17 * HOUR


def test_skills_decide_who_comes(engine):
    cold, any_ = stop(1, skills=COLD), stop(2, -0.01)
    given = problem(cold, any_, vehicles=[van(1), van(2, skills=COLD, cost_per_km=9.0)])
    plan = solved(given, engine=engine)
    assert {r.vehicle.key: {s.key for s in r.stops} for r in plan.routes} == {
        1: {any_.key},
        2: {cold.key},
    }


def test_a_vehicle_waits_for_what_it_is_to_carry(engine):
    plan = solved(problem(stop(1, release_s=11 * HOUR), stop(2)), engine=engine)
    (route,) = plan.routes
    assert route.departure_s >= 11 * HOUR
    assert route.breaks_s == ()


def test_each_depot_serves_what_is_near(engine):
    stops = [stop(n, 0.01 * n) for n in (1, 2)] + [stop(n, -0.16, -0.47) for n in (3, 4)]
    vehicles = [van(1, start_depot="york"), van(2, start_depot="leeds")]
    given = problem(*stops, vehicles=vehicles, depots=(DEPOT, LEEDS))
    plan = solved(given, engine=engine)
    assert {r.vehicle.key: {s.key.int for s in r.stops} for r in plan.routes} == {
        1: {1, 2},
        2: {3, 4},
    }


def test_a_tour_may_end_elsewhere(engine):
    given = problem(stop(1, -0.15, -0.45), vehicles=[van(end_depot="leeds")], depots=(DEPOT, LEEDS))
    (route,) = solved(given, engine=engine).routes
    assert route.distance_m == given.travel.metres[0, 2] + given.travel.metres[2, 1]


def test_a_cheaper_vehicle_is_preferred(engine):
    stops = [stop(n, 0.1) for n in (1, 2)]
    dear, cheap = van(1, fixed_cost=50.0), van(2, fixed_cost=10.0, cost_per_km=1.1)
    (route,) = solved(problem(*stops, vehicles=[dear, cheap]), engine=engine).routes
    assert route.vehicle.key == 2


def test_a_break_is_taken_between_two_services():
    """The auto engine takes OR-Tools, which alone knows breaks."""
    lunch = Break(12 * HOUR, 13 * HOUR, 45 * 60)
    stops = [stop(n, 0.02 * n, service_s=1500) for n in range(1, 12)]
    (route,) = solved(problem(*stops, vehicles=[van(breaks=(lunch,))])).routes
    (begins,) = route.breaks_s
    assert 12 * HOUR <= begins <= 13 * HOUR
    given = problem(*stops, vehicles=[van(end=8 * HOUR + 4 * 3600, breaks=(lunch,))])
    assert len(served(solved(given))) < 11


def test_breaks_are_no_reason_for_poor_plans():
    """PyVRP does not know them, but finds what OR-Tools goes on from."""
    lunch = Break(11 * HOUR, 13 * HOUR, 45 * 60)
    given = town(150, breaks=(lunch,))
    assert not with_pyvrp.covers(given) and with_both.covers(given)
    auto, without = solved(given, 2.0), solved(given, 0)
    assert auto.unserved == {}
    assert auto.cost < 0.93 * without.cost
    assert all(len(route.breaks_s) == 1 for route in auto.routes)


def test_a_shift_is_shorter_only_by_the_breaks_that_lie_in_it():
    early, noon = Break(5 * HOUR, 6 * HOUR, 900), Break(12 * HOUR, 13 * HOUR, 2700)
    late = Break(20 * HOUR, 21 * HOUR, 900)
    short = with_both._shortened(van(breaks=(early, noon, late)))
    assert (short.start_s, short.end_s, short.breaks) == (8 * HOUR, 18 * HOUR - 2700, ())
    nothing_left = with_both._shortened(van(end=8 * HOUR + 60, breaks=(Break(0, 13 * HOUR, 2700),)))
    assert nothing_left.end_s == nothing_left.start_s


def test_a_route_that_is_too_long_keeps_what_it_can():
    """In its order; what comes too much goes elsewhere, or nowhere."""
    stops = [stop(n, 0.02 * n, service_s=1800) for n in range(1, 7)]
    before = solved(problem(*stops), 0)
    order = [s.key for s in before.routes[0].stops]
    changed = problem(*stops, vehicles=[van(end=11 * HOUR)])
    plan = completed(changed, orders_of(changed, before), until=time.monotonic() + 5)
    assert violations(changed, plan) == []
    kept = [s.key for s in plan.routes[0].stops]
    assert 3 <= len(kept) < 6
    assert [key for key in order if key in kept] == kept


def test_one_way_streets_are_driven_in_their_direction(engine):
    """Three places in a circle; the other way round it is ten times as far."""
    around = np.full((4, 4), 90_000)
    around[[0, 3, 1, 2], [3, 1, 2, 0]] = 9000
    stops = tuple(stop(n) for n in (1, 2, 3))
    given = Problem((DEPOT,), (van(),), stops, Travel(around, around // 15))
    (route,) = solved(given, engine=engine).routes
    assert [s.key.int for s in route.stops] == [3, 1, 2]
    assert (route.distance_m, route.cost) == (36_000, pytest.approx(36.0))


def test_a_shift_ends_with_the_vehicle_back():
    seconds = problem(stop(1, 0.5)).travel.seconds
    there_and_back = int(seconds[0, 1] + seconds[1, 0]) + 300
    enough = van(end=8 * HOUR + there_and_back)
    assert solved(problem(stop(1, 0.5), vehicles=[enough])).unserved == {}
    short = replace(enough, end_s=enough.end_s - 1)
    (reason,) = solved(problem(stop(1, 0.5), vehicles=[short])).unserved.values()
    assert reason == NOT_IN_TIME


# --- bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("impossible", "vehicles", "reason"),
    [
        (stop(1, north=math.nan), [van()], "its coordinates are not on Earth"),
        (stop(1, east=math.inf), [van()], "its coordinates are not on Earth"),
        (stop(1, north=100), [van()], "its coordinates are not on Earth"),
        (stop(1, kg=math.nan), [van()], "its load is negative or not a number"),
        (stop(1, m3=-1.0), [van()], "its load is negative or not a number"),
        (stop(1, service_s=-1), [van()], "its service or release is at no time of the plan"),
        (stop(1, priority=10), [van()], "its priority is not from 0 to 9"),
        (stop(1, prize=math.nan), [van()], "its prize is negative or not a number"),
        (stop(1, windows=((2, 1),)), [van()], "its delivery window closes before it opens"),
        (stop(1), [], "no vehicle is free"),
        (stop(1, priority=-1), [van()], "its priority is not from 0 to 9"),
        (stop(1, release_s=10**9), [van()], "its service or release is at no time of the plan"),
        (stop(1, skills=COLD), [van()], "no vehicle has cold"),
        (stop(1, kg=1001), [van()], "1001 kg are more than any vehicle carries"),
        (stop(1, m3=9), [van()], "9 m³ are more than any vehicle for its weight holds"),
        (
            stop(1, items=7),
            [van(capacity_items=6)],
            "7 items are more than any vehicle for its size holds",
        ),
        (
            stop(1, kg=900, m3=5),
            [van(1, kg=1000, m3=1), van(2, kg=10, m3=8)],
            "5 m³ are more than any vehicle for its weight holds",
        ),
        (stop(1, windows=((0, 7 * HOUR),)), [van()], NOT_IN_TIME),
        (stop(1, windows=((18 * HOUR, 19 * HOUR),)), [van()], NOT_IN_TIME),
        (stop(1, release_s=18 * HOUR), [van()], NOT_IN_TIME),
        (stop(1, north=20), [van()], NOT_IN_TIME),
    ],
)
def test_an_impossible_stop_gets_its_reason_and_holds_up_nobody(impossible, vehicles, reason):
    other = stop(2)
    plan = solved(problem(impossible, other, vehicles=vehicles))
    assert plan.unserved[impossible.key] == reason
    assert served(plan) == ({other.key} if vehicles else set())


def test_without_vehicles_all_that_one_had_is_unserved():
    given = problem(stop(1), stop(2))
    before = solved(given)
    none = replace(given, vehicles=())
    assert set(solved(none, warm_start=before).unserved.values()) == {"no vehicle is free"}
    plan = completed(none, orders_of(none, before), until=time.monotonic() + 5)
    assert set(plan.unserved.values()) == {NO_ROOM}


def test_vehicles_that_may_stop_nowhere_serve_nobody():
    plan = solved(problem(stop(1), vehicles=[van(max_stops=0)]))
    assert list(plan.unserved.values()) == ["no vehicle has room for a stop"]


def test_more_than_ortools_bears_is_planned_without_a_search(monkeypatch):
    monkeypatch.setattr(with_ortools, "MOST_STOPS", 3)
    given = problem(*(stop(n) for n in range(1, 5)))
    assert not with_ortools.covers(given)
    assert solved(given, engine="ortools").unserved == {}


def test_two_stops_at_one_place_are_two_stops(engine):
    given = problem(stop(1), stop(2), stop(3))
    (route,) = solved(given, engine=engine).routes
    assert len(route.visits) == 3


def test_a_stop_that_no_road_leads_to_is_told(engine):
    metres = np.full((3, 3), 1000)
    metres[0, 1] = NO_WAY
    given = Problem((DEPOT,), (van(),), (stop(1), stop(2)), Travel(metres, metres // 10))
    plan = solved(given, engine=engine)
    assert plan.unserved == {UUID(int=1): "no road leads there and back"}


def test_islands_are_not_joined(engine):
    """Each can be reached from the depot, but none from another."""
    metres = np.full((4, 4), NO_WAY)
    metres[0, :] = metres[:, 0] = 1000
    stops = tuple(stop(n) for n in (1, 2, 3))
    given = Problem((DEPOT,), (van(1), van(2)), stops, Travel(metres, metres))
    plan = solved(given, engine=engine)
    assert [len(route.visits) for route in plan.routes] == [1, 1]
    assert list(plan.unserved.values()) == [NO_ROOM]


SQUARE = np.zeros((2, 2))


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: problem(stop(1), stop(1)), "two stops have the key"),
        (lambda: problem(vehicles=[van(1), van(1)]), "two vehicles have the key 1"),
        (lambda: problem(depots=[DEPOT, DEPOT]), "two depots have the key york"),
        (lambda: problem(depots=[]), "there is no depot"),
        (
            lambda: problem(depots=[replace(DEPOT, place=replace(YORK, latitude=math.nan))]),
            "depot york has no coordinates on Earth",
        ),
        (lambda: problem(vehicles=[van(kg=math.nan)]), "vehicle 1: a capacity is negative"),
        (lambda: problem(vehicles=[van(m3=-1)]), "vehicle 1: a capacity is negative"),
        (lambda: problem(vehicles=[van(cost_per_km=math.nan)]), "vehicle 1: a cost is negative"),
        (lambda: problem(vehicles=[van(start=5, end=4)]), "vehicle 1: its shift from 5 to 4 s"),
        (lambda: problem(vehicles=[van(start=-1)]), "vehicle 1: its shift from -1"),
        (lambda: problem(vehicles=[van(max_stops=-1)]), "number of stops is negative"),
        (lambda: problem(vehicles=[van(start_depot="x")]), "its depot is not one of the problem"),
        (lambda: problem(vehicles=[van(breaks=(Break(2, 1, 1),))]), "comes after its latest"),
        (lambda: problem(vehicles=[van(breaks=(Break(1, 2, -1),))]), "less than no time"),
        (
            lambda: Problem((DEPOT,), (), (), Travel(SQUARE, SQUARE)),
            "the matrices have 2 rows for 1 depots and stops",
        ),
        (lambda: Travel(np.zeros((2, 3)), SQUARE), "the matrix of metres is not square"),
        (lambda: Travel(SQUARE, np.zeros((3, 3))), "differ in their size"),
        (lambda: Travel(SQUARE - 1, SQUARE), "the matrix of metres contains a negative number"),
        (lambda: Travel(SQUARE, SQUARE * math.nan), "the matrix of seconds contains what is not"),
        (lambda: Travel([["a"]], [[0]]), "the matrix of metres contains what is not a number"),
    ],
)
def test_a_problem_that_makes_no_sense_is_refused(make, fault):
    with pytest.raises(BadProblem, match=fault):
        make()


def test_an_engine_that_is_none_is_refused():
    with pytest.raises(UnknownEngine, match="no engine hgs"):
        solve(problem(stop(1)), seconds=0.1, engine="hgs")


def test_no_stops_make_no_plan():
    assert solved(problem()) == Plan()


# --- the search ---------------------------------------------------------------------------


def test_a_town_is_planned_within_capacity_and_time(engine):
    plan = solved(town(), seconds=1.5, engine=engine)
    assert plan.unserved == {}
    assert len({route.vehicle.key for route in plan.routes}) == len(plan.routes) > 1


def test_a_search_pays(engine):
    given = town()
    assert solved(given, 1.5, engine=engine).cost < 0.97 * solved(given, 0).cost


def test_an_engine_that_is_slow_to_load_leaves_nobody_without_a_plan(monkeypatch):
    def slow(*asked, load=solver._engine):
        """As the first import of one on a busy machine."""
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            pass
        return load(*asked)

    monkeypatch.setattr(solver, "_engine", slow)
    given = problem(*(stop(n, north=0.01 * n) for n in range(1, 4)))
    assert len(served(solve(given, seconds=0.2))) == 3


def test_a_plan_without_time_says_so(monkeypatch):
    monkeypatch.setattr(solver, "FIRST_LEAST", 0.0)
    plan = solved(town(), seconds=0)
    assert set(plan.unserved.values()) == {
        "the planner ran out of time before it came to this stop"
    }


def test_a_warm_start_keeps_what_it_knows_and_takes_in_what_is_new(engine):
    given = town(40)
    before = solved(given, 0.5)
    fewer = given.only([s for s in given.stops if s.key.int > 5])
    late = stop(99, 0.05)
    places = [YORK, *(s.place for s in (*fewer.stops, late))]
    changed = problem(*fewer.stops, late, vehicles=given.vehicles)
    assert len(places) == len(changed.travel)
    plan = solved(changed, 0.1, warm_start=before, engine=engine)
    assert plan.unserved == {}
    assert served(plan) == {s.key for s in changed.stops}


def test_a_warm_start_that_is_better_than_all_found_comes_out_again(engine):
    given = town(60)
    good = solved(given, 1.0)
    again = solved(given, 0.02, warm_start=good, engine=engine)
    assert score(given, again) <= score(given, good)


def test_a_warm_start_that_breaks_a_rule_is_mended(engine):
    given = town(30)
    lighter = replace(given, vehicles=tuple(replace(v, capacity_kg=150.0) for v in given.vehicles))
    before = solved(given, 0.3)
    assert violations(lighter, before)
    solved(lighter, 0.3, warm_start=before, engine=engine)


def test_a_search_that_fails_leaves_the_plan_made_at_once(monkeypatch, caplog):
    """As when the library overflows; the worker lives on."""

    def broken(*_, **__):
        raise OverflowError("too large")

    monkeypatch.setattr(with_pyvrp, "search", broken)
    with caplog.at_level(logging.ERROR):
        assert solved(problem(stop(1), stop(2))).unserved == {}
    assert "too large" in caplog.text


def _child_that(does, folder):
    """A place where the child is another program."""
    package = folder / "routing" / "engines"
    package.mkdir(parents=True)
    (package / "ortools_child.py").write_text(f"import os, sys, time\n{does}\n")
    return folder


@pytest.mark.parametrize(
    ("does", "word"),
    [
        ("sys.exit('out of memory')", "failed (1): out of memory"),
        ("os.kill(os.getpid(), 9)", "failed (-9)"),
        ("time.sleep(100)", "did not end in time and was killed"),
        ("print('[' * 100_000)", "nothing that makes sense"),
        ("os.write(1, bytes(range(256)))", "nothing that makes sense"),
        ("print('[[0, 1, 2, 2]]')", "nothing that makes sense"),
        ("print('[[0, 7]]')", "nothing that makes sense"),
        ("print('[[0.0, true]]')", "nothing that makes sense"),
        ("print('[[0], [1]]')", "nothing that makes sense"),
        ("print('{}')", "nothing that makes sense"),
        ("print('null')", "nothing that makes sense"),
    ],
)
def test_a_child_that_is_ill_leaves_the_plan_made_at_once(
    monkeypatch, caplog, tmp_path, does, word
):
    """However much it is given to read: nobody waits for who does not listen."""
    monkeypatch.setattr(with_ortools, "_ROOT", _child_that(does, tmp_path))
    monkeypatch.setattr(with_ortools, "GRACE", 0.0)
    monkeypatch.setattr(with_ortools, "WORTH_A_CHILD", 0.0)
    monkeypatch.setattr(solver, "FIRST_LEAST", 60.0)  # however busy the machine is
    plan = solved(town(), 1.0, engine="ortools")
    assert plan.unserved == {}
    assert word in caplog.text


@pytest.mark.parametrize("end", ["time.sleep(100)", "os.kill(os.getpid(), 9)"])
def test_what_a_child_told_before_its_end_counts(monkeypatch, tmp_path, end):
    does = f"print('[[0, 1]]\\n[[1, 0]]\\n[[0,', flush=True)\n{end}"
    monkeypatch.setattr(with_ortools, "_ROOT", _child_that(does, tmp_path))
    given = problem(stop(1), stop(2))
    first = solved(given, 0)
    until = time.monotonic() + 1.5
    found = with_ortools.search(given, first, warm=False, until=until, seeds=[1])
    assert found == [{1: [given.stops[1], given.stops[0]]}]


def test_a_child_is_told_all_that_matters():
    """Through a program of its own, and back."""
    given = town(40)
    first = solved(given, 0)
    until = time.monotonic() + 2.5
    found = with_ortools.search(given, first, warm=True, until=until, seeds=[1, 2])
    assert len(found) == 2
    for orders in found:
        assert {s.key for stops in orders.values() for s in stops} == {s.key for s in given.stops}
        for key, stops in orders.items():
            assert planned_route(given, given.vehicle_of[key], stops)


def test_idle_vehicles_that_are_all_the_same_are_left_out_of_the_search():
    given = town(40, vehicles=60)
    dear = replace(given, vehicles=(*given.vehicles, van(99, cost_per_km=3.0)))
    first = solved(dear, 0)
    used = {route.vehicle.key for route in first.routes}
    kept = with_ortools._without_surplus(dear, first).vehicles
    assert used | {99} <= {v.key for v in kept}
    assert len(kept) == len(used) + with_ortools.SPARE + int(0.3 * len(used)) + 1


def test_other_threads_run_while_it_searches(engine):
    """A worker's heartbeat, for one."""
    planner = threading.Thread(target=lambda: solve(town(), seconds=1.5, engine=engine))
    planner.start()
    beats = 0
    while planner.is_alive():
        time.sleep(0.01)
        beats += 1
    assert beats > 20


def test_costs_in_other_units_give_the_same_plan():
    """Engines count in whole numbers: cents per metre vanish if one rounds them."""
    given = town(30)
    cheap = replace(given, vehicles=tuple(replace(v, cost_per_km=1e-5) for v in given.vehicles))
    one, other = solved(given, 0.5), solved(cheap, 0.5)
    metres = [sum(r.distance_m for r in plan.routes) for plan in (one, other)]
    assert metres[1] < 1.1 * metres[0]


def test_no_costs_at_all_are_no_error(engine):
    for cost in (0.0, 5e-324):
        free = van(cost_per_km=cost)
        assert solved(problem(stop(1), stop(2), vehicles=[free]), engine=engine).unserved == {}
