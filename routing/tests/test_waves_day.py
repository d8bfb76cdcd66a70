"""Any day of a depot with departures, from the first order to the last van's return: whoever could
be met is met in time and soon enough, and no van is in two tours at once."""

import random
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command

from routing.models import Alert, Depot, Route, Shipment
from routing.planning import plan_due_depots
from routing.problem import Place
from routing.simulating import replay, shipments_of
from routing.travel import matrices
from routing.waves import Along

from .conftest import books_balance, hear, parcel, reserved, told
from .test_waves import (
    as_promised,
    clock,
    driven,
    make_waves,
    no_vehicle_is_in_two_tours,
    time,
)

__all__ = ["clock"]

pytestmark = pytest.mark.django_db(transaction=True)

DEPARTURES = ["08:00", "10:00", "12:00", "14:00", "16:00"]
YORK = Place(53.96, -1.08)
LEAD = timedelta(minutes=30)


def drive(row) -> timedelta:
    _, seconds = matrices([YORK, Place(row.latitude, row.longitude)])
    return timedelta(seconds=int(seconds[0, 1]))


def random_day(chance, count=24):
    """(when it is ordered, opens, closes, degrees north); windows are open for two hours or more,
    or there is none."""
    for _ in range(count):
        minute = chance.randrange(5 * 60, 15 * 60)
        ordered = time("00:00") + timedelta(minutes=minute)
        north = chance.uniform(-0.4, 0.4)
        if chance.random() < 0.4:
            yield ordered, None, None, north
            continue
        opens = ordered + timedelta(minutes=chance.randrange(60, 300))
        closes = opens + timedelta(minutes=chance.randrange(120, 300))
        yield ordered, opens, closes, north


def feasible(row, ordered) -> bool:
    """Whether a van of its own that leaves with one of the departures could be in time."""
    until = row.requested_until
    moments = [time(text) for text in DEPARTURES]
    return any(at - LEAD > ordered and (not until or at + drive(row) <= until) for at in moments)


def tick(clock, text, day):
    driven(clock, text, day)
    clock.is_(text, day)
    for run in plan_due_depots():
        assert run.error == ""


@pytest.mark.parametrize("seed", range(6))
def test_any_day_is_met_in_time(clock, settings, seed):
    chance = random.Random(seed)
    settings.PROMISE_SECONDS = 5.0 if seed % 2 else 0.0
    longest = chance.choice([4, 24])
    make_waves(", ".join(DEPARTURES), vehicles=7, longest_wait=longest)
    Depot.objects.get().vehicles.update(shift_hours=16)
    orders = sorted(random_day(chance), key=lambda said: said[0])
    moments = [(said[0], "order", said) for said in orders]
    moments += [(time(at) - LEAD, "departure", at) for at in DEPARTURES]
    at_order: dict[UUID, datetime] = {}
    for moment, what, said in sorted(moments, key=lambda m: (m[0], m[1])):
        if what == "departure":
            before = time(said) - LEAD
            tick(clock, f"{before:%H:%M}", 0)
            continue
        clock.now = moment
        number = len(at_order) + 1
        _, opens, closes, north = said
        window = {"requested_from": opens, "requested_until": closes}
        asked = {name: value.isoformat() for name, value in window.items() if value}
        hear(reserved(number, near=north, **asked))
        at_order[parcel(number)] = moment
    for at in ("07:30", "09:30", "11:30", "13:30", "15:30", "23:00"):
        tick(clock, at, 1)
    able = 0
    for row in Shipment.objects.all():
        if not feasible(row, at_order[row.pk]):
            continue
        able += 1
        stop = row.stops.get()
        assert row.state == "delivered", (row, row.unplannable_reason)
        assert (row.requested_from or stop.eta) <= stop.eta <= (row.requested_until or stop.eta)
        assert row.promised_until is None or as_promised(row, stop.eta)
        could = max(at_order[row.pk], row.requested_from or at_order[row.pk])
        route_at = stop.route.departs_at
        assert route_at is not None
        assert row.promised_until or route_at - could <= timedelta(hours=longest)
    assert able > 15
    no_vehicle_is_in_two_tours()
    tours = Route.objects.values_list("vehicle", flat=True)
    assert len(tours) > len(set(tours)), "no van made a second tour"
    if able == len(at_order):
        assert not Alert.objects.exists() and "shipment_unplannable" not in told()
    books_balance()


# --- a day again --------------------------------------------------------------------------


def a_day_of_orders(clock):
    make_waves(", ".join(DEPARTURES), vehicles=7).vehicles.update(shift_hours=16)
    chance = random.Random(11)
    for number, (ordered, opens, closes, north) in enumerate(random_day(chance, 16), start=1):
        clock.now = ordered
        window = {"requested_from": opens, "requested_until": closes}
        asked = {name: value.isoformat() for name, value in window.items() if value}
        hear(reserved(number, near=north, **asked))


def test_simulate_tells_who_went_and_waited_and_changes_nothing(clock, capsys):
    a_day_of_orders(clock)
    before = list(Shipment.objects.order_by("pk").values())
    call_command("routing", "simulate", depot="mill", date=time("00:00").date(), seconds=0.3)
    shown = capsys.readouterr().out
    assert "mill on 2031-05-05, ours" in shown and "08:00" in shown
    assert all(f"{policy}: cost" in shown for policy in ("ours", "greedy", "lazy"))
    assert list(Shipment.objects.order_by("pk").values()) == before
    assert not Route.objects.exists()


def test_a_replay_decides_as_the_planner_does(clock):
    """The same departures, with as many on them."""
    a_day_of_orders(clock)
    depot = Depot.objects.get()
    day = time("00:00").date()
    rows = shipments_of(depot, day)
    found = replay(depot, day, rows, along=Along.WORTH, seconds=0.3)
    first = found.decided[0]
    clock.now = first.departure.at - LEAD
    Shipment.objects.filter(ready_at__gt=clock.now).delete()
    (run,) = plan_due_depots()
    assert (run.departs_at, run.shipments) == (first.departure.at, first.waiting)
    assert run.planned == first.leave
    assert sum(route.cost for route in Route.objects.all()) == pytest.approx(first.cost)


def test_greedy_lets_all_go_and_lazy_only_who_must(clock):
    a_day_of_orders(clock)
    depot, day = Depot.objects.get(), time("00:00").date()
    rows = shipments_of(depot, day)
    found = {along: replay(depot, day, rows, along=along, seconds=0.3) for along in Along}
    able = {row.pk for row in rows if feasible(row, row.ready_at)}
    assert len(able) > 10
    assert able.isdisjoint(found[Along.WORTH].unmet)
    assert all(one.leave == one.must for one in found[Along.NOBODY].decided)
    first = {along: one.decided[0] for along, one in found.items()}
    assert first[Along.ALL].leave > first[Along.NOBODY].leave
    assert found[Along.WORTH].cost <= found[Along.ALL].cost


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"depot": "nowhere", "date": time("00:00").date()}, "a depot that there is"),
        ({"depot": "mill"}, "with --date a day of it"),
        ({"depot": "mill", "date": time("00:00", 9).date()}, "No shipment of mill became ready"),
        (
            {"depot": "mill", "date": time("00:00").date(), "departures": "8 o'clock"},
            "no time of day",
        ),
    ],
)
def test_simulate_says_what_is_wrong(clock, options, says):
    make_waves()
    with pytest.raises(CommandError, match=says):
        call_command("routing", "simulate", **options)
