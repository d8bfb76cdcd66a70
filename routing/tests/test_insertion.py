"""What a customer is promised on the spot: the cheapest place, and one that holds."""

from itertools import chain

from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings

from routing.insertion import Gaps, cheapest_insertion, drivable
from routing.problem import Plan
from routing.reasons import hopeless
from routing.schedule import planned_route
from routing.solver import solve
from routing.travel import Estimate, extended
from routing.validate import violations

from .problems import HOUR, YORK, problem, problems, served, stop, van


def _others(given, late):
    """A plan for all stops but this one."""
    possible = [s for s in given.stops if s.key != late.key and not hopeless(given, s)]
    plan = solve(given.only(possible), seconds=0)
    left = {s.key for s in given.stops} - served(plan)
    return Plan(plan.routes, dict.fromkeys(left, "not yet"))


def _every_place(given, plan, late):
    """Extra cost of each place in which the stop fits, found the slow way."""
    routes = {route.vehicle.key: route for route in plan.routes}
    for vehicle in given.vehicles:
        route = routes.get(vehicle.key)
        stops = route.stops if route else ()
        for n in range(len(stops) + 1):
            if found := planned_route(given, vehicle, [*stops[:n], late, *stops[n:]]):
                yield found.cost - (route.cost if route else 0)


many = hypothesis_settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@many
@given(problems(most=8))
def test_no_place_is_cheaper_than_the_one_offered(given):
    for late in given.stops:
        if hopeless(given, late):
            continue
        plan = _others(given, late)
        offer, costs = cheapest_insertion(given, plan, late), list(_every_place(given, plan, late))
        assert (offer is None) == (not costs)
        if offer:
            assert offer.extra_cost <= min(costs) + 1e-6
            assert offer.route.visits[offer.position].stop == late
            assert offer.route.visits[offer.position].arrival_s == offer.arrival_s


@many
@given(problems(most=8))
def test_a_plan_that_takes_an_offer_is_valid(given):
    for late in (s for s in given.stops if not hopeless(given, s)):
        plan = _others(given, late)
        if offer := cheapest_insertion(given, plan, late):
            kept = (r for r in plan.routes if r.vehicle.key != offer.vehicle.key)
            unserved = {key: why for key, why in plan.unserved.items() if key != late.key}
            assert violations(given, Plan(tuple(chain(kept, [offer.route])), unserved)) == []


@many
@given(problems(most=8))
def test_gaps_that_are_widened_are_those_of_the_wider_problem(given):
    stops = [s for s in given.stops if not hopeless(given, s)]
    half = len(stops) // 2
    few, whole = given.only(stops[:half]), given.only(stops)
    widened = Gaps(few, {})
    for late in few.stops:
        if offer := widened.offer(late):
            widened.accept(offer)
    widened.widen(whole)
    anew = Gaps(whole, {key: route.stops for key, route in widened.routes.items()})
    for late in whole.stops[half:]:
        offer = widened.offer(late)
        assert offer == anew.offer(late)
        if offer:
            widened.accept(offer)
            anew.accept(offer)


def test_a_stop_on_the_way_costs_next_to_nothing():
    far, on_the_way = stop(1, 0.2), stop(2, 0.1)
    given = problem(far, on_the_way, vehicles=[van(1, fixed_cost=30.0), van(2, fixed_cost=30.0)])
    offer = cheapest_insertion(given, _others(given, on_the_way), on_the_way)
    assert offer and offer.extra_cost < 0.1
    assert (offer.vehicle.key, offer.position) in {(1, 0), (1, 1)}
    assert 8 * HOUR < offer.arrival_s < 9 * HOUR


def test_an_empty_plan_offers_an_idle_vehicle_with_all_its_costs():
    given = problem(stop(1, 0.1), vehicles=[van(1, fixed_cost=30.0), van(2, fixed_cost=20.0)])
    offer = cheapest_insertion(given, Plan(), given.stops[0])
    assert offer and offer.vehicle.key == 2
    assert offer.extra_cost == 20 + offer.route.distance_m / 1000


def test_where_nothing_fits_nothing_is_offered():
    given = problem(stop(1, kg=60), stop(2, kg=60), vehicles=[van(kg=100)])
    assert cheapest_insertion(given, _others(given, given.stops[1]), given.stops[1]) is None


def test_one_more_stop_needs_no_new_matrix():
    before, late = problem(stop(1), stop(2)), stop(3, 0.3)
    places = [YORK, *(each.place for each in before.stops)]
    longer = extended(before.travel, places, [late.place], Estimate())
    whole = problem(*before.stops, late).travel
    assert (longer.metres == whole.metres).all() and (longer.seconds == whole.seconds).all()


def test_a_vehicle_whose_route_cannot_be_driven_as_it_stands_takes_nobody():
    heavy, other, late = stop(1, kg=600), stop(2, kg=5), stop(3, kg=5)
    small, big = van(1, kg=500, fixed_cost=0), van(2, fixed_cost=100)
    given = problem(heavy, other, late, vehicles=[small, big])
    left, gaps = drivable(given, {1: [heavy], 2: [other]})
    assert [vehicle.key for vehicle in left.vehicles] == [2] and left.stops == given.stops
    offer = gaps.offer(late)
    assert offer and offer.vehicle.key == 2
    assert drivable(given, {2: [heavy]})[0] == given
