"""Promise: what was read of a plan is kept in this process for whoever asks next; it is used again
only while the rows that it was made of are the same, and not for long. However many depots there
are, all that a process keeps, of whatever kind, fits into so much memory: one budget for all. What
somebody has taken does not count until it is brought back. What is too old to be used goes when
anybody next asks for anything or brings it; a process of which nobody asks anything keeps its last.

Who changes what is kept takes it, and holds the depot's lock; who only looks leaves it there."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

#: Seconds after which it is read again though nothing changed: its vehicles' time passes.
FRESH = 60.0
#: Pairs of stops in all days and timetables that a process keeps, 8 bytes for each, 0.4 GB in all:
#: 48 days of 1,000 stops, or 12 of 2,000.
PAIRS = 48_000_000

Standing = TypeVar("Standing")
What = TypeVar("What")


@dataclass(frozen=True)
class Kept(Generic[Standing, What]):
    """``standing``: the rows that it was made of; ``since``: when it was read; ``stops``: how many
    there are in it."""

    standing: Standing
    since: float
    what: What
    stops: int

    @property
    def fresh(self) -> bool:
        return time.monotonic() - self.since < FRESH

    def holds(self, standing: Standing) -> bool:
        return self.standing == standing and self.fresh

    @property
    def pairs(self) -> int:
        return self.stops**2


#: Whose it is, and by what key.
Place = tuple["Keeper[Any, Any]", Hashable]


class _Shelf:
    """Of all keepers of this process, the oldest first. Its lock is the caller's to hold."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.kept: OrderedDict[Place, Kept[Any, Any]] = OrderedDict()
        self.pairs = 0

    def put(self, place: Place, kept: Kept[Any, Any]) -> None:
        self.take(place)
        self.kept[place] = kept
        self.pairs += kept.pairs
        if self.pairs > PAIRS:
            self._make_room()

    def take(self, place: Place) -> Kept[Any, Any] | None:
        kept = self.kept.pop(place, None)
        self.pairs -= kept.pairs if kept else 0
        return kept

    def forget_the_old(self) -> None:
        """Whatever stands behind one that is fresh goes when that one does, a minute later at the
        most: nobody goes through all of them each time."""
        while self.kept and not next(iter(self.kept.values())).fresh:
            self._drop_the_first()

    def _make_room(self) -> None:
        """Nobody could use what is no longer fresh; the oldest of the others give way."""
        for place in [place for place, one in self.kept.items() if not one.fresh]:
            self.take(place)
        while self.pairs > PAIRS and len(self.kept) > 1:
            self._drop_the_first()

    def _drop_the_first(self) -> None:
        self.take(next(iter(self.kept)))


_shelf = _Shelf()


class Keeper(Generic[Standing, What]):
    """Keeps things of one kind on the shelf that all kinds share; for any number of threads."""

    def taken(self, key: Hashable) -> Kept[Standing, What] | None:
        """Whoever takes it has it alone; it is gone when nobody brings it back."""
        with _shelf.lock:
            _shelf.forget_the_old()
            return _shelf.take((self, key))

    def seen(self, key: Hashable) -> Kept[Standing, What] | None:
        """It stays where it is, for others to look at, too."""
        with _shelf.lock:
            _shelf.forget_the_old()
            return _shelf.kept.get((self, key))

    def keep(self, key: Hashable, kept: Kept[Standing, What]) -> None:
        with _shelf.lock:
            _shelf.forget_the_old()
            _shelf.put((self, key), kept)

    def clear(self) -> None:
        with _shelf.lock:
            for place in [place for place in _shelf.kept if place[0] is self]:
                _shelf.take(place)
