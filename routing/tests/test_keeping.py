"""What is kept of plans for whoever asks next: as much as memory bears, however many depots."""

import time

import pytest
from django.utils import timezone

from routing import keeping, quoting
from routing.keeping import Keeper, Kept
from routing.quoting import Load, quote

from .conftest import make_depot


def kept(stops=1000, *, ago=0.0):
    return Kept("standing", time.monotonic() - ago, f"{stops} stops", stops)


def held(keeper, count):
    return [n for n in range(count) if keeper.seen(n)]


def test_days_are_kept_by_their_size_and_not_by_their_number():
    small, large = Keeper[str, str](), Keeper[str, str]()
    for n in range(100):
        small.keep(n, kept(100))
        large.keep(n, kept(2000))
    assert held(small, 100) == list(range(100))
    assert held(large, 100) == list(range(84, 100))


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
