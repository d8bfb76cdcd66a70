"""The validator finds every kind of violation in a plan that was valid before."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from routing.problem import Break, Plan, Visit
from routing.schedule import fits, planned_route
from routing.solver import solve
from routing.validate import score, violations

from .problems import HOUR, NO_BREAKS, problem, problems, served, stop, van

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

many = hypothesis_settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def _turned(route):
    """The same times in another order: no stop where it was."""
    stops = route.stops[1:] + route.stops[:1]
    visits = tuple(Visit(s, v.arrival_s) for s, v in zip(stops, route.visits, strict=True))
    return replace(route, visits=visits)


def _in_no_window(route):
    visit = route.visits[0]
    after = max((closes for _, closes in visit.stop.windows), default=10**8) + 1
    return replace(route, visits=(Visit(visit.stop, after), *route.visits[1:]))


def _hurried(route):
    """Served as soon as the vehicle leaves, though it must drive there."""
    first = Visit(route.visits[0].stop, route.departure_s - 1)
    return replace(route, visits=(first, *route.visits[1:]))


def _other(route, **changes):
    """Another vehicle under the same name."""
    return replace(route, vehicle=replace(route.vehicle, **changes))


def _unreal(route):
    light = Visit(replace(route.visits[0].stop, load_kg=0.0, items=99), route.visits[0].arrival_s)
    return replace(route, visits=(light, *route.visits[1:]))


#: What spoils a route, and what is said of it then.
SPOILT = [
    (lambda r: replace(r, distance_m=r.distance_m + 1), "m long, not"),
    (lambda r: replace(r, cost=r.cost + 0.01), "its tour costs"),
    (lambda r: replace(r, cost=float("nan")), "its tour costs"),
    (lambda r: replace(r, return_s=r.visits[-1].arrival_s - 1), "it is back faster"),
    (lambda r: replace(r, return_s=r.vehicle.end_s + 1), "outside its shift"),
    (lambda r: replace(r, departure_s=r.vehicle.start_s - 1), "outside its shift"),
    (lambda r: replace(r, visits=r.visits * 2), "is visited 2 times"),
    (lambda r: replace(r, visits=r.visits[1:]), "either visited or unserved"),
    (lambda r: replace(r, visits=()), "its route has no stop"),
    (lambda r: replace(r, breaks_s=(*r.breaks_s, 0)), "breaks are planned"),
    (_hurried, "faster than one can drive"),
    (lambda r: _other(r, capacity_kg=1e9), "is not one of the problem"),
    (lambda r: _other(r, key="stranger"), "vehicle stranger is not one of the problem"),
    (_unreal, "is not one of the problem"),
]


@many
@given(problems(), st.sampled_from(SPOILT))
def test_any_plan_is_valid_until_it_is_spoilt_and_then_the_fault_is_named(given, how):
    spoil, told = how
    plan = solve(given, seconds=0)
    assert violations(given, plan) == []
    for n, route in enumerate(plan.routes):
        routes = (*plan.routes[:n], spoil(route), *plan.routes[n + 1 :])
        assert told in "; ".join(violations(given, replace(plan, routes=routes))), route


@many
@given(problems())
def test_a_window_that_is_missed_is_named(given):
    plan = solve(given, seconds=0)
    for n, route in enumerate(plan.routes):
        if not route.visits[0].stop.windows:
            continue
        routes = (*plan.routes[:n], _in_no_window(route), *plan.routes[n + 1 :])
        told = f"stop {route.visits[0].stop.key} is reached outside its window"
        assert told in "; ".join(violations(given, replace(plan, routes=routes)))


@many
@given(problems(NO_BREAKS))
def test_stops_that_change_places_are_found_out(given):
    """But where the ways are as long and the windows as wide."""
    plan = solve(given, seconds=0)
    for n, route in enumerate(plan.routes):
        turned = _turned(route)
        spoilt = replace(plan, routes=(*plan.routes[:n], turned, *plan.routes[n + 1 :]))
        anew = planned_route(given, route.vehicle, turned.stops)
        same = anew and (anew.distance_m, anew.cost) == (route.distance_m, route.cost)
        assert violations(given, spoilt) or same


@many
@given(problems())
def test_a_route_given_to_another_vehicle_is_judged_by_that_one(given):
    plan = solve(given, seconds=0)
    used = {route.vehicle.key for route in plan.routes}
    for route in plan.routes:
        for vehicle in given.vehicles:
            if vehicle == route.vehicle:
                continue
            swapped = replace(route, vehicle=vehicle)
            routes = tuple(swapped if r is route else r for r in plan.routes)
            found = "; ".join(violations(given, replace(plan, routes=routes)))
            if vehicle.key in used:
                assert f"vehicle {vehicle.key} has 2 routes" in found
            if not fits(vehicle, route.stops):
                assert " over its " in found or " needs " in found
            if route.departure_s < vehicle.start_s:
                assert f"vehicle {vehicle.key}: on the road from" in found


@many
@given(problems())
def test_reasons_must_be_those_of_the_stops_left_out(given):
    plan = solve(given, seconds=0)
    for key in plan.unserved:
        for reasons in ({key: ""}, {}):
            others = {k: why for k, why in plan.unserved.items() if k != key}
            told = f"stop {key} must be either visited or unserved with a reason"
            assert told in violations(given, Plan(plan.routes, others | reasons))
    for key in served(plan):
        both = Plan(plan.routes, {**plan.unserved, key: "but it is visited"})
        assert f"stop {key} must be either visited" in "; ".join(violations(given, both))
