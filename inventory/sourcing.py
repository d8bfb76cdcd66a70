"""Promise: of what an order wants, every unit is either taken from stock that is there or left
over as short; which warehouses send it is the choice of one policy.

Plain values, no database. A policy is a function from what warehouses offer to the order in
which they are asked; each then sends all it can of what is still wanted, as one shipment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import asin, cos, radians, sin, sqrt

EARTH_KM = 6371.0
#: Every combination of so many warehouses, of the so many nearest that have anything, is tried.
MOST_TOGETHER, NEAREST_TRIED = 3, 10

#: {SKU: units}
Units = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Site:
    """A warehouse that may ship; degrees, WGS 84. A shipment costs handling and so much a km."""

    key: int
    latitude: float
    longitude: float
    priority: int = 0
    handling_cost: float = 0.0
    cost_per_km: float = 0.0


@dataclass(frozen=True, slots=True)
class Offer:
    """What a site could send of an order: ``units`` of it, out of a ``stock`` of those SKUs."""

    site: Site
    km: float
    units: Units
    stock: Units

    @property
    def cost(self) -> float:
        return self.site.handling_cost + self.site.cost_per_km * self.km


#: Offers (the nearest first) and the units that they can send together; gives who is asked, in
#: which order. Together these can send as much as all can.
Policy = Callable[[Sequence[Offer], Units], Sequence[Offer]]


def distance_km(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Great-circle distance (haversine), in km."""
    a = sin(radians(lat2 - lat1) / 2) ** 2
    a += cos(radians(lat1)) * cos(radians(lat2)) * sin(radians(lon2 - lon1) / 2) ** 2
    return 2 * EARTH_KM * asin(sqrt(min(1.0, a)))


# --- policies -----------------------------------------------------------------------------


def fewest_shipments(offers: Sequence[Offer], reach: Units) -> Sequence[Offer]:
    """As few warehouses as can send it; of as few, the lowest priorities, then the nearest."""
    for count in range(1, MOST_TOGETHER + 1):
        if found := list(_teams(offers, reach, count)):
            return _by_size(min(found, key=_rank), reach)
    return _by_size(offers, reach)


def nearest(offers: Sequence[Offer], reach: Units) -> Sequence[Offer]:
    """Each unit from the nearest warehouse that has it."""
    return sorted(offers, key=lambda offer: (offer.km, offer.site.priority, offer.site.key))


def balanced(offers: Sequence[Offer], reach: Units) -> Sequence[Offer]:
    """The fullest warehouse first, so that none runs dry before the others: the one that holds
    the largest shares of what there is of the wanted products."""
    there = {sku: sum(offer.stock.get(sku, 0) for offer in offers) for sku in reach}

    def emptiness(offer: Offer) -> float:
        return -sum(units / there[sku] for sku, units in offer.stock.items())

    return sorted(offers, key=lambda offer: (emptiness(offer), *_rank([offer])))


def lowest_cost(offers: Sequence[Offer], reach: Units) -> Sequence[Offer]:
    """The combination whose shipments cost least; of equal ones the fewest, then as above."""
    teams = [team for count in range(1, MOST_TOGETHER + 1) for team in _teams(offers, reach, count)]
    if teams:
        best = min(teams, key=lambda t: (sum(o.cost for o in t), len(t), *_rank(t)))
        return sorted(best, key=lambda offer: (offer.cost, *_rank([offer])))
    return _one_by_one(offers, reach, lambda offer, units: -offer.cost / units)


#: By the names that SourcingRule knows.
POLICIES: dict[str, Policy] = {
    policy.__name__: policy for policy in (fewest_shipments, nearest, balanced, lowest_cost)
}


def _teams(offers: Sequence[Offer], reach: Units, count: int) -> Iterator[tuple[Offer, ...]]:
    """The combinations of so many offers that together reach as far as all do."""
    tried = offers if count == 1 else offers[:NEAREST_TRIED]
    return (team for team in combinations(tried, count) if _reaches(team, reach))


def _reaches(team: Iterable[Offer], reach: Units) -> bool:
    return all(sum(o.units.get(sku, 0) for o in team) >= units for sku, units in reach.items())


def _rank(team: Sequence[Offer]) -> tuple[int, float, list[int]]:
    priorities = sum(offer.site.priority for offer in team)
    return priorities, sum(offer.km for offer in team), [offer.site.key for offer in team]


def _by_size(offers: Sequence[Offer], reach: Units) -> Sequence[Offer]:
    """Who can send most of what is left goes first, so that the parcels are as few as a greedy
    choice makes them."""
    return _one_by_one(offers, reach, lambda offer, units: units)


def _one_by_one(
    offers: Sequence[Offer], reach: Units, worth: Callable[[Offer, int], float]
) -> Sequence[Offer]:
    """The offer worth most by what it can still send, then the next, until nothing is left."""
    left, rest, order = dict(reach), list(offers), []
    while left and rest:
        sends = [sum(min(o.units.get(sku, 0), n) for sku, n in left.items()) for o in rest]
        able = [i for i, units in enumerate(sends) if units]
        best = min(able, key=lambda i: (-worth(rest[i], sends[i]), *_rank([rest[i]])))
        offer = rest.pop(best)
        order.append(offer)
        left = {sku: n - offer.units.get(sku, 0) for sku, n in left.items()}
        left = {sku: n for sku, n in left.items() if n > 0}
    return order


# --- an order -----------------------------------------------------------------------------


def choose(
    policy: Policy,
    wanted: Units,
    sites: Iterable[Site],
    stock: Mapping[int, Units],
    latitude: float,
    longitude: float,
) -> tuple[dict[int, dict[str, int]], dict[str, int]]:
    """Which warehouse sends what: ({site key: {sku: units}}, {sku: units short})."""

    def km(site: Site) -> float:
        return distance_km(latitude, longitude, site.latitude, site.longitude)

    if policy is fewest_shipments and (
        whole := [s for s in sites if _has_all(stock[s.key], wanted)]
    ):
        # Most orders end here, so they end here quickly.
        best = whole[0] if len(whole) == 1 else min(whole, key=lambda s: (s.priority, km(s), s.key))
        return ({best.key: dict(wanted)} if wanted else {}), {}
    offers = [_offer(site, km(site), wanted, stock[site.key]) for site in sites]
    offers = sorted((o for o in offers if o.units), key=lambda o: (o.km, o.site.key))
    there = {sku: sum(offer.units.get(sku, 0) for offer in offers) for sku in wanted}
    reach = {sku: min(units, there[sku]) for sku, units in wanted.items() if there[sku]}
    return _send(wanted, policy(offers, reach) if offers else [])


def _has_all(stock: Units, wanted: Units) -> bool:
    return all(stock.get(sku, 0) >= units for sku, units in wanted.items())


def _offer(site: Site, km: float, wanted: Units, stock: Units) -> Offer:
    there = {sku: units for sku in wanted if (units := stock.get(sku, 0)) > 0}
    return Offer(site, km, {sku: min(n, wanted[sku]) for sku, n in there.items()}, there)


def _send(
    wanted: Units, asked: Iterable[Offer]
) -> tuple[dict[int, dict[str, int]], dict[str, int]]:
    left = dict(wanted)
    parcels: dict[int, dict[str, int]] = {}
    for offer in asked:
        parcel = {sku: min(units, left[sku]) for sku, units in offer.units.items() if sku in left}
        if parcel:
            parcels[offer.site.key] = parcel
        for sku, units in parcel.items():
            left[sku] -= units
        left = {sku: units for sku, units in left.items() if units}
    return parcels, left
