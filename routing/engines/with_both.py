"""PyVRP, then OR-Tools: for problems with breaks, of which only OR-Tools knows, but for which it
alone needs far longer. PyVRP plans with shifts that are shorter by their breaks; what it finds is
timed with the breaks where they may lie, and OR-Tools goes on from there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from ..problem import Key, Plan, Problem, Stop, Vehicle
from ..start import completed, orders_of
from ..validate import score
from . import with_ortools, with_pyvrp

Orders = dict[Key, list[Stop]]

#: Of the time, PyVRP's.
FIRST_PART = 0.6
#: Seconds, at most, to find places for what did not fit with the breaks.
MENDING = 0.5


def covers(problem: Problem) -> bool:
    return with_ortools.covers(problem) and with_pyvrp.covers(_without_breaks(problem))


def search(
    problem: Problem, start: Plan, *, warm: bool, until: float, seeds: Sequence[int]
) -> list[Orders]:
    """The best orders of each engine and seed, where it found any. ``until`` is of
    time.monotonic(); the search ends a moment after it."""
    left = until - time.monotonic()
    mending = min(MENDING, 0.1 * left)
    relaxed = _without_breaks(problem)
    began = completed(relaxed, orders_of(relaxed, start), until=time.monotonic() + mending)
    ends = until - (1 - FIRST_PART) * left
    found = with_pyvrp.search(relaxed, began, warm=warm, until=ends, seeds=seeds)
    last = time.monotonic() + mending
    plans = [start, *(completed(problem, orders, until=last) for orders in found)]
    best = min(plans, key=lambda plan: score(problem, plan))
    better = best is not start
    later = with_ortools.search(problem, best, warm=warm or better, until=until, seeds=seeds)
    return [*later, {route.vehicle.key: list(route.stops) for route in best.routes}]


def _without_breaks(problem: Problem) -> Problem:
    return replace(problem, vehicles=tuple(map(_shortened, problem.vehicles)))


def _shortened(vehicle: Vehicle) -> Vehicle:
    """By the breaks that could lie within its shift."""
    resting = sum(
        rest.duration_s
        for rest in vehicle.breaks
        if rest.latest_s > vehicle.start_s and rest.earliest_s < vehicle.end_s
    )
    return replace(vehicle, breaks=(), end_s=max(vehicle.start_s, vehicle.end_s - resting))
