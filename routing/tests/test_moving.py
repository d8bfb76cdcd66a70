"""Moving a stop by hand: what it costs, what it would break, and what it changes."""

from datetime import timedelta

import pytest
from django.db import transaction

from routing.current import Current
from routing.days import start_of
from routing.driving import dispatch_route, freeze_route
from routing.models import Plan, Route, Shipment, Stop, Vehicle
from routing.moving import MoveRefused, move_stop
from routing.posing import problem_of
from routing.storing import store

from .conftest import (
    Holding,
    blocked_sessions,
    books_balance,
    cancelled,
    data_of,
    eventually,
    hear,
    make_depot,
    make_shipments,
    parcel,
    plan,
    state,
    stop_of,
    told,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def routes(settings):
    """Two, of two stops each."""
    depot = make_depot(vehicles=2, kg=10)
    make_shipments(4)
    plan(depot)
    Vehicle.objects.update(capacity_kg=1000)
    first, second = Route.objects.order_by("pk")
    assert first.stops.count() == second.stops.count() == 2
    return first, second


def ids(route):
    pending = route.stops.filter(state=Stop.State.PENDING).order_by("position")
    return list(pending.values_list("pk", flat=True))


def test_a_dry_run_tells_the_cost_and_moves_nothing(routes):
    first, second = routes
    stop, before = ids(first)[0], (ids(first), ids(second), told())
    move = move_stop(stop_id=stop, route_id=second.pk, dry_run=True)
    assert (move.applied, move.faults) == (False, [])
    assert isinstance(move.cost_difference, float)
    assert (ids(first), ids(second), told()) == before


def test_a_stop_is_moved_to_where_it_was_put(routes):
    first, second = routes
    stop = ids(first)[0]
    cost = Plan.objects.latest("version").cost
    before = len(told())
    move = move_stop(stop_id=stop, route_id=second.pk, position=2)
    assert move.applied and move.position == 2
    assert ids(second)[1] == stop and len(ids(second)) == 3
    newest = Plan.objects.latest("version")
    assert (newest.version, newest.why) == (2, "moved by hand")
    assert newest.cost == pytest.approx(cost + move.cost_difference, abs=0.5)
    assert told(since=before).count("route_planned") == 2
    assert data_of("shipment_planned")[-1]["route_id"] in {str(first.pk), str(second.pk)}
    books_balance()


@pytest.fixture
def promised_between(routes, settings):
    """In each route, somebody is promised a place before its first stop and between its two."""
    settings.PROMISE_SECONDS = 5.0
    make_shipments(4, first=11)
    numbers = iter(range(11, 15))
    for route in routes:
        one, two = route.stops.order_by("position")
        for eta in (one.eta - timedelta(seconds=5), one.eta + (two.eta - one.eta) / 2):
            place = {"promised_vehicle": route.vehicle_id, "promised_eta": eta}
            window = {"promised_from": None, "promised_until": None, "promised_day": route.day}
            Shipment.objects.filter(pk=parcel(next(numbers))).update(**place, **window)
    return routes


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_places_are_counted_as_they_are_seen_without_those_only_promised(promised_between, number):
    first, second = promised_between
    stop, seen = ids(first)[0], ids(second)
    move = move_stop(stop_id=stop, route_id=second.pk, position=number)
    expected = [*seen[: number - 1], stop, *seen[number - 1 :]]
    assert [pk for pk in ids(second) if pk in expected] == expected
    assert ids(second).index(stop) + 1 == move.position
    assert len(ids(second)) == 5, "who was only promised a place stands there now"
    books_balance()


@pytest.mark.parametrize("nth", [0, 1])
def test_what_was_moved_goes_back_to_where_it_stood(promised_between, nth):
    first, second = promised_between
    before, stop = customers(first), ids(first)[nth]
    move = move_stop(stop_id=stop, route_id=second.pk, position=1)
    assert len(ids(first)) == 3
    move_stop(stop_id=stop, route_id=first.pk, position=move.was)
    assert [row.shipment_id for row in first.stops.filter(state="pending")] == before


def customers(route):
    """Of its stops and promised places, in their order."""
    start = start_of(route.depot, route.day)
    current = Current.read(route.depot, start, vehicles=frozenset([route.vehicle_id]))
    return sorted(current.times(), key=current.times().__getitem__)


@pytest.mark.parametrize("number", [1, 2])
def test_within_a_route_too_places_are_counted_as_they_are_seen(promised_between, number):
    first, _ = promised_between
    one, two = ids(first)
    move_stop(stop_id=two, route_id=first.pk, position=number)
    expected = [two, one] if number == 1 else [one, two]
    assert [pk for pk in ids(first) if pk in expected] == expected


def test_the_last_stop_moved_away_withdraws_its_route(routes):
    first, second = routes
    for stop in ids(first):
        move_stop(stop_id=stop, route_id=second.pk)
    first.refresh_from_db()
    assert first.state == Route.State.WITHDRAWN
    assert len(ids(second)) == 4
    books_balance()


def test_a_stop_is_given_to_a_vehicle_without_a_route(routes):
    first, _ = routes
    idle = Vehicle.objects.create(depot=first.depot, name="spare", capacity_kg=100)
    Vehicle.objects.filter(pk=idle.pk).update(shift_start=first.vehicle.shift_start)
    stop = ids(first)[0]
    look = move_stop(stop_id=stop, vehicle_id=idle.pk, dry_run=True)
    assert look.faults == [] and look.cost_difference > 0 and not idle.routes.exists()
    move_stop(stop_id=stop, vehicle_id=idle.pk)
    assert ids(idle.routes.get()) == [stop] and len(ids(first)) == 1
    move_stop(stop_id=stop, route_id=first.pk)  # and back: its route is withdrawn again
    assert idle.routes.get().state == Route.State.WITHDRAWN
    books_balance()


def test_a_vehicle_that_is_retired_or_a_strangers_takes_no_stop(routes):
    first, _ = routes
    retired = Vehicle.objects.create(depot=first.depot, name="retired", active=False)
    stranger = Vehicle.objects.create(depot=make_depot("quarry"), name="far away")
    for vehicle in (retired, stranger):
        with pytest.raises(MoveRefused, match="not free"):
            move_stop(stop_id=ids(first)[0], vehicle_id=vehicle.pk, dry_run=True)
    books_balance()


def test_the_order_within_a_route_can_be_changed(routes):
    first, _ = routes
    one, two = ids(first)
    move_stop(stop_id=two, route_id=first.pk, position=1)
    assert ids(first) == [two, one]
    books_balance()


def test_what_would_break_a_rule_is_refused_with_the_validators_word(routes):
    first, second = routes
    Vehicle.objects.update(capacity_kg=10)
    before = ids(first), ids(second)
    move = move_stop(stop_id=ids(first)[0], route_id=second.pk, dry_run=True)
    assert not move.applied and "15 kg over its 10" in move.faults[0]
    with pytest.raises(MoveRefused, match="15 kg over its 10"):
        move_stop(stop_id=ids(first)[0], route_id=second.pk)
    assert (ids(first), ids(second)) == before
    books_balance()


def test_other_routes_are_left_alone_with_their_times_and_troubles():
    depot = make_depot(vehicles=3, kg=10)
    make_shipments(6)
    plan(depot)
    Vehicle.objects.update(capacity_kg=1000)
    first, second, third = Route.objects.order_by("pk")
    over = third.starts_at - timedelta(hours=1)  # it should have left long ago
    late = third.stops.values("shipment")
    Shipment.objects.filter(pk__in=late).update(requested_from=over, requested_until=over)
    stood = (third.starts_at, third.planned_at, list(third.stops.values_list("pk", "eta")))
    plan_before = Plan.objects.latest("version")
    move = move_stop(stop_id=ids(first)[0], route_id=second.pk)
    assert move.applied
    third.refresh_from_db()
    assert stood == (third.starts_at, third.planned_at, list(third.stops.values_list("pk", "eta")))
    newest = Plan.objects.latest("version")
    assert (newest.stops, len(newest.routes)) == (6, 3)
    kept = {route["route"]: route for route in plan_before.routes}
    assert kept[str(third.pk)] in newest.routes
    assert newest.cost == pytest.approx(sum(route["cost"] for route in newest.routes), abs=0.01)
    books_balance()


@pytest.mark.parametrize("what", ["frozen", "dispatched", "ended", "cancelled"])
def test_only_an_open_plan_can_be_changed(routes, what):
    first, second = routes
    stop = ids(first)[0]
    if what == "frozen":
        freeze_route(route_id=second.pk, frozen=True)
    elif what == "dispatched":
        dispatch_route(route_id=first.pk)
    elif what == "cancelled":
        number = next(n for n in range(1, 5) if stop_of(n).pk == stop)
        hear(cancelled(number))
    else:
        Route.objects.filter(pk=second.pk).update(day="2020-01-01")
    with pytest.raises(
        MoveRefused, match=r"frozen|dispatched|dropped|one depot, day and departure"
    ):
        move_stop(stop_id=stop, route_id=second.pk, dry_run=True)
    books_balance()


def test_moving_waits_for_a_dispatch_and_then_is_refused(routes):
    first, second = routes
    holding = Holding(lambda: dispatch_route(route_id=second.pk))
    moving = Holding.start(
        lambda: move_stop(stop_id=ids(first)[0], route_id=second.pk), atomic=False
    )
    eventually(blocked_sessions)
    holding.let_go()
    with pytest.raises(MoveRefused, match="dispatched"):
        moving.result(20)
    assert len(ids(second)) == 2
    assert {state(n) for n in range(1, 5)} == {"planned", "dispatched"}
    books_balance()


@pytest.mark.parametrize("new", [False, True])
def test_a_plan_that_was_searched_for_meanwhile_leaves_a_move_as_it_is(routes, new):
    first, second = routes
    Vehicle.objects.create(depot=first.depot, name="spare", shift_start=first.vehicle.shift_start)
    spare = Vehicle.objects.get(name="spare").pk
    start = start_of(first.depot, first.day)
    before = Current.read(first.depot, start)
    problem = problem_of(first.depot, start, before.shipments)
    searched = before.plan(problem)
    stop = ids(first)[0]
    to = {"vehicle_id": spare} if new else {"route_id": second.pk}
    move_stop(stop_id=stop, **to)
    moved = Stop.objects.get(pk=stop).route_id
    version = Plan.objects.count()
    with transaction.atomic():
        store(run=first.run, before=before, problem=problem, plan=searched, why="late")
    assert Stop.objects.get(pk=stop).route_id == moved != first.pk
    assert Plan.objects.count() == version, "nothing else was to be changed"
    books_balance()
