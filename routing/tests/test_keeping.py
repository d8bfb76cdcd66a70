"""What is kept of plans for whoever asks next: as much as memory bears, however many depots."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.utils import timezone

from routing import keeping, quoting
from routing.keeping import Keeper, Kept
from routing.quoting import Load, quote

from .conftest import make_depot


@pytest.fixture(autouse=True)
def nothing_kept_before(monkeypatch):
    monkeypatch.setattr(keeping, "_shelf", keeping._Shelf())


def kept(stops=1000, *, ago=0.0):
    return Kept("standing", time.monotonic() - ago, f"{stops} stops", stops)


def held(keeper, count):
    return [n for n in range(count) if keeper.seen(n)]


def test_days_are_kept_by_their_size_and_not_by_their_number():
    small, large = Keeper[str, str](), Keeper[str, str]()
    for n in range(100):
        small.keep(n, kept(100))
    assert held(small, 100) == list(range(100))
    for n in range(100):
        large.keep(n, kept(2000))
    assert held(large, 100) == list(range(88, 100))


def test_all_kinds_share_what_memory_there_is():
    days, tables = Keeper[str, str](), Keeper[str, str]()
    for n in range(40):
        days.keep(n, kept())
        tables.keep(n, kept())
    assert held(days, 40) == held(tables, 40) == list(range(16, 40))
    days.clear()
    assert held(tables, 40) == list(range(16, 40))
    assert keeping._shelf.pairs == 24_000_000


def test_what_is_too_large_for_all_is_kept_alone(monkeypatch):
    monkeypatch.setattr(keeping, "PAIRS", 10)
    keeper = Keeper[str, str]()
    for n in range(3):
        keeper.keep(n, kept())
    assert held(keeper, 3) == [2]


def test_what_nobody_can_use_any_more_makes_room():
    keeper = Keeper[str, str]()
    keeper.keep(0, kept(ago=keeping.FRESH + 1))
    keeper.keep(1, kept())
    assert held(keeper, 2) == [1]


def test_what_has_become_too_old_is_gone_when_anybody_asks(monkeypatch):
    keeper, other = Keeper[str, str](), Keeper[str, str]()
    for ask in (other.seen, other.taken):
        for n in range(3):
            keeper.keep(n, kept(ago=keeping.FRESH - 5))
        monkeypatch.setattr(keeping, "FRESH", keeping.FRESH - 10)
        ask("nothing")
        assert (keeping._shelf.kept, keeping._shelf.pairs) == ({}, 0)
        monkeypatch.undo()
        monkeypatch.setattr(keeping, "_shelf", keeping._Shelf())


def test_what_is_old_makes_room_before_what_is_not():
    keeper = Keeper[str, str]()
    keeper.keep(0, kept(4000))
    keeper.keep(1, kept(5000, ago=keeping.FRESH + 1))
    keeper.keep(2, kept(5000))
    assert held(keeper, 3) == [0, 2]


def test_many_threads_keep_and_take_and_the_sum_is_right():
    def work(n):
        for m in range(300):
            keeper.keep((n + m) % 7, kept(2000 + m % 3))
            keeper.seen(m % 7)
            keeper.taken(m % 5)

    keeper = Keeper[str, str]()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    there = keeping._shelf.kept.values()
    assert keeping._shelf.pairs == sum(one.stops**2 for one in there) <= keeping.PAIRS


def test_who_takes_it_has_it_alone_and_who_only_looks_leaves_it():
    keeper = Keeper[str, str]()
    keeper.keep(0, kept())
    assert keeper.seen(0) and keeper.seen(0)
    assert keeper.taken(0) and keeper.taken(0) is None


@pytest.mark.django_db(transaction=True)
def test_the_days_of_many_depots_are_quoted_without_looking_them_up_again(monkeypatch):
    quoting.kept.clear()
    depots = [make_depot(f"mill-{n}") for n in range(20)]
    load = Load(latitude=53.97, longitude=-1.08, weight_kg=5, volume_m3=0.01)
    moment = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: moment)
    assert quote(depots=depots, load=load)
    looked: list[int] = []
    day = quoting._Day

    def counted(depot, start):
        looked.append(depot.pk)
        return day(depot, start)

    monkeypatch.setattr(quoting, "_Day", counted)
    assert quote(depots=depots, load=load)
    assert looked == []
