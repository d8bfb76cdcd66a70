"""Promise: what was read of a plan is kept in this process for whoever asks next; it is used again
only while the rows that it was made of are the same, and not for long. However many depots there
are, all that is kept fits into so much memory.

Who changes what is kept takes it, and holds the depot's lock; who only looks leaves it there."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

#: Seconds after which it is read again though nothing changed: its vehicles' time passes.
FRESH = 60.0
#: Pairs of stops in all days (or timetables) that are kept, 8 bytes for each: 64 days of 1,000
#: stops, or 16 of 2,000.
PAIRS = 64_000_000

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


class Keeper(Generic[Standing, What]):
    """Nobody could use what is no longer fresh; the oldest of the others give way to new ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Kept[Standing, What]] = OrderedDict()

    def taken(self, key: Hashable) -> Kept[Standing, What] | None:
        """Whoever takes it has it alone; it is gone when nobody brings it back."""
        with self._lock:
            return self._kept.pop(key, None)

    def seen(self, key: Hashable) -> Kept[Standing, What] | None:
        """It stays where it is, for others to look at, too."""
        with self._lock:
            return self._kept.get(key)

    def keep(self, key: Hashable, kept: Kept[Standing, What]) -> None:
        with self._lock:
            self._kept = OrderedDict((k, one) for k, one in self._kept.items() if one.fresh)
            self._kept[key] = kept
            self._kept.move_to_end(key)
            pairs = sum(one.stops**2 for one in self._kept.values())
            while pairs > PAIRS and len(self._kept) > 1:
                pairs -= self._kept.popitem(last=False)[1].stops ** 2

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
