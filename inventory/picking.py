"""Promise: what is reserved is picked on the warehouse's local day of its reservation, or on the
next one after the cut-off; and where pickers are fewer than lines, on the first later day that
has room, so that no day is ever promised more lines than can be picked.

Warehouses with a limit are counted under their locks; the others cost nothing here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Count
from django.utils import timezone

from . import locks
from .models import Reservation, Warehouse

#: The states in which a line has been, or will be, picked on its day.
_PICKED = (Reservation.State.HELD, Reservation.State.COMMITTED)


def pick_day(warehouse: Warehouse, now: datetime) -> date:
    """The local day on which the warehouse picks what is reserved now."""
    local = now.astimezone(ZoneInfo(warehouse.time_zone))
    late = warehouse.cut_off is not None and local.time() >= warehouse.cut_off
    return local.date() + timedelta(days=late)


@dataclass
class PickDiary:
    """By warehouse: the first day that is still open, and for those with a limit the limit and
    the lines already promised for each day."""

    first: dict[int, date]
    limits: dict[int, int] = field(default_factory=dict)
    booked: Counter[tuple[int, date]] = field(default_factory=Counter)

    @classmethod
    def lock(cls, warehouses: Iterable[Warehouse]) -> PickDiary:
        """Under the locks of those of them that have a limit."""
        now = timezone.now()
        diary = cls(first={row.pk: pick_day(row, now) for row in warehouses})
        limited = [row.pk for row in warehouses if row.daily_picks is not None]
        if limited:
            diary._count(locks.picking(limited))
        return diary

    @classmethod
    def look(cls, warehouses: Iterable[Warehouse]) -> PickDiary:
        """Without a lock, for those who only ask."""
        now = timezone.now()
        diary = cls(first={row.pk: pick_day(row, now) for row in warehouses})
        diary._count(warehouses)
        return diary

    def _count(self, limited: Iterable[Warehouse]) -> None:
        self.limits = {row.pk: row.daily_picks for row in limited if row.daily_picks is not None}
        if not self.limits:
            return
        lines = Reservation.objects.filter(
            state__in=_PICKED,
            pick_on__gte=min(self.first[pk] for pk in self.limits),
            level__warehouse__in=self.limits,
        )
        days = lines.order_by().values_list("level__warehouse", "pick_on")
        for pk, day, count in days.annotate(count=Count("pk")):
            self.booked[pk, day] = count

    def copy(self) -> PickDiary:
        return PickDiary(self.first, self.limits, self.booked.copy())

    def has_room(self, site: int, lines: int) -> bool:
        """For so many lines on the first day."""
        return site not in self.limits or self._room(site, self.first[site]) >= lines

    def days_until_room(self, site: int, lines: int) -> int:
        """From the first day to the one on which so many lines (or some of them, where they are
        more than a day's) can be picked."""
        if site not in self.limits:
            return 0
        at_least = min(lines, self.limits[site])
        free = (day for day in self._days(site) if self._room(site, day) >= at_least)
        return (next(free) - self.first[site]).days

    def book(self, site: int, lines: int) -> list[date]:
        """A day for each line: the first on which all of them can be picked, or the first ones
        that have room where they are more than are ever picked in a day."""
        if site not in self.limits:
            return [self.first[site]] * lines
        at_least = lines if lines <= self.limits[site] else 1
        days: list[date] = []
        for day in self._days(site):
            if (room := self._room(site, day)) >= at_least:
                days += [day] * min(room, lines - len(days))
            if len(days) == lines:
                break
        self.booked.update((site, day) for day in days)
        return days

    def _days(self, site: int) -> Iterator[date]:
        day = self.first[site]
        while True:
            yield day
            day += timedelta(days=1)

    def _room(self, site: int, day: date) -> int:
        return max(0, self.limits[site] - self.booked[site, day])
