"""Travel by road, estimated: great-circle distance × circuity, with a speed that grows with the
distance (streets, then highways)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .problem import Place

EARTH_M = 6_371_000.0
#: Road distance over great-circle distance; about 1.3 for road networks (Ballou, Rahardja and
#: Sakai 2002, "Selected country circuity factors for road travel distance estimation").
CIRCUITY = 1.3
#: km/h for a leg of 0 m, and what it tends to for long ones.
CITY_KMH, ROAD_KMH = 28.0, 75.0
#: A leg of this many metres is driven half-way between the two speeds.
HALF_WAY_M = 25_000.0

Matrix = NDArray[np.int64]


def matrices(places: Sequence[Place]) -> tuple[Matrix, Matrix]:
    """(metres, seconds) between all places, row = from; both n × n, int64."""
    lat = np.radians([place.latitude for place in places])
    lon = np.radians([place.longitude for place in places])
    half_lat = np.sin((lat[:, None] - lat[None, :]) / 2) ** 2
    half_lon = np.sin((lon[:, None] - lon[None, :]) / 2) ** 2
    a = half_lat + np.cos(lat)[:, None] * np.cos(lat)[None, :] * half_lon
    metres = 2 * EARTH_M * np.arcsin(np.sqrt(np.clip(a, 0, 1))) * CIRCUITY
    kmh = CITY_KMH + (ROAD_KMH - CITY_KMH) * metres / (metres + HALF_WAY_M)
    seconds = metres / (kmh / 3.6)
    return metres.round().astype(np.int64), np.ceil(seconds).astype(np.int64)


def tour_m(places: Sequence[Place]) -> int:
    """Metres of a round trip through the places in this order, back to the first."""
    metres, _ = matrices(places)
    order = np.arange(len(places))
    return int(metres[order, np.roll(order, -1)].sum())
