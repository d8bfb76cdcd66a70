"""Promise: of what an order wants, every unit is either taken from stock that is there or left
over as short; with as few shipments as possible, the nearest warehouse first.

Plain values, no database: what may be taken is what ``available`` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt

EARTH_KM = 6371.0


@dataclass(frozen=True)
class Site:
    """A warehouse that may ship; degrees, WGS 84."""

    key: int
    latitude: float
    longitude: float


def distance_km(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Great-circle distance (haversine), in km."""
    a = sin(radians(lat2 - lat1) / 2) ** 2
    a += cos(radians(lat1)) * cos(radians(lat2)) * sin(radians(lon2 - lon1) / 2) ** 2
    return 2 * EARTH_KM * asin(sqrt(min(1.0, a)))


def choose(
    wanted: Mapping[str, int],
    sites: list[Site],
    available: Mapping[tuple[int, str], int],
    latitude: float,
    longitude: float,
) -> tuple[dict[int, dict[str, int]], dict[str, int]]:
    """Which warehouse sends what: ({site key: {sku: units}}, {sku: units short}).

    Greedy set cover: the warehouse that can send most of what is still wanted ships it, the
    nearest of equals; then the next. One that has everything is thus always alone.
    """
    by_distance = sorted(
        sites, key=lambda s: (distance_km(latitude, longitude, s.latitude, s.longitude), s.key)
    )
    left = dict(wanted)
    parcels: dict[int, dict[str, int]] = {}
    while left and by_distance:
        offers = [_offer(site.key, left, available) for site in by_distance]
        best = max(range(len(offers)), key=lambda i: (sum(offers[i].values()), -i))
        if not offers[best]:
            break
        site = by_distance.pop(best)
        parcels[site.key] = offers[best]
        for sku, units in offers[best].items():
            left[sku] -= units
        left = {sku: units for sku, units in left.items() if units}
    return parcels, left


def _offer(
    site: int, wanted: Mapping[str, int], available: Mapping[tuple[int, str], int]
) -> dict[str, int]:
    offer = {sku: min(units, available.get((site, sku), 0)) for sku, units in wanted.items()}
    return {sku: units for sku, units in offer.items() if units > 0}
