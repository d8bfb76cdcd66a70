"""Promise: what was read of a plan is kept in this process for whoever asks next, and used by one
transaction at a time, which holds the depot's lock; it is used again only while the rows that it
was made of are the same, and not for long."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

#: Seconds after which it is read again though nothing changed: its vehicles' time passes.
FRESH = 60.0
#: Days (or timetables) that are kept; one of 1,000 stops takes some 8 MB.
KEPT = 16

Standing = TypeVar("Standing")
What = TypeVar("What")


@dataclass(frozen=True)
class Kept(Generic[Standing, What]):
    """``standing``: the rows that it was made of; ``since``: when it was read."""

    standing: Standing
    since: float
    what: What

    def holds(self, standing: Standing) -> bool:
        return self.standing == standing and time.monotonic() - self.since < FRESH


class Keeper(Generic[Standing, What]):
    """The oldest give way when there are more than KEPT."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Kept[Standing, What]] = OrderedDict()

    def taken(self, key: Hashable) -> Kept[Standing, What] | None:
        """Whoever takes it has it alone; it is gone when nobody brings it back."""
        with self._lock:
            return self._kept.pop(key, None)

    def keep(self, key: Hashable, kept: Kept[Standing, What]) -> None:
        with self._lock:
            self._kept[key] = kept
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
