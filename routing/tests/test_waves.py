"""Departures during the day: what leaves with one, who waits for a later one, and what of it was
promised."""

from datetime import timedelta

import pytest
from django.utils import timezone

from routing import driving
from routing.departures import departures_from, undecided
from routing.due import due_runs
from routing.dynamic import MAY_WAIT
from routing.models import Alert, Depot, PlanRun, Route, Shipment
from routing.planning import plan_due_depots

from .conftest import (
    books_balance,
    data_of,
    make_depot,
    make_shipments,
    parcel,
    plan,
    state,
    stop_of,
    told,
)

pytestmark = pytest.mark.django_db(transaction=True)


def minutes(count):
    return timedelta(minutes=count)


def make_waves(*in_minutes, lead=30, vehicles=2, kg=1000.0, longest_wait=24) -> Depot:
    """A depot where it is nine in the morning, whatever the time of the test, and whose vehicles
    leave in so many minutes."""
    now = timezone.now()
    east = (9 - now.hour) % 24
    east = east - 24 if east > 14 else east
    depot = make_depot(vehicles=vehicles, kg=kg, hours=13)
    depot.time_zone = f"Etc/GMT{-east:+d}" if east else "UTC"
    clocks = [(now + minutes(m)).astimezone(depot.zone) for m in in_minutes]
    depot.departures = ", ".join(f"{clock:%H:%M}" for clock in clocks)
    depot.departure_lead, depot.longest_wait = lead, longest_wait
    depot.save()
    depot.vehicles.update(shift_start="06:00")
    return depot


def at(in_minutes):
    return (timezone.now() + minutes(in_minutes)).isoformat()


def shipment(number=1) -> Shipment:
    return Shipment.objects.get(pk=parcel(number))


def due_now():
    return [why for _, why in due_runs(timezone.now())]


def test_a_departure_is_decided_its_lead_before_it():
    depot = make_waves(20, 140, 260)
    make_shipments(1, requested_until=at(60))
    first = next(departures_from(depot, timezone.now()))
    (trigger,) = due_now()
    assert trigger == f"departure {first.at.astimezone(depot.zone):%H:%M}"
    (run,) = plan_due_depots()
    assert (run.error, run.departs_at, run.planned) == ("", first.at, 1)
    route = Route.objects.get()
    assert (route.departs_at, route.day) == (first.at, first.at.astimezone(depot.zone).date())
    assert route.starts_at >= first.at
    assert due_now() == []
    make_shipments(1, first=2)
    assert due_now() == [], "it waits for the next departure"
    books_balance()


def test_who_can_wait_does_and_holds_a_place_and_nobody_is_alarmed():
    depot = make_waves(20, 140, 260)
    make_shipments(1, near=0.2, requested_until=at(90))
    make_shipments(1, first=2, near=-0.3)
    (run,) = plan_due_depots()
    assert (run.error, run.planned, run.unplanned) == ("", 1, 0)
    assert (state(1), state(2)) == ("planned", "open")
    second = next(undecided(depot, timezone.now()))
    waits = shipment(2)
    assert waits.unplannable_reason == MAY_WAIT
    assert (waits.promised_departs_at, waits.promised_until) == (second.at, None)
    assert not Alert.objects.exists()
    assert told() == ["shipment_planned", "route_planned"]
    books_balance()
