"""Promise: engines count in whole numbers and lose nothing by it: costs keep their proportions,
loads never round in their favour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..problem import NO_WAY, Matrix, Problem

#: Costs of a metre and of a second keep their proportion to this part.
PRECISE = 1e-3
#: Beside the largest rate, one this small is nothing; a largest one this small is nothing, too.
NOTHING, FREE = 1e-4, 1e-12
#: Whole units of a kg, a m³, an item.
LOAD_UNITS = (1e3, 1e6, 1e3)
#: No whole number given to an engine is larger: sums of thousands stay within 64 bits.
LARGEST = 1 << 43


@dataclass(frozen=True)
class Costs:
    """By vehicle, in whole units; ``unserved`` by stop."""

    metre: list[int]
    second: list[int]
    fixed: list[int]
    unserved: list[int]


def costs(problem: Problem) -> Costs:
    """Leaving out a required stop costs more than any detour, times its weight."""
    vehicles = problem.vehicles
    metre = [v.cost_per_km / 1000 for v in vehicles]
    second = [v.cost_per_hour / 3600 for v in vehicles]
    if max(metre + second) < FREE:
        # Where the way costs nothing, a shorter one is still the better of two.
        metre = [1e-6] * len(vehicles)
    scale = _scale([*metre, *second])
    fixed = [_whole(v.fixed_cost * scale) for v in vehicles]
    metres, seconds = [round(c * scale) for c in metre], [round(c * scale) for c in second]
    longest = max(v.end_s - v.start_s for v in vehicles)
    detour = 2 * farthest(problem.travel.metres) * max(metres) + longest * max(seconds)
    out = max(1, 2 * (max(fixed) + detour))
    unserved = [
        _whole(s.weight * out if s.prize is None else s.prize * scale) for s in problem.stops
    ]
    return Costs(metres, seconds, fixed, unserved)


def _scale(rates: Sequence[float]) -> float:
    """So that the rates become small whole numbers, nearly in proportion; what is next to nothing
    beside the largest becomes nothing."""
    most = max(rates)
    some = sorted({rate for rate in rates if rate >= most * NOTHING})
    for units in range(1, 1000):
        scale = units / some[0]
        if all(abs(round(rate * scale) - rate * scale) <= PRECISE * rate * scale for rate in some):
            return scale
    return 1000 / some[0]


def _whole(value: float) -> int:
    return round(min(LARGEST, value))


def farthest(matrix: Matrix) -> int:
    """The longest leg that can be driven."""
    return int(matrix.max(initial=0, where=matrix < NO_WAY))


def drivable(problem: Problem) -> tuple[Any, Any]:
    """(metres, seconds), 64 bits, NO_WAY shortened to what is still too long for any shift."""
    metres, seconds = problem.travel.metres, problem.travel.seconds
    horizon = max(v.end_s for v in problem.vehicles)
    too_far = 2 * farthest(metres) + 1
    closed = seconds > horizon
    return (
        np.where(metres == NO_WAY, too_far, metres).astype(np.int64),
        np.where(closed, horizon + 1, seconds).astype(np.int64),
    )


def load_dimensions(problem: Problem) -> list[tuple[list[int], list[int]]]:
    """(load by stop, capacity by vehicle) for kg, m³, items and number of stops; only of those
    that could bind. Loads are rounded up and capacities down."""
    kinds: list[tuple[Sequence[float], Sequence[float], float]] = [
        (
            [stop.loads[kind] for stop in problem.stops],
            [vehicle.capacities[kind] for vehicle in problem.vehicles],
            unit,
        )
        for kind, unit in enumerate(LOAD_UNITS)
    ]
    numbers = [math.inf if v.max_stops is None else v.max_stops for v in problem.vehicles]
    kinds.append(([1] * len(problem.stops), numbers, 1e3))
    found = []
    for loads, capacities, unit in kinds:
        whole = [min(LARGEST, math.ceil(load * unit - 1e-6)) for load in loads]
        total = sum(whole)
        rooms = [min(total, _down(capacity * unit)) for capacity in capacities]
        if total > min(rooms):
            found.append((whole, rooms))
    return found


def _down(capacity: float) -> int:
    return LARGEST * LARGEST if math.isinf(capacity) else math.floor(capacity + 1e-6)
