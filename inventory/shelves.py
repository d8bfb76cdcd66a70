"""Promise: what is served to one order is no longer there for the next; of warehouses that can
send an order those come first that can pick it at once.

Plain values: a copy may be served from to see what would come of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from .picking import PickDiary
from .sourcing import Policy, Site, choose, fewest_shipments

#: Added to a warehouse's priority for each day before it can pick: more than any priority.
_DAY = 10**6


@dataclass(frozen=True, slots=True)
class Demand:
    """What an order wants, where, and from which warehouses it may not come."""

    wanted: Mapping[str, int]
    latitude: float
    longitude: float
    policy: Policy = fewest_shipments
    excluded: frozenset[int] = frozenset()
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one site sends of an order, and the day on which each of its lines is picked."""

    site: int
    units: Mapping[str, int]
    days: Sequence[date]


@dataclass(frozen=True, slots=True)
class Served:
    parcels: Sequence[Parcel]
    short: Mapping[str, int]

    @property
    def complete(self) -> bool:
        return not self.short


class Shelves:
    """``units`` by site and SKU that may be promised, and the days on which they can be picked."""

    def __init__(
        self, sites: Sequence[Site], units: dict[int, dict[str, int]], diary: PickDiary
    ) -> None:
        self.sites = sites
        self.units = units
        self.diary = diary

    def copy(self) -> Shelves:
        units = {site: dict(mine) for site, mine in self.units.items()}
        return Shelves(self.sites, units, self.diary.copy())

    def become(self, other: Shelves) -> None:
        """What was tried on a copy is what has happened."""
        self.units, self.diary = other.units, other.diary

    def there(self, sku: str, excluded: frozenset[int] = frozenset()) -> int:
        """Units of it in all warehouses but these."""
        return sum(self.units[s.key].get(sku, 0) for s in self.sites if s.key not in excluded)

    def withhold(self, sku: str, excluded: frozenset[int] = frozenset()) -> None:
        """Give nothing of it, except from these."""
        for site, units in self.units.items():
            if sku in units and site not in excluded:
                units[sku] = 0

    def serve(self, demand: Demand) -> Served:
        """Take what there is of it."""
        chosen, short = self._choose(demand)
        parcels = [Parcel(k, mine, self.diary.book(k, len(mine))) for k, mine in chosen.items()]
        for parcel in parcels:
            units = self.units[parcel.site]
            for sku, quantity in parcel.units.items():
                units[sku] -= quantity
        return Served(parcels, short)

    def _choose(self, demand: Demand) -> tuple[dict[int, dict[str, int]], dict[str, int]]:
        """From those that can pick it at once, if that is all that all could send."""
        sites = self.sites
        if demand.excluded:
            sites = [site for site in sites if site.key not in demand.excluded]
        if not self.diary.limits:
            return self._from(sites, demand)
        free = [site for site in sites if self._picks_at_once(site, demand)]
        at_once = self._from(free, demand)
        if not at_once[1] or len(free) == len(sites):
            return at_once
        at_last = self._from([self._put_off(site, demand) for site in sites], demand)
        return at_once if at_once[1] == at_last[1] else at_last

    def _from(
        self, sites: Sequence[Site], demand: Demand
    ) -> tuple[dict[int, dict[str, int]], dict[str, int]]:
        return choose(
            demand.policy, demand.wanted, sites, self.units, demand.latitude, demand.longitude
        )

    def _picks_at_once(self, site: Site, demand: Demand) -> bool:
        return self.diary.has_room(site.key, self._lines(site, demand))

    def _put_off(self, site: Site, demand: Demand) -> Site:
        days = self.diary.days_until_room(site.key, self._lines(site, demand))
        return replace(site, priority=site.priority + days * _DAY)

    def _lines(self, site: Site, demand: Demand) -> int:
        """Of the order, that it could send."""
        units = self.units[site.key]
        return sum(units.get(sku, 0) > 0 for sku in demand.wanted)
