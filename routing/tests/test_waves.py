"""Departures during the day: what leaves with one, who waits for a later one, and what of it was
promised. The clock is the test's own."""

from datetime import UTC, datetime, timedelta
from html import unescape
from itertools import pairwise

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from routing import driving
from routing.departures import departures_from, due_departure, undecided
from routing.due import due_runs
from routing.dynamic import COUNTED, MAY_WAIT
from routing.fleet import Fleet
from routing.models import Alert, Depot, Plan, PlanRun, Route, Shipment, Stop, Vehicle
from routing.moving import MoveRefused, place_shipment
from routing.planning import plan_depot, plan_due_depots
from routing.quoting import Load, quote
from routing.selectors import previous
from routing.timetable import Timetable
from routing.waiting import hold
from routing.waves import wave_of

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
    reserved,
    state,
    stop_of,
    told,
)

pytestmark = pytest.mark.django_db(transaction=True)

MONDAY = datetime(2031, 5, 5, tzinfo=UTC)
#: Degrees north, and what they are by road: a quarter of an hour, and more than an hour.
NEAR, FAR = 0.06, 0.55


def time(text, day=0):
    hour, minute = map(int, text.split(":"))
    return MONDAY + timedelta(days=day, hours=hour, minutes=minute)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    class Clock:
        now = time("07:00")

        def is_(self, text, day=0):
            self.now = time(text, day)

    found = Clock()
    monkeypatch.setattr(timezone, "now", lambda: found.now)
    return found


def make_waves(departures="08:00, 10:00, 12:00, 14:00", *, vehicles=2, kg=1000.0, **fields):
    depot = make_depot(vehicles=vehicles, kg=kg, hours=12)
    depot.vehicles.update(shift_start="06:00")
    Depot.objects.update(departures=departures, **fields)
    depot.refresh_from_db()
    return depot


def order(number, *, opens=None, until=None, **fields):
    window = {"requested_from": opens, "requested_until": until}
    said = {name: time(text).isoformat() for name, text in window.items() if text}
    return make_shipments(1, first=number, **said, **fields)[0]


def shipment(number=1) -> Shipment:
    return Shipment.objects.get(pk=parcel(number))


def due_now():
    return [why for _, why in due_runs(timezone.now())]


def driven(clock, text, day=0):
    """What was to leave until then has, and what was to be back is."""
    until = time(text, day)
    for route in Route.objects.filter(state=Route.State.PLANNED, starts_at__lte=until):
        clock.now = route.starts_at
        driving.dispatch_route(route_id=route.pk)
    for route in Route.objects.filter(state=Route.State.DISPATCHED, ends_at__lte=until):
        clock.now = route.ends_at
        driving.complete_route(route_id=route.pk)


def tick(clock, text, day=0, *, drive=True):
    """The planner at this time of the day; gives its only run."""
    if drive:
        driven(clock, text, day)
    clock.is_(text, day)
    (run,) = plan_due_depots()
    assert run.error == ""
    return run


def as_promised(row, eta=None) -> bool:
    opens, closes = row.promised_from, row.promised_until
    return opens is not None and closes is not None and opens <= (eta or row.told_eta) <= closes


def departs(number):
    return stop_of(number).route.departs_at


def no_vehicle_is_in_two_tours():
    routes = Route.objects.exclude(state=Route.State.WITHDRAWN).order_by("vehicle", "starts_at")
    for one, next_ in pairwise(routes):
        assert one.vehicle_id != next_.vehicle_id or one.ends_at <= next_.starts_at, (one, next_)


# --- when ---------------------------------------------------------------------------------


def test_a_departure_is_decided_its_lead_before_it_and_once(clock):
    make_waves()
    order(1, until="09:00")
    clock.is_("07:29")
    assert due_now() == []
    run = tick(clock, "07:30")
    assert (run.trigger, run.departs_at) == ("departure 08:00", time("08:00"))
    route = Route.objects.get()
    assert (route.departs_at, route.day) == (time("08:00"), MONDAY.date())
    assert route.starts_at >= time("08:00")
    order(2, until="11:00")
    clock.is_("07:40")
    assert due_now() == [], "it goes with the next departure"
    clock.is_("09:30")
    assert due_now() == ["departure 10:00"]
    books_balance()


def test_a_departure_of_which_nobody_decided_in_time_is_decided_late(clock):
    make_waves()
    order(1, until="09:30")
    run = tick(clock, "08:20")
    assert (run.trigger, run.planned) == ("departure 08:00", 1)
    assert Route.objects.get().starts_at >= time("08:20")


def test_departures_of_yesterday_are_over(clock):
    depot = make_waves()
    order(1)
    clock.is_("05:00", day=1)
    assert due_departure(depot, timezone.now()) is None
    assert due_now() == []


def test_without_anything_open_no_departure_is_due(clock):
    make_waves()
    clock.is_("07:40")
    assert due_now() == []


def test_departures_are_local_times(clock):
    depot = make_waves("02:30, 03:30, 08:00", time_zone="Europe/Berlin")
    first = next(departures_from(depot, MONDAY + timedelta(hours=3)))
    assert first.at == MONDAY + timedelta(hours=6)
    # On 30 March 2031 the clocks go from two to three: 02:30 and 03:30 are one moment.
    spring = datetime(2031, 3, 30, tzinfo=UTC)
    days = [one.at for one in departures_from(depot, spring) if one.at.day == 30]
    assert days == [spring.replace(hour=1, minute=30), spring.replace(hour=6)]


def test_by_hand_the_next_departure_is_decided_and_open_ones_are_planned_again(clock):
    depot = make_waves()
    order(1, until="09:00")
    tick(clock, "07:30")
    order(2, until="11:00")
    clock.is_("08:05")
    run = plan(depot)
    assert (run.error, run.departs_at, run.planned) == ("", time("10:00"), 1)
    assert {route.departs_at for route in Route.objects.all()} == {time("08:00"), time("10:00")}
    assert stop_of(1).route.starts_at >= time("08:05")
    # What is ordered until its lead still goes into it, and who stands in it stays.
    order(3, until="11:30")
    run = tick(clock, "09:30")
    assert (run.trigger, run.planned) == ("departure 10:00", 1)
    assert {departs(2), departs(3)} == {time("10:00")}
    books_balance()


# --- who goes, who waits -------------------------------------------------------------------


def test_who_can_wait_does_and_holds_a_place_and_nobody_is_alarmed(clock):
    make_waves()
    order(1, near=NEAR, until="09:30")
    order(2, near=-FAR)
    run = tick(clock, "07:30")
    assert (run.planned, run.unplanned, state(2)) == (1, 0, "open")
    waits = shipment(2)
    assert waits.unplannable_reason == MAY_WAIT
    assert (waits.promised_departs_at, waits.promised_until) == (time("10:00"), None)
    assert not Alert.objects.exists()
    assert told() == ["shipment_planned", "route_planned"]
    books_balance()


def test_who_is_on_the_way_rides_along(clock):
    make_waves()
    order(1, near=FAR, until="10:00")
    order(2, near=FAR - 0.02)
    tick(clock, "07:30")
    assert departs(1) == departs(2) == time("08:00")
    assert stop_of(1).route == stop_of(2).route


def test_who_waits_is_decided_again_and_goes_before_the_longest_wait_is_over(clock):
    make_waves(longest_wait=6)
    order(1)
    for at in ("07:30", "09:30"):
        run = tick(clock, at)
        assert (run.planned, run.unplanned) == (0, 0)
    assert told() == []
    order(2, near=-FAR)
    run = tick(clock, "11:30")  # the departure at 14:00 would come after its six hours
    assert (run.unplanned, departs(1)) == (0, time("12:00"))


def test_the_longest_wait_begins_when_it_could_go(clock):
    """A window of another day is waited for, however long that is."""
    make_waves(longest_wait=1)
    clock.is_("07:10")
    hear(reserved(1, requested_from=time("12:30", 2).isoformat()))
    run = tick(clock, "07:30")
    assert (run.unplanned, shipment().unplannable_reason) == (0, MAY_WAIT)
    assert shipment().promised_departs_at == time("12:00", 2)
    tick(clock, "11:30", day=2)
    assert departs(1) == time("12:00", 2)


def test_with_the_last_departure_goes_whoever_has_no_later_chance(clock):
    make_waves()
    clock.is_("13:00")
    order(1, until="17:00")
    order(2, near=-FAR)
    run = tick(clock, "13:30")
    assert (run.planned, departs(1), state(2)) == (1, time("14:00"), "open")
    assert shipment(2).promised_departs_at == time("08:00", 1)


def test_who_would_find_no_room_later_goes_now(clock):
    """Both could wait for ten o'clock, but there is one van, which holds one of them."""
    make_waves(vehicles=1, kg=6)
    order(1, until="11:00")
    order(2, until="11:00")
    run = tick(clock, "07:30")
    assert (run.planned, run.unplanned) == (1, 0)
    tick(clock, "09:30")
    assert {departs(1), departs(2)} == {time("08:00"), time("10:00")}
    no_vehicle_is_in_two_tours()
    books_balance()


def test_who_can_go_neither_now_nor_later_is_told_once(clock):
    make_waves()
    order(1, kg=5000)
    order(2, until="07:45")
    run = tick(clock, "07:30")
    assert (run.planned, run.unplanned) == (0, 2)
    reasons = {tale["reason"] for tale in data_of("shipment_unplannable")}
    assert len(reasons) == 2 and any("5000 kg" in reason for reason in reasons)
    clock.is_("09:30")
    plan_due_depots()
    assert told().count("shipment_unplannable") == 2


def test_more_than_all_departures_carry_is_told(clock):
    make_waves("08:00, 10:00", vehicles=1, kg=6)
    for number in (1, 2, 3):
        order(number, until="11:00")
    run = tick(clock, "07:30")
    assert (run.planned, run.unplanned) == (1, 1)
    assert told().count("shipment_unplannable") == 1
    tick(clock, "09:30")
    assert Shipment.objects.exclude(state="open").count() == 2
    books_balance()


# --- several tours a day ----------------------------------------------------------------------


def test_a_van_that_is_back_makes_a_second_tour(clock):
    make_waves(vehicles=1)
    order(1, until="09:00")
    order(2, opens="10:00", until="11:30")
    tick(clock, "07:30")
    tick(clock, "09:30")
    first, second = Route.objects.order_by("starts_at")
    assert first.vehicle == second.vehicle
    assert second.departs_at == time("10:00") <= second.starts_at
    assert first.ends_at + timedelta(minutes=30) <= time("10:00")


@pytest.mark.parametrize(("dispatched", "late"), [(False, False), (True, False), (True, True)])
def test_a_van_on_the_road_is_not_there(clock, dispatched, late):
    """Its tour ends at 09:45, so it has not turned around by ten."""
    make_waves(vehicles=1)
    order(1, until="09:30")
    tick(clock, "07:30")
    route = Route.objects.get()
    Route.objects.update(ends_at=time("08:45" if late else "09:45"))
    if dispatched:
        clock.is_("08:00")
        driving.dispatch_route(route_id=route.pk)
    order(2, until="18:00")
    run = tick(clock, "09:30", drive=False)
    assert run.planned == 0
    # Who should be back and is not may come at any time: nothing is planned for it today.
    assert shipment(2).promised_departs_at == (None if late else time("12:00"))
    no_vehicle_is_in_two_tours()


def test_so_many_later_departures_are_counted_and_no_more(clock):
    """However often a depot sends its vehicles, deciding takes no longer."""
    depot = make_waves(", ".join(f"{hour:02}:00" for hour in range(7, 19)))
    clock.is_("08:30")
    rows = [order(1), order(2, until="11:30")]
    one = next(departures_from(depot, timezone.now()))
    wave = wave_of(Fleet.read(depot, timezone.now(), own=Q()), one, rows)
    assert wave.chances() == {parcel(1): COUNTED, parcel(2): 2}


def test_a_shift_of_the_day_before_goes_on_after_midnight(clock):
    make_waves("23:00, 01:00")
    Vehicle.objects.update(shift_start="22:00", shift_hours=8)
    clock.is_("20:00")
    hear(reserved(1, requested_until=time("03:00", 1).isoformat()))
    tick(clock, "22:30")
    assert state() == "open"
    tick(clock, "00:30", day=1)
    assert departs(1) == time("01:00", 1)


# --- what was promised ----------------------------------------------------------------------


@pytest.fixture
def promises(settings):
    settings.PROMISE_SECONDS = 5.0


def test_a_promise_offers_what_a_departure_can_do(clock, promises):
    """At 07:40 it is decided what goes at eight."""
    depot = make_waves()
    clock.is_("07:40")
    here = Load(latitude=53.96 + NEAR, longitude=-1.08, weight_kg=5, volume_m3=0.01)
    quoted = quote(depots=[depot], load=here)
    order(1, near=NEAR)
    row = shipment()
    assert row.promised_departs_at == time("10:00")
    assert row.told_eta is not None and time("10:00") < row.told_eta < time("10:40")
    assert as_promised(row)
    assert quoted is not None and abs(quoted.eta - row.told_eta) < timedelta(minutes=1)
    tick(clock, "09:30")
    if state() == "open":
        tick(clock, "11:30")
    assert as_promised(row, stop_of().eta)
    assert "eta_changed" not in told()


def test_nobody_is_promised_a_window_that_no_departure_serves(clock, promises):
    depot = make_waves()
    clock.is_("08:00")
    order(1, until="09:50")
    assert shipment().promised_until is None
    windows = [(time("08:30"), time("09:50"))]
    here = Load(latitude=53.97, longitude=-1.08, weight_kg=5, volume_m3=0.01)
    assert quote(depots=[depot], load=here, windows=windows) is None
    assert quote(depots=[depot], load=here, windows=[(time("08:30"), time("11:00"))]) is not None


@pytest.mark.parametrize("batch", [1, 5])
def test_promises_book_no_van_for_two_tours(clock, promises, batch):
    """A tour to one of these places takes more than two hours: every second departure."""
    make_waves(vehicles=1, kg=6)
    events = [reserved(n, near=FAR * (1 if n % 2 else -1)) for n in range(1, 6)]
    for first in range(0, 5, batch):
        hear(*events[first : first + batch])
    held = list(Shipment.objects.order_by("promised_departs_at").values_list("told_eta", flat=True))
    departures = Shipment.objects.order_by("promised_departs_at")
    found = list(departures.values_list("promised_departs_at", flat=True))
    today, next_day = [time("08:00"), time("12:00")], [time("08:00", 1), time("12:00", 1)]
    assert found == [*today, *next_day, time("08:00", 2)], held
    for day in range(3):
        for at in ("07:30", "09:30", "11:30", "13:30"):
            driven(clock, at, day)
            clock.is_(at, day)
            plan_due_depots()
    assert "open" not in {row.state for row in Shipment.objects.all()}
    for row in Shipment.objects.all():
        assert as_promised(row, row.stops.get().eta)
    no_vehicle_is_in_two_tours()
    books_balance()


def test_a_tour_promised_between_two_others_ends_in_time_for_the_next(clock, promises):
    """Who asks for noon first leaves no time for a long tour at ten."""
    make_waves(vehicles=1)
    order(1, near=NEAR, opens="12:00", until="12:30")
    order(2, near=FAR, opens="10:30", until="13:00")
    assert shipment(1).promised_departs_at == time("12:00")
    assert shipment(2).promised_departs_at is None
    order(3, near=NEAR, opens="10:00", until="11:00")
    assert shipment(3).promised_departs_at == time("10:00")


def test_within_a_delivery_too_a_tour_ends_in_time_for_the_next(clock, promises):
    """All departures were looked at already, for one that nobody can carry."""
    make_waves(vehicles=1)
    heavy, noon, between = sorted(range(1, 9), key=parcel)[:3]  # in this order they are served
    opens, until = time("12:00").isoformat(), time("12:30").isoformat()
    long = {
        "requested_from": time("10:30").isoformat(),
        "requested_until": time("13:00").isoformat(),
    }
    hear(
        reserved(heavy, kg=5000),
        reserved(noon, near=NEAR, requested_from=opens, requested_until=until),
        reserved(between, near=FAR, **long),
    )
    assert shipment(noon).promised_departs_at == time("12:00")
    assert shipment(between).promised_departs_at is None


def test_promises_of_one_delivery_share_a_departure_as_routes_do(clock, promises):
    make_waves(vehicles=1, kg=10)
    hear(*(reserved(n, near=NEAR) for n in range(1, 6)))
    found = Shipment.objects.order_by("promised_departs_at")
    at = list(found.values_list("promised_departs_at", flat=True))
    assert at == [time("08:00")] * 2 + [time("10:00")] * 2 + [time("12:00")]


# --- plans that change ------------------------------------------------------------------------


def test_a_cancelled_order_changes_its_departure_only(clock, settings):
    settings.PLANNING_QUIET = 0
    make_waves()
    for number in (1, 2, 3):
        order(number, until="09:30")
    order(4, near=-FAR)
    tick(clock, "07:30")
    waits = shipment(4).promised_departs_at
    clock.is_("07:45")
    hear(cancelled(2))
    assert due_now() == ["plan no longer held"]
    (run,) = plan_due_depots()
    assert (run.error, run.departs_at, run.planned) == ("", None, 0)
    assert due_now() == []
    route = Route.objects.get()
    pending = route.stops.filter(state=Stop.State.PENDING)
    assert (pending.count(), route.load_kg) == (2, 10)
    assert (state(4), shipment(4).promised_departs_at) == ("open", waits)
    books_balance()


def test_versions_are_compared_per_departure(clock):
    make_waves()
    order(1, until="09:00")
    tick(clock, "07:30")
    order(2, until="11:00")
    tick(clock, "09:30")
    newest = Plan.objects.latest("version")
    assert (newest.departs_at, newest.version) == (time("10:00"), 2)
    assert previous(newest) is None
    order(3, until="11:30")
    clock.is_("09:45")
    plan(newest.depot)
    latest = Plan.objects.latest("version")
    assert previous(latest) == newest


def test_a_failed_stop_waits_for_the_next_departure(clock):
    make_waves()
    order(1, until="09:20")
    tick(clock, "07:30")
    clock.is_("08:00")
    driving.dispatch_route(route_id=Route.objects.get().pk)
    clock.is_("08:20")
    driving.fail_stop(stop_id=stop_of().pk, reason="nobody in")
    assert due_now() == []
    run = tick(clock, "09:30")
    assert (run.planned, run.unplanned, state()) == (0, 0, "open")
    assert shipment().unplannable_reason == MAY_WAIT


def test_a_late_van_gives_its_next_tour_to_another(clock, settings):
    settings.PLANNING_QUIET = 0
    make_waves(vehicles=1, departure_lead=40)
    order(1, until="09:00")
    tick(clock, "07:30")
    clock.is_("08:00")
    first = driving.dispatch_route(route_id=Route.objects.get().pk)
    Route.objects.update(ends_at=time("09:25"))
    order(2, until="11:30")
    tick(clock, "09:20", drive=False)
    Vehicle.objects.create(depot=first.depot, name="spare", shift_start="06:00", shift_hours=12)
    clock.is_("09:40")
    Route.objects.filter(pk=first.pk).update(ends_at=time("11:00"))
    assert due_now() == ["plan no longer held"]
    (run,) = plan_due_depots()
    assert run.error == ""
    assert (stop_of(2).route.vehicle.name, departs(2)) == ("spare", time("10:00"))
    assert not Alert.objects.exists()
    books_balance()


def test_who_falls_out_keeps_the_window_if_a_later_departure_can(clock, settings, promises):
    settings.PLANNING_QUIET = 0
    make_waves(vehicles=1)
    order(1, near=NEAR, opens="10:00", until="15:00")
    order(2, near=NEAR + 0.02, opens="10:00", until="10:50")
    promised = shipment().promised_from, shipment().promised_until
    tick(clock, "09:30")
    assert departs(1) == departs(2) == time("10:00")
    Vehicle.objects.update(shift_start="12:00")  # the only van breaks down until noon
    run = plan(Depot.objects.get())
    assert (state(1), shipment(1).unplannable_reason) == ("open", MAY_WAIT)
    assert (shipment().promised_from, shipment().promised_until) == promised
    assert shipment().promised_departs_at == time("12:00")
    assert (run.fell_out, run.unplanned) == (1, 1)
    assert [alert.subject_id for alert in Alert.objects.all()] == [parcel(2)]


# --- more than fit into one timetable ------------------------------------------------------


@pytest.fixture
def sizes(monkeypatch):
    """Stops of the timetables that were made to hold places, of four at most."""
    found = []
    read = Timetable.read.__func__

    def looked(cls, *args, **named):
        table = read(cls, *args, **named)
        found.append(sum(table.knows(pk) for pk in Shipment.objects.values_list("pk", flat=True)))
        return table

    monkeypatch.setattr(Timetable, "read", classmethod(looked))
    monkeypatch.setattr("routing.waiting.RUN_SHIPMENTS", 4)
    return found


def held():
    rows = Shipment.objects.filter(promised_departs_at__isnull=False)
    return {n for n in range(1, 20) if rows.filter(pk=parcel(n)).exists()}


def hold_places(*numbers):
    with transaction.atomic():
        return hold(Depot.objects.get(), [parcel(n) for n in numbers], decided=False)


def test_places_are_held_for_so_many_that_a_timetable_stays_small(clock, sizes):
    """The most urgent first; nobody is alarmed, and who has a place keeps it."""
    make_waves(longest_wait=48)
    for number in range(1, 7):
        order(number, opens="11:00", until=f"{19 - number}:00")
    run = tick(clock, "07:30")
    assert (run.planned, run.unplanned) == (0, 0)
    assert (sizes, held()) == ([4], {3, 4, 5, 6})
    assert {row.unplannable_reason for row in Shipment.objects.all()} == {MAY_WAIT}
    hear(cancelled(6))
    clock.is_("07:40")
    hold_places(1, 2, 3, 4, 5)
    assert (sizes, held() - {6}) == ([4, 4], {2, 3, 4, 5})
    order(7, opens="11:00", until="12:00")
    without = hold_places(1, 2, 3, 4, 5, 7)
    assert (sizes, held() - {6}) == ([4, 4], {2, 3, 4, 5}), "no table at all was made"
    assert set(without) == {parcel(1), parcel(7)}
    assert not Alert.objects.exists()


def test_who_falls_out_and_is_one_too_many_is_told_why(clock, settings, sizes, monkeypatch):
    settings.PLANNING_QUIET = 0
    depot = make_waves(vehicles=1)
    order(1, near=NEAR, until="10:50")
    tick(clock, "09:30")
    assert state() == "planned"
    Vehicle.objects.update(shift_start="12:00")
    Shipment.objects.update(requested_until=time("15:00"))
    monkeypatch.setattr("routing.waiting.RUN_SHIPMENTS", 0)
    plan(depot)
    assert (state(), shipment().promised_departs_at) == ("open", None)
    assert "are looked at in one run" in shipment().unplannable_reason
    assert Alert.objects.filter(kind=Alert.Kind.FELL_OUT).count() == 1


def test_who_falls_out_and_has_no_later_chance_is_told(clock, settings):
    settings.PLANNING_QUIET = 0
    depot = make_waves(vehicles=1)
    order(1, until="10:50")
    tick(clock, "09:30")
    Vehicle.objects.update(active=False, capacity_kg=1)
    clock.is_("09:40")
    run = plan(depot)
    assert (run.error, run.fell_out, state()) == ("", 1, "open")
    assert Alert.objects.filter(kind=Alert.Kind.FELL_OUT).count() == 1
    assert told().count("shipment_unplannable") == 1
    books_balance()


def test_a_route_that_did_not_leave_is_planned_again_and_given_up_per_departure(clock, settings):
    settings.PLANNING_QUIET = 0
    make_waves()
    order(1, near=FAR, until="18:00")
    Shipment.objects.update(ready_at=time("07:00", -1))
    tick(clock, "07:30")
    route = Route.objects.get()
    run = tick(clock, "08:31", drive=False)
    assert run.trigger == "plan no longer held"
    route.refresh_from_db()
    assert (route.state, route.departs_at) == ("planned", time("08:00"))
    assert route.starts_at >= time("08:31")
    assert Alert.objects.filter(kind=Alert.Kind.NOT_DISPATCHED).count() == 1
    run = tick(clock, "11:45", drive=False)  # long after its end
    route.refresh_from_db()
    assert (route.state, run.trigger) == ("withdrawn", "departure 12:00")
    assert state() == "planned" or shipment().unplannable_reason == MAY_WAIT
    books_balance()


def test_a_depot_that_gives_its_departures_up_plans_days_again(clock, settings):
    settings.PLANNING_QUIET = 0
    depot = make_waves()
    order(1, until="09:30")
    order(2, near=-FAR)
    tick(clock, "07:30")
    Depot.objects.update(departures="")
    clock.is_("07:50")
    depot.refresh_from_db()
    run = plan(depot)
    assert (run.error, run.planned, run.departs_at) == ("", 1, None)
    assert (departs(1), departs(2)) == (time("08:00"), None)
    no_vehicle_is_in_two_tours()
    books_balance()


# --- at once ------------------------------------------------------------------------------


def test_two_ticks_at_once_decide_a_departure_once(clock, settings):
    settings.PLANNING_SOLVE_SECONDS = 1.0
    make_waves()
    for number in range(1, 7):
        order(number, until="09:30")
    clock.is_("07:30")
    runs = [run for found in at_once(*[plan_due_depots] * 4) for run in found]
    assert [(run.trigger, run.planned) for run in runs] == [("departure 08:00", 6)]
    assert PlanRun.objects.count() == 1
    assert due_now() == []
    books_balance()


def test_what_is_cancelled_or_ordered_while_a_departure_is_decided(clock, settings, promises):
    settings.PLANNING_SOLVE_SECONDS = 1.5
    depot = make_waves()
    for number in range(1, 31):
        order(number, near=0.01 + number * 0.002, until="09:50")
    clock.is_("07:30")

    def meddle():
        from conftest import eventually

        eventually(lambda: PlanRun.objects.filter(state="running").exists())
        hear(cancelled(3), cancelled(5))
        hear(reserved(31, requested_until=time("11:30").isoformat()))

    at_once(lambda: plan_depot(depot=depot, trigger="departure 08:00"), meddle)
    run = PlanRun.objects.get()
    assert (run.state, run.error) == ("done", "")
    assert (state(3), state(5)) == ("cancelled", "cancelled")
    assert {state(n) for n in range(1, 31) if n not in (3, 5)} == {"planned"}
    assert (state(31), shipment(31).promised_departs_at) == ("open", time("10:00"))
    books_balance()


def test_promises_at_once_book_no_place_twice(clock, promises):
    make_waves(vehicles=1, kg=10)
    at_once(*[lambda n=n: hear(reserved(n, near=NEAR)) for n in range(1, 7)])
    found = Shipment.objects.order_by("promised_departs_at")
    at = list(found.values_list("promised_departs_at", flat=True))
    assert at == [time(text) for text in ("08:00", "10:00", "12:00") for _ in range(2)]


# --- as people write them -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("08:00", "two departures or more"),
        ("08:00, 08:00", "08:00 is there twice"),
        ("08:00, 25:00", "“25:00” is no time of day"),
        ("8 and 10", "write times as 08:00, with commas"),
        ("08:00; 10:00", "is no time of day"),
        (", ".join(f"{n // 4:02}:{n % 4 * 15:02}" for n in range(25)), "at most 24"),
    ],
)
def test_departures_that_are_none_are_refused_with_a_sentence(text, says):
    depot = Depot(code="x", name="x", latitude=0, longitude=0, departures=text)
    with pytest.raises(ValidationError) as refused:
        depot.full_clean(exclude=["plan_asked_at"])
    assert says in str(refused.value.message_dict["departures"])


def test_departures_are_given_in_the_admin_and_change_nothing_else(admin_client):
    depot = make_depot()
    page = reverse("admin:routing_depot_change", args=[depot.pk])
    fields = {"departure_lead": "45", "longest_wait": "12"}
    vehicles = {f"vehicles-{name}": "0" for name in ("TOTAL_FORMS", "INITIAL_FORMS")}

    def save(departures):
        return admin_client.post(page, {"departures": departures, **fields, **vehicles})

    refused = save("8 o'clock")
    assert "write times as 08:00, with commas between them" in unescape(refused.content.decode())
    Depot.objects.update(sequence=7)
    assert save("12:00, 8:00").status_code == 302
    depot.refresh_from_db()
    assert (depot.departures, depot.departure_lead, depot.longest_wait) == ("08:00, 12:00", 45, 12)
    assert depot.sequence == 7


def test_departures_are_kept_as_everybody_writes_them():
    depot = Depot(code="x", name="x", latitude=0, longitude=0, departures="12:00,8:05 , 10:00")
    depot.full_clean(exclude=["plan_asked_at"])
    assert depot.departures == "08:05, 10:00, 12:00"
    assert next(undecided(depot, time("07:00"))).at == time("08:05")


def test_who_waits_is_put_by_hand_into_a_departure_and_leaves_with_it(clock):
    depot = make_waves()
    order(1)
    tick(clock, "07:30")
    for number in (2, 3):
        order(number)
    van = {"vehicle_id": depot.vehicles.latest("pk").pk, "day": MONDAY.date()}
    for wrong in (None, time("11:00"), time("10:00", day=1)):
        with pytest.raises(MoveRefused, match="08:00, 10:00, 12:00, 14:00"):
            place_shipment(shipment_id=parcel(2), **van, departs_at=wrong)
    assert place_shipment(shipment_id=parcel(2), **van, departs_at=time("12:00")).applied
    assert departs(2) == time("12:00")
    place_shipment(shipment_id=parcel(3), route_id=stop_of(2).route_id)
    assert departs(3) == time("12:00")
    tick(clock, "11:30")
    assert departs(2) == departs(3) == time("12:00") and state(2) == "planned"
    no_vehicle_is_in_two_tours()
    books_balance()
