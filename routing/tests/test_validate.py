"""The validator finds every kind of violation in a plan that was valid before."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from routing.problem import Break, Plan, Visit
from routing.solver import solve
from routing.validate import score, violations

from .problems import HOUR, problem, problems, stop, van

NOON = Break(12 * HOUR, 13 * HOUR, 1800)
FINE = problem(
    stop(1, 0.05, kg=10, m3=1, items=2, windows=((9 * HOUR, 12 * HOUR),)),
    stop(2, 0.1, kg=10, m3=1, items=2, release_s=8 * HOUR),
    stop(3, kg=9999, priority=2),
    stop(4, kg=9999, prize=7.0),
    vehicles=[
        van(
            *(1, 20, 2),
            capacity_items=4,
            fixed_cost=5.0,
            cost_per_hour=20.0,
            skills=frozenset(["cold"]),
            max_stops=2,
            breaks=(NOON,),
        )
    ],
)


@pytest.fixture(scope="module")
def fine():
    plan = solve(FINE, seconds=0.1)
    assert violations(FINE, plan) == []
    assert len(plan.routes[0].visits) == 2
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


def _rest(plan, at):
    return _with_route(plan, breaks_s=(at,))


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (lambda p: replace(p, routes=p.routes * 2), "vehicle 1 has 2 routes"),
        (lambda p: replace(p, routes=p.routes * 2), "is visited 2 times"),
        (lambda p: Plan(p.routes, {}), "either visited or unserved with a reason"),
        (lambda p: Plan(p.routes, p.unserved | {UUID(int=3): ""}), "either visited or unserved"),
        (lambda p: Plan((), p.unserved), "either visited or unserved with a reason"),
        (
            lambda p: Plan(p.routes, p.unserved | {UUID(int=1): "lazy"}),
            "either visited or unserved with a reason",
        ),
        (
            lambda p: Plan(p.routes, p.unserved | {UUID(int=8): "who?"}),
            "is unserved, but not one of the problem",
        ),
        (lambda p: _with_route(p, departure_s=7 * HOUR), "outside its shift"),
        (lambda p: _with_route(p, return_s=19 * HOUR), "outside its shift"),
        (lambda p: _with_route(p, return_s=9 * HOUR), "is back faster than one can drive"),
        (lambda p: _with_route(p, distance_m=1), "m long, not 1"),
        (lambda p: _with_route(p, cost=1.0), "its tour costs"),
        (lambda p: _with_route(p, cost=float("nan")), "its tour costs"),
        (lambda p: _with_route(p, visits=()), "its route has no stop"),
        (lambda p: _with_route(p, vehicle=van(1, kg=9e9)), "vehicle 1 is not one of the problem"),
        (lambda p: _with_route(p, vehicle=van(5)), "vehicle 5 is not one of the problem"),
        (lambda p: _moved(p, 1, 9 * HOUR), "is reached outside its window"),
        (lambda p: _moved(p, 2, -9 * HOUR), "is reached faster than one can drive"),
        (lambda p: _rest(p, 11 * HOUR), "a break begins at 39600 s, not in its time"),
        (lambda p: _rest(p, 14 * HOUR), "not in its time"),
        (lambda p: _with_route(p, breaks_s=()), "0 breaks are planned, 1 are due"),
    ],
)
def test_a_tampered_plan_is_found_out(fine, tamper, fault):
    assert fault in "; ".join(violations(FINE, tamper(fine)))


@pytest.mark.parametrize(
    ("narrower", "fault"),
    [
        ({"capacity_kg": 19.9}, "vehicle 1: 20 kg over its 19.9"),
        ({"capacity_m3": 1.9}, "vehicle 1: 2 m³ over its 1.9"),
        ({"capacity_items": 3}, "vehicle 1: 4 items over its 3"),
        ({"max_stops": 1}, "vehicle 1: 2 stops over its 1"),
    ],
)
def test_an_overloaded_vehicle_is_found_out(fine, narrower, fault):
    vehicle = replace(FINE.vehicles[0], **narrower)
    given = replace(FINE, vehicles=(vehicle,))
    assert violations(given, _with_route(fine, vehicle=vehicle)) == [fault]


@pytest.mark.parametrize(
    ("harder", "fault"),
    [
        ({"skills": frozenset(["lift"])}, f"stop {UUID(int=2)} needs lift"),
        ({"release_s": 17 * HOUR}, f"it leaves before stop {UUID(int=2)} is released, at 61200 s"),
        ({"windows": ((0, 1), (2, 3))}, f"stop {UUID(int=2)} is reached outside its window"),
        ({"load_kg": float("nan")}, "nan kg over its 20"),
    ],
)
def test_what_a_stop_asks_for_is_looked_at(fine, harder, fault):
    hard = replace(FINE.stops[1], **harder)
    given = replace(FINE, stops=(FINE.stops[0], hard, *FINE.stops[2:]))
    visits = tuple(
        Visit(hard if v.stop.key == hard.key else v.stop, v.arrival_s)
        for v in fine.routes[0].visits
    )
    (found,) = violations(given, _with_route(fine, visits=visits))
    assert found.startswith(f"vehicle 1: {fault}")


def test_a_break_interrupts_no_service_and_takes_its_time_from_the_drive():
    given = problem(
        stop(1, 0.3, service_s=HOUR, windows=((12 * HOUR, 12 * HOUR),)),
        vehicles=[van(start=11 * HOUR, breaks=(NOON,))],
    )
    plan = solve(given, seconds=0)
    assert violations(given, plan) == []
    during = _rest(plan, 12 * HOUR + 600)
    assert f"a break falls into the service at stop {UUID(int=1)}" in "; ".join(
        violations(given, during)
    )
    home = plan.routes[0].return_s
    late = _with_route(_rest(plan, 13 * HOUR), return_s=home - 600)
    assert "vehicle 1: it is back faster than one can drive" in violations(given, late)


def test_breaks_that_overlap_are_found_out():
    given = problem(stop(1), vehicles=[van(breaks=(NOON, NOON))])
    plan = solve(given, seconds=0)
    assert violations(given, plan) == []
    both = _with_route(plan, breaks_s=(12 * HOUR, 12 * HOUR + 60))
    assert violations(given, both) == ["vehicle 1: two breaks overlap"]


def test_a_stop_that_pretends_to_be_lighter_is_found_out(fine):
    light = tuple(Visit(replace(v.stop, load_kg=0), v.arrival_s) for v in fine.routes[0].visits)
    found = violations(FINE, _with_route(fine, visits=light))
    assert set(found) == {f"stop {UUID(int=n)} is not one of the problem" for n in (1, 2)}


def test_a_road_that_is_none_is_found_out(fine):
    closed = FINE.travel.seconds.copy()
    closed[0, :] = 10**9
    travel = type(FINE.travel)(FINE.travel.metres, closed)
    assert "where no road leads" in "; ".join(violations(replace(FINE, travel=travel), fine))


def test_the_score_counts_who_is_left_out_before_money(fine):
    (route,) = fine.routes
    hours = (route.return_s - route.departure_s) / HOUR
    cost = 5.0 + route.distance_m / 1000 + 20.0 * hours
    weight, costs = score(FINE, fine)
    assert weight == 3
    assert costs == pytest.approx(cost + 7.0)
    assert score(FINE, Plan()) == (5, 7.0)


# --- any plan of any problem --------------------------------------------------------------


def _longer(route):
    return replace(route, distance_m=route.distance_m + 1)


def _dearer(route):
    return replace(route, cost=route.cost + 0.01)


def _early(route):
    return replace(route, return_s=route.visits[-1].arrival_s - 1)


def _before_work(route):
    return replace(route, departure_s=route.vehicle.start_s - 1)


def _twice(route):
    return replace(route, visits=route.visits * 2)


def _fewer(route):
    return replace(route, visits=route.visits[1:])


def _in_no_window(route):
    visit = route.visits[0]
    after = max((closes for _, closes in visit.stop.windows), default=10**8) + 1
    return replace(route, visits=(Visit(visit.stop, after), *route.visits[1:]))


def _restless(route):
    return replace(route, breaks_s=(*route.breaks_s, 0))


@hypothesis_settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    problems(),
    st.sampled_from(
        [_longer, _dearer, _early, _before_work, _twice, _fewer, _in_no_window, _restless]
    ),
)
def test_any_plan_is_valid_until_it_is_tampered_with(given, tamper):
    plan = solve(given, seconds=0)
    assert violations(given, plan) == []
    for n, route in enumerate(plan.routes):
        routes = (*plan.routes[:n], tamper(route), *plan.routes[n + 1 :])
        assert violations(given, replace(plan, routes=routes)), (tamper, route)
