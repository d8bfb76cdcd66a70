"""That nobody plans is seen by those who look."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from routing.asking import ask_for_plan
from routing.metrics import planning as planning_figures
from routing.models import Depot, PlanRun, Shipment
from routing.neglected import neglected
from routing.planning import plan_due_depots

from .conftest import make_depot, make_shipments, plan, settle

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = datetime(2031, 5, 5, 9, tzinfo=UTC)

        def after(self, minutes):
            self.now += timedelta(minutes=minutes)

    found = Clock()
    monkeypatch.setattr(timezone, "now", lambda: found.now)
    return found


def codes():
    return [depot.code for depot in neglected()]


def test_a_depot_whose_shipments_nobody_plans_is_told_of_until_somebody_does(clock):
    make_depot()
    make_depot("quarry")
    make_shipments(2)
    clock.after(10)
    assert codes() == []
    clock.after(10)
    assert codes() == ["mill"]
    (figure,) = planning_figures()
    assert [sample.value for sample in figure.samples] == [1]
    assert plan_due_depots()
    assert codes() == []
    clock.after(60)
    assert codes() == []


def test_what_no_route_takes_and_what_fails_neglects_nobody(clock):
    depot = make_depot()
    make_shipments(1, kg=5000)
    plan(depot)
    clock.after(60)
    assert codes() == []
    make_shipments(1, first=2)
    clock.after(20)
    assert codes() == ["mill"]
    PlanRun.objects.create(depot=depot, state="failed", started_at=clock.now, expires_at=clock.now)
    assert codes() == [], "of what fails there is another alert"


def test_a_plan_that_was_asked_for_and_that_nobody_makes_is_told_of(clock):
    depot = make_depot()
    clock.after(60)
    plan(depot)
    clock.after(60)
    ask_for_plan(depot=depot)
    clock.after(10)
    assert codes() == []
    clock.after(10)
    assert codes() == ["mill"]
    plan(depot)
    clock.after(60)
    assert codes() == []


def test_a_departure_that_nobody_decides_is_told_of_and_who_waits_for_one_is_not(clock):
    make_depot()
    Depot.objects.update(departures="08:00, 12:00", time_zone="UTC")
    make_shipments(1)
    clock.after(20)
    assert codes() == ["mill"], "08:00 may still be decided"
    plan_due_depots()
    assert PlanRun.objects.exists()
    make_shipments(1, first=2)
    clock.after(120)
    assert codes() == [], "12:00 is decided half an hour before"
    Shipment.objects.update(state="open")
    clock.after(30)
    assert codes() == ["mill"]


def test_however_many_depots_there_are_it_is_asked_for_at_once(clock):
    for n in range(5):
        make_depot(f"mill-{n}")
        make_shipments(1, first=n + 1, depot=f"mill-{n}")
    settle()
    Depot.objects.filter(code__in=["mill-1", "mill-3"]).update(departures="08:00", time_zone="UTC")
    with CaptureQueriesContext(connection) as queries:
        assert len(codes()) == 5
    assert len(queries) == 2
