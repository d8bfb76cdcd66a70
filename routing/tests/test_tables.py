"""A timetable that is kept from batch to batch: read once, the same as read anew, and seen through
at once when somebody else has changed what it is made of."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from routing import tables
from routing.driving import freeze_route
from routing.models import Depot, Plan, Route, Shipment, Stop, Vehicle
from routing.planning import plan_due_depots
from routing.registering import register_shipments
from routing.timetable import Timetable

from .conftest import (
    at_once,
    books_balance,
    cancelled,
    cut,
    hear,
    make_depot,
    parcel,
    plan,
    reserved,
)
from .test_waves import (
    clock,
    driven,
    make_waves,
    no_vehicle_is_in_two_tours,
    order,
    shipment,
    time,
)

__all__ = ["clock"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def promises(settings):
    settings.PROMISE_SECONDS = 5.0
    tables.kept.clear()


@pytest.fixture
def looks(monkeypatch):
    """Moments at which a timetable was read from the database."""
    found = []
    read = Timetable.read.__func__

    def looked(cls, depot, now, *args, **named):
        found.append(now)
        return read(cls, depot, now, *args, **named)

    monkeypatch.setattr(Timetable, "read", classmethod(looked))
    return found


def batch(first, count=6):
    hear(*(reserved(n, near=0.01 * (n % 20)) for n in range(first, first + count)))


def places(between_batches):
    """By order, what was promised in four batches, when some stand in routes already."""
    for model in (Stop, Plan, Route, Shipment):
        model.objects.all().delete()
    tables.kept.clear()
    for number in (1, 2, 3):
        order(number, until="09:00")
    plan(Depot.objects.get())
    for first in (11, 21, 31, 41):
        between_batches()
        batch(first)
    return {
        row.pk: (row.promised_vehicle_id, row.promised_departs_at, row.told_eta)
        for row in Shipment.objects.filter(state="open")
    }


def test_promises_are_the_same_whether_the_timetable_is_read_anew_or_kept(clock, looks):
    """Full tours of four, so that departures of two days are looked at, and vans are in several."""
    make_waves(vehicles=2, kg=20)
    kept = places(lambda: None)
    assert len(looks) == 3, "for the first order, for the run, for all that came after it"
    anew = places(tables.kept.clear)
    assert len(looks) == 3 + 6
    assert len(kept) == 24
    assert len({departs for _, departs, _ in kept.values()}) > 3
    assert kept == anew
    for at in ("07:30", "09:30", "11:30", "13:30"):
        driven(clock, at)
        clock.is_(at)
        assert [run.error for run in plan_due_depots()] == [""]
    no_vehicle_is_in_two_tours()


def _cancel():
    hear(cancelled(4))


def _cut():
    hear(cut(4, kg=1.0))


def _narrow():
    Vehicle.objects.update(capacity_kg=60)


def _freeze():
    freeze_route(route_id=Route.objects.get().pk, frozen=True)


def _cancel_planned():
    hear(cancelled(1))


def _hold_elsewhere():
    """As a run that decides a departure does, silently."""
    Shipment.objects.filter(pk=parcel(4)).update(promised_departs_at=time("14:00"))


def _move_the_end():
    Depot.objects.filter(code="end").update(latitude=54.2)


def _more_departures():
    Depot.objects.filter(code="mill").update(departures="08:00, 10:00, 11:00, 12:00, 14:00")


@pytest.mark.parametrize(
    "change",
    [
        *(_cancel, _cut, _narrow, _freeze, _cancel_planned, _hold_elsewhere, _move_the_end),
        _more_departures,
    ],
)
def test_what_somebody_else_changes_is_seen_by_the_next_batch(clock, looks, change):
    end = make_depot("end")
    make_waves(vehicles=2)
    Vehicle.objects.filter(depot__code="mill").update(end_depot=end)
    for number in (1, 2, 3):
        order(number, until="09:00")
    plan(Depot.objects.get(code="mill"))
    assert Route.objects.get().departs_at == time("08:00"), "early: who is promised may ride along"
    batch(4, 2)
    change()
    looks.clear()
    batch(7, 2)
    assert len(looks) == 1
    batch(9, 2)
    assert len(looks) == 1
    books_balance()


def test_a_departure_that_is_decided_is_promised_to_nobody_any_more(clock, looks):
    make_waves()
    batch(1, 2)
    assert shipment(1).promised_departs_at == time("08:00")
    clock.is_("07:31")
    batch(3, 2)
    assert len(looks) == 2
    assert shipment(3).promised_departs_at == time("10:00")


def test_what_was_rolled_back_is_not_kept(clock, looks):
    make_waves("08:00, 14:00", vehicles=1, kg=10)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        register_shipments(allocations=[reserved(1).open()])
        1 / 0  # noqa: B018
    batch(2, 2)
    assert {row.promised_departs_at for row in Shipment.objects.all()} == {time("08:00")}


def test_batches_at_once_book_no_place_twice(clock, looks):
    make_waves(vehicles=1, kg=10)
    at_once(*[lambda n=n: batch(n, 1) for n in range(1, 9)])
    held = Shipment.objects.order_by("promised_departs_at")
    found = list(held.values_list("promised_departs_at", flat=True))
    assert found == [time(at) for at in ("08:00", "10:00", "12:00", "14:00") for _ in range(2)]
    assert len(looks) < 8


def test_a_timetable_is_read_again_after_a_while_and_when_it_has_become_too_large(
    clock, looks, monkeypatch
):
    make_waves()
    batch(1, 1)
    batch(2, 1)
    assert len(looks) == 1
    monkeypatch.setattr(tables, "MOST_STOPS", 3)
    batch(3, 3)
    assert Shipment.objects.filter(promised_until=None).count() == 2, "five are two too many"
    assert len(looks) == 2
    batch(10, 1)
    assert shipment(10).promised_until is None
    monkeypatch.undo()
    monkeypatch.setattr(timezone, "now", lambda: time("07:00") + timedelta(seconds=1))
    monkeypatch.setattr("routing.keeping.FRESH", 0.0)
    batch(6, 1)
    batch(7, 1)
    assert shipment(7).promised_until is not None
