"""Putting a shipment that waits into a route by hand: what it costs, what it would break, and what
it changes."""

from datetime import timedelta

import pytest
from django.utils import timezone

from routing.driving import dispatch_route, freeze_route
from routing.models import Alert, Plan, PlanRun, Route, Shipment, Stop, Vehicle
from routing.moving import MoveRefused, place_shipment

from .conftest import (
    Holding,
    at_once,
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
    told,
)

pytestmark = pytest.mark.django_db(transaction=True)
LATE = 9  # who came too late for the plan


@pytest.fixture
def routes():
    """Two, of two stops each, whose vehicles have room for one more, who waits."""
    depot = make_depot(vehicles=2, kg=10)
    make_shipments(4)
    plan(depot)
    Vehicle.objects.update(capacity_kg=1000)
    make_shipments(1, first=LATE)
    return Route.objects.order_by("pk")


def place(number=LATE, **to):
    return place_shipment(shipment_id=parcel(number), **to)


def visited(route):
    pending = route.stops.filter(state=Stop.State.PENDING).order_by("position")
    return list(pending.values_list("shipment_id", flat=True))


def test_a_dry_run_tells_the_cost_and_puts_it_nowhere(routes):
    before = [visited(route) for route in routes], told()
    move = place(route_id=routes[0].pk, dry_run=True)
    assert (move.applied, move.faults, move.was) == (False, [], None)
    assert move.cost_difference > 0 and move.km_difference >= 0
    assert ([visited(route) for route in routes], told()) == before


def test_it_stands_where_it_was_put_and_its_customer_is_told(routes):
    first, second = routes
    cost, before = Plan.objects.latest("version").cost, len(told())
    move = place(route_id=second.pk, position=2)
    assert move.applied and move.position == 2
    assert visited(second)[1] == parcel(LATE) and len(visited(second)) == 3
    assert len(visited(first)) == 2
    newest = Plan.objects.latest("version")
    assert (newest.version, newest.why, newest.stops) == (2, "moved by hand", 5)
    assert newest.cost == pytest.approx(cost + move.cost_difference, abs=0.5)
    assert "shipment_planned" in told(since=before)
    mine = [d for d in data_of("shipment_planned") if d["shipment_id"] == str(parcel(LATE))]
    assert [d["route_id"] for d in mine] == [str(second.pk)]
    assert state(LATE) == "planned"
    books_balance()


def test_a_plan_run_after_it_leaves_it_in_its_route(routes):
    place(route_id=routes[1].pk)
    run = plan(routes[0].depot)
    assert (run.planned, run.fell_out) == (0, 0)
    assert state(LATE) == "planned"
    books_balance()


def test_it_is_given_to_a_vehicle_without_a_route(routes):
    first, _ = routes
    spare = Vehicle.objects.create(
        depot=first.depot, name="spare", shift_start=first.vehicle.shift_start
    )
    move = place(vehicle_id=spare.pk, day=first.day)
    assert move.applied and visited(spare.routes.get()) == [parcel(LATE)]
    assert spare.routes.get().day == first.day
    books_balance()


def test_who_could_not_be_planned_is_and_their_alert_ends():
    depot = make_depot(kg=10)
    make_shipments(1)
    make_shipments(1, first=LATE, kg=50)
    plan(depot)
    assert Shipment.objects.get(pk=parcel(LATE)).unplannable_reason
    assert Alert.objects.get().seen_at is None
    Vehicle.objects.update(capacity_kg=60)
    place(route_id=Route.objects.get().pk)
    assert Shipment.objects.get(pk=parcel(LATE)).unplannable_reason == ""
    assert Alert.objects.get().seen_at is not None
    books_balance()


def test_a_place_that_was_promised_elsewhere_is_given_up(routes):
    first, second = routes
    Shipment.objects.filter(pk=parcel(LATE)).update(
        promised_vehicle=first.vehicle_id,
        promised_day=first.day,
        promised_eta=first.stops.earliest("eta").eta - timedelta(seconds=5),
        promised_until=None,
    )
    move = place(route_id=second.pk)
    assert move.was is None
    row = Shipment.objects.get(pk=parcel(LATE))
    assert (row.promised_vehicle_id, row.promised_day, row.promised_eta) == (None, None, None)
    assert parcel(LATE) in visited(second) and len(visited(first)) == 2
    books_balance()


def test_a_place_promised_on_another_day_concerns_no_route_of_this_one(routes):
    first, second = routes
    Shipment.objects.filter(pk=parcel(LATE)).update(
        promised_vehicle=first.vehicle_id,
        promised_day=first.day + timedelta(days=1),
        promised_eta=first.starts_at + timedelta(days=1),
        promised_until=None,
    )
    over = first.starts_at - timedelta(hours=1)  # it should have left long ago
    late = Shipment.objects.filter(pk__in=visited(first))
    late.update(requested_from=over, requested_until=over)
    stood = list(Route.objects.filter(pk=first.pk).values())
    assert place(route_id=second.pk).applied
    assert list(Route.objects.filter(pk=first.pk).values()) == stood
    row = Shipment.objects.get(pk=parcel(LATE))
    assert (row.state, row.promised_vehicle_id, row.promised_day) == ("planned", None, None)
    books_balance()


def test_what_would_break_a_rule_is_refused_with_the_validators_word(routes):
    Vehicle.objects.update(capacity_kg=10)
    look = place(route_id=routes[1].pk, dry_run=True)
    assert not look.applied and "15 kg over its 10" in look.faults[0]
    with pytest.raises(MoveRefused, match="15 kg over its 10"):
        place(route_id=routes[1].pk)
    assert state(LATE) == "open"
    books_balance()


def test_a_window_of_another_day_is_refused(routes):
    later = timezone.now() + timedelta(days=4)
    window = {"requested_from": later, "requested_until": later + timedelta(hours=1)}
    Shipment.objects.filter(pk=parcel(LATE)).update(**window)
    with pytest.raises(MoveRefused, match="over before it can be met"):
        place(route_id=routes[1].pk, dry_run=True)
    over = timezone.now() - timedelta(hours=30)
    Shipment.objects.filter(pk=parcel(LATE)).update(requested_from=over, requested_until=over)
    look = place(route_id=routes[1].pk, dry_run=True)
    assert "outside its window" in look.faults[0] or "Customer 9" in look.faults[0]
    books_balance()


@pytest.mark.parametrize("what", ["frozen", "dispatched"])
def test_a_route_that_is_closed_takes_nobody(routes, what):
    route = routes[1]
    if what == "frozen":
        freeze_route(route_id=route.pk, frozen=True)
    else:
        dispatch_route(route_id=route.pk)
    with pytest.raises(MoveRefused, match=what):
        place(route_id=route.pk, dry_run=True)
    books_balance()


@pytest.mark.parametrize("what", ["planned", "cancelled"])
def test_only_who_waits_is_put_into_a_route(routes, what):
    if what == "planned":
        place(route_id=routes[0].pk)
    else:
        hear(cancelled(LATE))
    with pytest.raises(MoveRefused, match=f"It is {what}"):
        place(route_id=routes[1].pk)
    books_balance()


def test_a_stranger_takes_nobody(routes):
    quarry = make_depot("quarry")
    make_shipments(1, first=21, depot="quarry")
    plan(quarry)
    theirs = Route.objects.get(depot=quarry)
    with pytest.raises(MoveRefused, match="waits at mill"):
        place(route_id=theirs.pk)
    for vehicle in (
        Vehicle.objects.create(depot=routes[0].depot, name="retired", active=False).pk,
        theirs.vehicle_id,
    ):
        with pytest.raises(MoveRefused, match="not free"):
            place(vehicle_id=vehicle, day=routes[0].day, dry_run=True)
    books_balance()


def test_before_the_first_plan_there_is_nothing_to_change():
    depot = make_depot()
    make_shipments(1)
    day = timezone.now().date()
    with pytest.raises(MoveRefused, match="plan first"):
        place(1, vehicle_id=depot.vehicles.latest("pk").pk, day=day)
    assert not PlanRun.objects.exists()


def test_of_two_hands_at_once_one_puts_it_into_a_route(routes):
    found = at_once(*(lambda route=route: place(route_id=route.pk) for route in routes))
    moves = [one for one in found if not isinstance(one, Exception)]
    refused = [one for one in found if isinstance(one, MoveRefused)]
    assert len(moves) == len(refused) == 1 and "planned" in str(refused[0])
    assert Stop.objects.filter(shipment=parcel(LATE)).count() == 1
    books_balance()


def test_it_waits_for_a_dispatch_and_then_is_refused(routes):
    holding = Holding(lambda: dispatch_route(route_id=routes[1].pk))
    placing = Holding.start(lambda: place(route_id=routes[1].pk), atomic=False)
    eventually(blocked_sessions)
    holding.let_go()
    with pytest.raises(MoveRefused, match="dispatched"):
        placing.result(20)
    assert state(LATE) == "open"
    books_balance()
