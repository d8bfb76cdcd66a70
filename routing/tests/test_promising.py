"""A window at once: where, for whom, under which load, and what the next run makes of it."""

from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from routing import books
from routing.current import Current
from routing.days import days_ahead
from routing.driving import dispatch_route, freeze_route
from routing.models import Depot, Plan, Route, Shipment, Stop, Vehicle
from routing.places import time_between
from routing.posing import problem_of
from routing.quoting import Load, quote
from routing.registering import register_shipments
from supplychain.events.models import InboxEntry

from .conftest import (
    at_once,
    books_balance,
    cancelled,
    data_of,
    hear,
    make_depot,
    make_shipments,
    parcel,
    plan,
    planned_route,
    reserved,
    state,
    stop_of,
    told,
)
from .problems import served

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _promises(settings):
    settings.PROMISE_SECONDS = settings.PLANNING_SOLVE_SECONDS = 5.0


def shipment(number=1):
    return Shipment.objects.get(pk=parcel(number))


def test_who_orders_is_told_a_window_before_any_plan_run():
    make_depot()
    make_shipments(1)
    row = shipment()
    assert row.state == "open"
    assert row.promised_from <= row.told_eta <= row.promised_until
    (tale,) = data_of("shipment_promised")
    assert tale["day"] == row.promised_day.isoformat()
    assert datetime.fromisoformat(tale["window_until"]) == row.promised_until
    assert told() == ["shipment_promised"]
    assert not Route.objects.exists()


def test_the_next_run_keeps_what_was_promised(settings):
    settings.ETA_THRESHOLD_MINUTES = 0
    depot = make_depot(vehicles=2)
    make_shipments(6)
    promised = {row.pk: row for row in Shipment.objects.all()}
    run = plan(depot)
    assert (run.planned, run.fell_out, run.error) == (6, 0, "")
    for row in Shipment.objects.all():
        before = promised[row.pk]
        eta = row.stops.get().eta
        assert before.promised_from and before.promised_until
        assert before.promised_from <= eta <= before.promised_until
        assert row.promised_until == before.promised_until
        assert {row.promised_vehicle_id, row.promised_day, row.promised_eta} == {None}
    tale = data_of("shipment_planned")[0]
    assert tale["window_from"] and tale["window_until"]
    assert "eta_changed" not in told()
    books_balance()


def test_a_promise_lies_in_the_window_that_was_asked_for():
    make_depot()
    opens = timezone.now() + timedelta(days=2)
    closes = opens + timedelta(hours=30)
    hear(reserved(1, requested_from=opens.isoformat(), requested_until=closes.isoformat()))
    row = shipment()
    assert opens <= row.promised_from <= row.promised_until <= closes


@pytest.mark.parametrize(
    "why",
    ["too heavy", "over", "unknown skill", "nowhere", "no vehicle"],
)
def test_without_a_place_there_is_no_promise_and_no_crash(why):
    make_depot()
    over = (timezone.now() - timedelta(days=1)).isoformat()
    wrongs: dict[str, dict[str, Any]] = {
        "too heavy": {"kg": 5000},
        "nowhere": {"near": 1000},
        "over": {"requested_until": over},
    }
    wrong = wrongs.get(why, {})
    if why == "no vehicle":
        Vehicle.objects.update(active=False)
    event = reserved(1, **wrong)
    if why == "unknown skill":
        Vehicle.objects.update(skills=[])
        event.data["shipments"][0]["storage_classes"] = ["frozen"]
    assert hear(event).handled == 1
    assert shipment().promised_until is None
    assert told() == []
    run = plan(Depot.objects.get())
    assert (run.error, run.unplanned) == ("", 1)
    assert shipment().unplannable_reason


@pytest.mark.parametrize("inbox_forgets", [False, True])
def test_delivered_twice_it_is_promised_once(inbox_forgets):
    """Whether or not routing.register_shipments remembers the event."""
    make_depot()
    event = reserved(1)
    hear(event)
    before = Shipment.objects.values().get()
    if inbox_forgets:
        InboxEntry.objects.all().delete()
    hear(event)
    assert Shipment.objects.values().get() == before
    assert told() == ["shipment_promised"]


def test_promises_share_vehicles_as_routes_do():
    make_depot(kg=10)
    make_shipments(5)
    days = [row.promised_day for row in Shipment.objects.order_by("told_eta")]
    today = timezone.now().date()
    assert days == [today + timedelta(days=n) for n in (0, 0, 1, 1, 2)]


def test_deliveries_of_events_at_once_promise_no_place_twice():
    depot = make_depot(kg=10)
    at_once(*[lambda n=n: hear(reserved(n)) for n in range(1, 7)])
    days = list(Shipment.objects.order_by("promised_day").values_list("promised_day", flat=True))
    today = timezone.now().date()
    assert days == [today + timedelta(days=n) for n in (0, 0, 1, 1, 2, 2)]
    run = plan(depot)
    assert (run.planned, run.fell_out) == (6, 0)
    books_balance()


def test_a_promise_goes_into_the_plan_as_it_stands():
    """Into a route that may still change; around one that may not."""
    route = planned_route(2)
    make_shipments(1, first=3)
    assert shipment(3).promised_vehicle_id == route.vehicle_id
    assert shipment(3).promised_day == route.day
    plan(route.depot)
    assert stop_of(3).route_id == route.pk
    freeze_route(route_id=route.pk, frozen=True)
    make_shipments(1, first=4)
    assert shipment(4).promised_day == route.day
    assert shipment(4).told_eta > route.ends_at, "its next tour"


def test_a_promise_that_can_not_be_kept_is_replaced_and_told():
    depot = make_depot(kg=10)
    make_shipments(2)
    day = shipment(1).promised_day
    other = planned_elsewhere(depot)
    run = plan(depot)
    assert (run.planned, run.error) == (2, "")
    assert stop_of(1).route.day == day + timedelta(days=1)
    assert shipment(1).promised_until is None
    assert data_of("eta_changed")
    assert other.state == Route.State.DISPATCHED
    books_balance()


def planned_elsewhere(depot):
    """The only vehicle leaves with something else, for nine of its ten hours."""
    Shipment.objects.update(state="cancelled")
    make_shipments(1, first=9)
    plan(depot)
    route = dispatch_route(route_id=Route.objects.get().pk)
    Route.objects.update(ends_at=timezone.now() + timedelta(hours=9))
    Shipment.objects.filter(pk__in=[parcel(1), parcel(2)]).update(state="open")
    return route


def test_a_cancelled_order_gives_its_place_back():
    make_depot(kg=10)
    make_shipments(2)
    hear(cancelled(1))
    make_shipments(1, first=3)
    assert state(1) == "cancelled"
    assert shipment(3).promised_day == shipment(2).promised_day


def test_promises_end_when_their_time_is_over(settings):
    settings.PROMISE_SECONDS = 1e-9
    make_depot()
    make_shipments(3)
    assert told() == []
    settings.PROMISE_SECONDS = 0
    make_shipments(1, first=4)
    assert told() == []


def test_a_failing_promise_holds_up_no_shipment(monkeypatch, caplog):
    make_depot()
    monkeypatch.setattr("routing.books.MOST_STOPS", None)  # nothing compares with it
    make_shipments(1)
    assert state() == "open"
    assert "No promises could be made at mill" in caplog.text


# --- a day kept from batch to batch ----------------------------------------------------------


@pytest.fixture
def looks(monkeypatch):
    """Beginnings of the days that were read from the database to make promises."""
    found = []

    class Looked(books.Page):
        def __init__(self, depot, start):
            found.append(start)
            super().__init__(depot, start)

    monkeypatch.setattr(books, "Page", Looked)
    return found


def batch(first, count=8):
    hear(*(reserved(n, near=0.003 * n) for n in range(first, first + count)))


def places(depot, between_batches):
    """By order, the vehicle and day promised: in three batches, when some stops stand in the plan
    already. (Before or after the only stop of a tour costs the same: times may differ.)"""
    for model in (Stop, Plan, Route, Shipment):
        model.objects.all().delete()
    books.kept.clear()
    batch(1, 5)
    plan(depot)
    for first in (11, 21, 31):
        between_batches()
        batch(first)
    rows = {row.pk: row for row in depot.shipments.filter(state="open")}
    return {
        n: (row.promised_vehicle_id, row.promised_day)
        for n in range(1, 40)
        if (row := rows.get(parcel(n)))
    }


def test_promises_are_the_same_whether_the_day_is_read_anew_or_kept(looks):
    depot = make_depot(vehicles=3, kg=30)
    kept = places(depot, lambda: None)
    assert len(looks) == 3, "one for who was planned; two days, each read once"
    anew = places(depot, books.kept.clear)
    assert len(looks) > 3 + 3
    assert len(kept) == 24
    assert kept == anew
    assert plan(depot).error == ""


def _cancel():
    hear(cancelled(1))


def _narrow():
    Vehicle.objects.update(capacity_kg=60)


def _freeze():
    freeze_route(route_id=Route.objects.get().pk, frozen=True)


def _plan():
    plan(Depot.objects.get())


@pytest.mark.parametrize("change", [_cancel, _narrow, _freeze, _plan])
def test_what_somebody_else_changes_is_seen_by_the_next_batch(looks, change):
    depot = make_depot(vehicles=2)
    batch(1, 3)
    plan(depot)
    batch(4, 2)
    change()
    before = len(looks)
    batch(7, 2)
    assert len(looks) > before
    before = len(looks)
    batch(9, 2)
    assert len(looks) == before
    assert plan(depot).error == ""
    books_balance()


def test_what_was_rolled_back_is_not_kept(looks):
    make_depot(kg=10)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        register_shipments(allocations=[reserved(1).open()])
        1 / 0  # noqa: B018
    make_shipments(2, first=2)
    today = timezone.now().date()
    assert {row.promised_day for row in Shipment.objects.all()} == {today}


def test_a_day_is_read_again_after_a_while(looks, monkeypatch):
    make_depot()
    make_shipments(1)
    monkeypatch.setattr("routing.keeping.FRESH", 0.0)
    before = len(looks)
    make_shipments(1, first=2)
    assert len(looks) == before + 1


# --- only asked -----------------------------------------------------------------------------

HERE = Load(latitude=53.97, longitude=-1.08, weight_kg=5, volume_m3=0.01)


def test_who_asks_is_quoted_what_an_order_would_get():
    depot = make_depot()
    make_shipments(2)
    quoted = quote(depots=[depot], load=HERE)
    assert quoted is not None and quoted.window_from <= quoted.eta <= quoted.window_until
    make_shipments(1, first=3)
    assert abs(shipment(3).told_eta - quoted.eta) < timedelta(minutes=2)
    assert Shipment.objects.count() == 3, "nothing is held"


def test_the_depot_that_can_be_there_first_and_costs_least_is_chosen():
    far, near = make_depot("far"), make_depot("near")
    Depot.objects.filter(pk=far.pk).update(latitude=54.9)
    depots = list(Depot.objects.order_by("code"))
    quoted = quote(depots=depots, load=HERE)
    assert quoted is not None and quoted.depot == near
    near.vehicles.update(capacity_kg=1)
    quoted = quote(depots=depots, load=HERE)
    assert quoted is not None and quoted.depot == far


def test_a_quote_knows_what_has_changed_since_the_last():
    depot = make_depot(kg=10)
    first = quote(depots=[depot], load=HERE)
    make_shipments(2)
    second = quote(depots=[depot], load=HERE)
    plan(depot)
    third = quote(depots=[depot], load=HERE)
    hear(cancelled(1))
    fourth = quote(depots=[depot], load=HERE)
    Vehicle.objects.update(capacity_kg=1)
    assert first and second and third and fourth
    assert second.start > first.start and third.start > first.start
    assert fourth.start == first.start
    assert quote(depots=[depot], load=HERE) is None


def test_of_several_windows_one_is_quoted():
    depot = make_depot()
    now = timezone.now()
    over = (now - timedelta(days=2), now - timedelta(days=1))
    later = (now + timedelta(days=2), now + timedelta(days=4))
    quoted = quote(depots=[depot], load=HERE, windows=[over, later])
    assert quoted is not None and later[0] <= quoted.window_from <= quoted.window_until <= later[1]
    assert quote(depots=[depot], load=HERE, windows=[over]) is None


# --- what is promised stays possible --------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 8])
def test_places_can_be_driven_as_they_were_promised(batch, settings):
    """One before the other, in between and behind, in one delivery or many: each in its turn keeps
    its order and its window."""
    settings.PROMISE_WINDOW_HOURS = 1.0
    depot = make_depot(hours=12)
    chance = Random(1)
    events = [reserved(n, near=chance.uniform(-0.3, 0.3)) for n in range(1, 41)]
    for event in events:
        event.data["ship_to"]["longitude"] += chance.uniform(-0.4, 0.4)
    for first in range(0, len(events), batch):
        hear(*events[first : first + batch])
    start = next(days_ahead(depot))
    current = Current.read(depot, start)
    problem = problem_of(depot, start, current.shipments)
    assert current.promised.keys() == served(current.plan(problem))
    assert len(current.promised) > 10


def test_a_place_is_sorted_in_between_its_neighbours():
    noon = timezone.now()
    hour = timedelta(hours=1)
    assert time_between(noon, [], []) == noon
    assert time_between(noon, [noon - hour], [noon + hour]) == noon
    # The neighbours' noted times are older than the tour as it has become.
    assert time_between(noon, [], [noon - hour]) < noon - hour
    assert time_between(noon, [noon + hour], []) > noon + hour
    assert noon + hour < time_between(noon, [noon + hour], [noon + 2 * hour]) < noon + 2 * hour
