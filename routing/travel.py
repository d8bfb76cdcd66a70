"""Travel by road, estimated: great-circle distance × circuity, with a speed that grows with the
distance (streets, then highways)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .problem import NO_WAY, Matrix, Place, Travel

EARTH_M = 6_371_000.0
#: Road distance over great-circle distance; about 1.3 for road networks (Ballou, Rahardja and
#: Sakai 2002, "Selected country circuity factors for road travel distance estimation").
CIRCUITY = 1.3
#: km/h for a leg of 0 m, and what it tends to for long ones.
CITY_KMH, ROAD_KMH = 28.0, 75.0
#: A leg of this many metres is driven half-way between the two speeds.
HALF_WAY_M = 25_000.0
#: Rows computed at once, so that memory stays small beside the matrices themselves.
ROWS = 512


class Provider(Protocol):
    """Knows how far it is."""

    def table(self, starts: Sequence[Place], ends: Sequence[Place]) -> tuple[Matrix, Matrix]:
        """(metres, seconds) from each start, a row, to each end; NO_WAY where there is none."""


class Estimate:
    """The provider that needs nobody else."""

    def table(self, starts: Sequence[Place], ends: Sequence[Place]) -> tuple[Matrix, Matrix]:
        to = _radians(ends)
        metres = np.empty((len(starts), len(ends)), dtype=np.int32)
        seconds = np.empty_like(metres)
        for row in range(0, len(starts), ROWS):
            part = slice(row, row + ROWS)
            metres[part], seconds[part] = _estimated(_radians(starts[part]), to)
        return metres, seconds


def _radians(places: Sequence[Place]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes and longitudes; NaN for what is not on Earth."""
    rows = [(p.latitude, p.longitude) if p.on_earth else (np.nan, np.nan) for p in places]
    both = np.radians(np.array(rows, dtype=float).reshape(-1, 2))
    return both[:, 0], both[:, 1]


def _estimated(
    starts: tuple[NDArray[np.float64], NDArray[np.float64]],
    ends: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> tuple[Matrix, Matrix]:
    """Haversines: exact for neighbours and antipodes alike."""
    half_lat = np.sin((starts[0][:, None] - ends[0][None, :]) / 2) ** 2
    half_lon = np.sin((starts[1][:, None] - ends[1][None, :]) / 2) ** 2
    a = half_lat + np.cos(starts[0])[:, None] * np.cos(ends[0])[None, :] * half_lon
    metres = 2 * EARTH_M * np.arcsin(np.sqrt(np.clip(a, 0, 1))) * CIRCUITY
    kmh = CITY_KMH + (ROAD_KMH - CITY_KMH) * metres / (metres + HALF_WAY_M)
    seconds = np.ceil(metres / (kmh / 3.6))
    return whole(metres.round()), whole(seconds)


def whole(numbers: NDArray[np.float64]) -> Matrix:
    """NO_WAY for what is not a number."""
    return np.nan_to_num(np.minimum(numbers, NO_WAY), nan=NO_WAY).astype(np.int32)


def matrices(places: Sequence[Place]) -> tuple[Matrix, Matrix]:
    """(metres, seconds) between all places as estimated, row = from."""
    return Estimate().table(places, places)


def travel(places: Sequence[Place], provider: Provider | None = None) -> Travel:
    """Between all of a problem's depots and stops, in this order."""
    return Travel(*(provider or Estimate()).table(places, places))


def extended(
    known: Travel, places: Sequence[Place], more: Sequence[Place], provider: Provider
) -> Travel:
    """What was known between ``places``, and the ways to and from more of them, the last."""
    out, back = provider.table(places, more), provider.table(more, [*places, *more])
    matrices = (known.metres, known.seconds)
    return Travel(*map(_extended, matrices, out, back))


def _extended(known: Matrix, out: Matrix, back: Matrix) -> Matrix:
    whole = np.empty((len(known) + len(back),) * 2, dtype=np.int32)
    whole[: len(known), : len(known)] = known
    whole[: len(known), len(known) :] = out
    whole[len(known) :] = back
    return whole
