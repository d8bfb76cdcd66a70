"""On which day a line is picked: cut-off, time zone, and limits that are never exceeded."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.db.models import Count

from inventory import services
from inventory.models import Reservation, Warehouse
from inventory.picking import PickDiary, pick_day
from inventory.services import WarehouseRules
from inventory.shelves import Demand, Shelves
from inventory.sourcing import Site

from .conftest import (
    PLACES,
    assert_nobody_waits_in_vain,
    at_once,
    consume,
    follow,
    placed,
    publish,
    receive,
    stocked,
    waiting,
)

TODAY = date(2026, 5, 4)


def at(hour, minute=0):
    return datetime(2026, 5, 4, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "cut_off", "now", "day"),
    [
        ("UTC", None, at(23, 59), TODAY),
        ("UTC", time(14), at(13, 59), TODAY),
        ("UTC", time(14), at(14), TODAY + timedelta(1)),
        ("America/Sao_Paulo", None, at(2), TODAY - timedelta(1)),  # 23:00 of the day before
        ("America/Sao_Paulo", time(14), at(2), TODAY),
        ("America/Sao_Paulo", time(14), at(16, 59), TODAY),
        ("America/Sao_Paulo", time(14), at(17), TODAY + timedelta(1)),
        ("Asia/Tokyo", time(14), at(4, 59), TODAY),
        ("Asia/Tokyo", time(14), at(16), TODAY + timedelta(1)),  # 01:00 of the next day
        # The clocks go forward at 01:00 UTC on that day in Berlin: 12:30 UTC is 14:30.
        (
            "Europe/Berlin",
            time(14, 15),
            datetime(2026, 3, 29, 12, 30, tzinfo=UTC),
            date(2026, 3, 30),
        ),
        (
            "Europe/Berlin",
            time(14, 15),
            datetime(2026, 3, 28, 12, 30, tzinfo=UTC),
            date(2026, 3, 28),
        ),
    ],
)
def test_the_day_is_the_warehouses_own(zone, cut_off, now, day):
    assert pick_day(Warehouse(time_zone=zone, cut_off=cut_off), now) == day


def diary(limit=5, **booked):
    """Of site 1 with a limit and site 2 without; booked by days from now, e.g. ``d0=5``."""
    lines = {(1, TODAY + timedelta(int(day[1:]))): count for day, count in booked.items()}
    found = PickDiary({1: TODAY, 2: TODAY}, {1: limit})
    found.booked.update(lines)
    return found


def days(dates):
    return [(day - TODAY).days for day in dates]


@pytest.mark.parametrize(
    ("booked", "lines", "expected"),
    [
        ({}, 3, [0, 0, 0]),
        ({"d0": 2}, 3, [0, 0, 0]),
        ({"d0": 3}, 3, [1, 1, 1]),  # a shipment is picked together where a day can hold it
        ({"d0": 5, "d1": 5, "d2": 1}, 4, [2, 2, 2, 2]),
        ({"d0": 4}, 7, [0, 1, 1, 1, 1, 1, 2]),  # it is more than a day's work
        ({"d0": 9}, 1, [1]),  # a limit that was lowered since
    ],
)
def test_a_full_day_puts_lines_off_to_the_first_that_has_room(booked, lines, expected):
    mine = diary(**booked)
    before = mine.booked.copy()
    assert days(mine.book(1, lines)) == expected
    assert sum((mine.booked - before).values()) == lines


def test_without_a_limit_every_line_is_picked_at_once():
    assert days(diary(d0=5).book(2, 1000)) == [0] * 1000


def shelves(one, two, **booked):
    """Site 1 (near, with a limit of 5) and site 2 (far, without)."""
    sites = [Site(1, 50.0, 8.0), Site(2, 52.0, 8.0)]
    return Shelves(sites, {1: dict(one), 2: dict(two)}, diary(**booked))


def served(there, **wanted):
    outcome = there.serve(Demand(wanted, 50.0, 8.0))
    return {p.site: (dict(p.units), days(p.days)) for p in outcome.parcels}, dict(outcome.short)


def test_a_warehouse_with_room_is_preferred():
    assert served(shelves({"A": 9}, {"A": 9}), A=1) == ({1: ({"A": 1}, [0])}, {})
    assert served(shelves({"A": 9}, {"A": 9}, d0=5), A=1) == ({2: ({"A": 1}, [0])}, {})


def test_what_only_a_full_warehouse_has_is_picked_later():
    full = shelves({"A": 9, "B": 9}, {"A": 9}, d0=5)
    assert served(full, B=1) == ({1: ({"B": 1}, [1])}, {})
    assert served(full, A=1, B=1) == ({1: ({"A": 1, "B": 1}, [1, 1])}, {})
    assert served(full, A=12) == ({2: ({"A": 9}, [0]), 1: ({"A": 3}, [1])}, {})


def test_what_is_short_is_short_from_all_of_them():
    assert served(shelves({"A": 1}, {"A": 1}, d0=5), A=3)[1] == {"A": 1}


# --- in the database ----------------------------------------------------------------------


def limit(code="york", picks=4, **rules):
    latitude, longitude = PLACES[code]
    services.register_warehouse(
        code=code,
        name=code.title(),
        latitude=latitude,
        longitude=longitude,
        rules=WarehouseRules(daily_picks=picks, **rules),
    )


def picks():
    """{warehouse: lines of each day, from the first}"""
    rows = Reservation.objects.filter(state__in=["held", "committed"]).order_by("pick_on")
    found: dict[str, list[int]] = {}
    for code, _, count in (
        rows.values("level__warehouse", "pick_on")
        .annotate(count=Count("pk"))
        .values_list("level__warehouse__code", "pick_on", "count")
    ):
        found.setdefault(code, []).append(count)
    return found


@pytest.mark.django_db
def test_every_reservation_has_its_day():
    stocked(A={"york": 9})
    limit(picks=None, time_zone="Pacific/Kiritimati", cut_off=time(0))  # always tomorrow there
    consume(placed(1, A=1))
    place = Warehouse.objects.get()
    row = Reservation.objects.get()
    assert row.pick_on == pick_day(place, row.created_at)


@pytest.mark.django_db
def test_batches_fill_one_day_after_the_other():
    stocked(A={"york": 99}, B={"york": 99})
    limit(picks=4)
    for n in range(0, 9, 3):
        consume(*[placed(m, A=1) for m in range(n, n + 3)])
    consume(placed(20, A=1, B=1))
    assert picks() == {"york": [4, 4, 3]}


@pytest.mark.django_db
def test_a_pick_that_is_given_up_makes_room():
    stocked(A={"york": 99})
    limit(picks=2)
    consume(placed(1, A=1), placed(2, A=1))
    Reservation.objects.filter(allocation__placed_at__isnull=False).update(state="released")
    consume(placed(3, A=1))
    assert picks() == {"york": [1]}


@pytest.mark.django_db
def test_who_waited_is_picked_within_the_limit_too():
    stocked(A={"york": 0})
    limit(picks=2)
    consume(*[placed(n, A=1) for n in range(5)])
    publish()
    receive(A=5)
    follow()
    assert waiting() == []
    assert picks() == {"york": [2, 2, 1]}


@pytest.mark.django_db(transaction=True)
def test_no_day_is_promised_more_than_can_be_picked(deadlocks):
    """Different products, so that nothing but the warehouse's own lock keeps them apart."""
    skus = [f"A{n}" for n in range(16)]
    stocked(**{sku: {"york": 50, "leeds": 50} for sku in skus})
    limit("york", picks=5)
    limit("leeds", picks=3)

    def orders(n):
        sku = skus[n % len(skus)]
        for first in range(0, 6, 2):
            consume(*[placed(n * 10 + first + m, **{sku: 1}) for m in range(2)])

    at_once(*[lambda n=n: orders(n) for n in range(16)])
    found = picks()
    assert max(found["york"]) == 5
    assert max(found["leeds"]) == 3
    assert sum(map(sum, found.values())) == 96
    # Each day is full before the next begins.
    assert [set(lines[:-1]) for lines in (found["york"], found["leeds"])] == [{5}, {3}]
    assert deadlocks() == 0
    assert_nobody_waits_in_vain()
