"""What vehicles are there for, and when: shifts and breaks over midnight and on the nights when the
clocks are changed."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.db.models import Q

from routing import plan_day
from routing.days import start_of
from routing.fleet import Fleet
from routing.forms import VehicleForm
from routing.models import Depot
from routing.problem import Depot as PlanDepot
from routing.problem import Plan, Problem
from routing.schedule import planned_route
from routing.travel import travel
from routing.validate import violations

from .conftest import make_depot
from .problems import YORK, stop

pytestmark = pytest.mark.django_db(transaction=True)

MONDAY = datetime(2026, 5, 4, tzinfo=UTC)
HOUR = 3600


def night_shift(**fields) -> Depot:
    depot = make_depot()
    told = {"shift_start": time(22), "shift_hours": 10, "break_minutes": 45}
    told |= {"break_earliest": time(1), "break_latest": time(4)}
    depot.vehicles.update(**told | fields)
    return depot


def breaks(depot, *, at=None, start=MONDAY):
    """(earliest, latest) in hours since the day's beginning."""
    (vehicle,) = Fleet.read(depot, at or start, own=Q()).of_day(start)
    return [(rest.earliest_s / HOUR, rest.latest_s / HOUR) for rest in vehicle.breaks]


# --- breaks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("earliest", "latest", "hours"),
    [
        (time(1), time(4), (25, 28)),
        (time(22, 30), time(23, 30), (22.5, 23.5)),
        (time(23, 30), time(0, 30), (23.5, 24.5)),
        (time(21), time(23), (21, 23)),
    ],
)
def test_the_break_of_a_night_shift_is_in_its_night(earliest, latest, hours):
    depot = night_shift(break_earliest=earliest, break_latest=latest)
    assert breaks(depot) == [hours]


def test_the_break_of_a_day_shift_stays_on_its_day():
    depot = night_shift(shift_start=time(8), break_earliest=time(7), break_latest=time(9))
    assert breaks(depot) == [(7, 9)]


def test_a_night_tour_has_its_break():
    (vehicle,) = Fleet.read(night_shift(), MONDAY, own=Q()).of_day(MONDAY)
    late = stop(1, north=0.1, windows=((30 * HOUR, 31 * HOUR),))
    early = stop(2, north=0.1, windows=((23 * HOUR, 24 * HOUR),))
    places = [YORK, early.place, late.place]
    problem = Problem((PlanDepot("mill", YORK),), (vehicle,), (early, late), travel(places))
    route = planned_route(problem, vehicle, [early, late])
    assert route and not violations(problem, Plan((route,)))
    assert 25 * HOUR <= route.breaks_s[0] <= 28 * HOUR


def test_the_shift_that_began_the_day_before_has_its_break_still_to_come():
    depot = night_shift()
    departs = MONDAY + timedelta(days=1, minutes=30)
    origin = MONDAY + timedelta(days=1)
    (vehicle,) = Fleet.read(depot, departs, own=Q()).at(departs, origin=origin)
    assert [(b.earliest_s, b.latest_s) for b in vehicle.breaks] == [(1 * HOUR, 4 * HOUR)]


def test_an_hour_that_the_clocks_leave_out_takes_no_break_away():
    """On 29 March 2026 Berlin's clocks go from two to three."""
    depot = night_shift(break_earliest=time(2, 30), break_latest=time(3, 15))
    Depot.objects.update(time_zone="Europe/Berlin")
    depot.refresh_from_db()
    start = start_of(depot, date(2026, 3, 28))
    assert len(breaks(depot, start=start)) == 1


@pytest.mark.parametrize(
    ("start", "earliest", "latest", "good"),
    [
        ("22:00", "23:30", "00:30", True),
        ("22:00", "01:00", "04:00", True),
        ("22:00", "04:00", "01:00", False),
        ("08:00", "13:00", "11:00", False),
        ("08:00", "07:00", "09:00", True),
        ("", "23:30", "00:30", False),
    ],
)
def test_the_form_takes_a_break_over_midnight_of_a_shift_that_goes_on_then(
    start, earliest, latest, good
):
    vehicle = night_shift().vehicles.get(active=True)
    said = {"shift_start": start, "break_earliest": earliest, "break_latest": latest}
    form = VehicleForm({**said, "break_minutes": "45", "shift_hours": "10"}, instance=vehicle)
    assert ("break_latest" not in form.errors) == good


# --- the nights when clocks are changed -----------------------------------------------------


@pytest.mark.parametrize(
    ("day", "ends"), [(date(2026, 10, 24), time(7)), (date(2026, 3, 28), time(9))]
)
def test_the_page_shows_the_shift_that_is_planned(day, ends):
    depot = night_shift()
    Depot.objects.update(time_zone="Europe/Berlin")
    depot.refresh_from_db()
    vehicle = depot.vehicles.get(active=True)
    start = start_of(depot, day)
    (planned,) = Fleet.read(depot, start, own=Q()).of_day(start)
    shown = plan_day.shift(vehicle, depot, day)
    assert [(moment - start).total_seconds() for moment in shown] == [
        planned.start_s,
        planned.end_s,
    ]
    assert shown[1].time() == ends and shown[1].utcoffset() is not None
