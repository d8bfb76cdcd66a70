"""Promise: what must leave now does, and what rides along costs less now than it would later.

Vehicles leave again and again, and what is ordered meanwhile may fit well with what has waited.
So a stop that could still be served later is not required: it has a prize, what serving it is
likely to cost another time, and is taken along where the detour costs less. Its measure are the
ways between the stop and the nearest of those customers who may order next: where many live, a
later vehicle passes by anyway. The more departures could still serve it, the more may come, and
the less it is worth to take it along now. A route on which nothing must go does not leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .problem import Key, Plan, Problem, Visit
from .solver import solve

MAY_WAIT = "it waits for a later departure"


@dataclass(frozen=True)
class Tuning:
    """``worth``: how many of the ways to its neighbours a stop's prize is; each departure after
    the next one that could still serve it takes the part ``patience`` from that. Neighbours are
    the nearest ``near`` of all customers. Tuned on three days of the EURO Meets NeurIPS 2022
    competition and tried on four others."""

    worth: float = 2.5
    patience: float = 0.3
    near: float = 0.06


TUNED = Tuning()
#: Later departures of a stop that are counted: of those beyond, none changes what it is worth.
COUNTED = 8


def neighbourly(ways: NDArray[Any], near: float = TUNED.near) -> NDArray[np.float64]:
    """By customer, the mean way to and from those nearest to it; at least to one. ``ways`` is what
    each way between all customers costs, row = from."""
    count = max(1, min(len(ways) - 1, round(near * len(ways))))
    apart = ways.astype(np.float64)
    np.fill_diagonal(apart, np.inf)
    there = np.sort(apart, axis=1)[:, :count].mean(axis=1)
    back = np.sort(apart, axis=0)[:count].mean(axis=0)
    mean: NDArray[np.float64] = (there + back) / 2
    return mean


def prize(neighbours: float, left: int, tuning: Tuning = TUNED) -> float | None:
    """Of a stop with such ways to its neighbours, which so many later departures could serve;
    None for one that must go now."""
    if left <= 0:
        return None
    return max(0.0, tuning.worth * neighbours * (1 - tuning.patience * (left - 1)))


def leaving_now(
    problem: Problem,
    left: Mapping[Key, int],
    neighbours: Mapping[Key, float],
    *,
    seconds: float,
    seed: int = 1,
    tuning: Tuning = TUNED,
    anyway: Mapping[Key, float] | None = None,
    warm_start: Plan | None = None,
) -> Plan:
    """The routes that leave now, of all that waits; who is left says so with MAY_WAIT, or why
    nobody can serve it. ``left`` and ``neighbours`` are by stop, see ``prize``; they decide what
    a stop is worth, not the prizes of the problem. ``anyway``: what it costs to serve a stop,
    whenever that is."""
    prizes = {key: prize(neighbours[key], count, tuning) for key, count in left.items()}
    must_go = {key for key, worth in prizes.items() if worth is None}
    if not must_go:
        return Plan((), {stop.key: MAY_WAIT for stop in problem.stops})
    always = anyway or {}
    stops = tuple(
        replace(stop, prize=None if worth is None else worth + always.get(stop.key, 0.0))
        for stop in problem.stops
        for worth in (prizes[stop.key],)
    )
    valued = replace(problem, stops=stops)
    found = solve(valued, seconds=seconds, seed=seed, warm_start=warm_start)
    given = {stop.key: stop for stop in problem.stops}
    routes = [
        replace(route, visits=tuple(Visit(given[v.stop.key], v.arrival_s) for v in route.visits))
        for route in found.routes
        if not must_go.isdisjoint(stop.key for stop in route.stops)
    ]
    gone = {stop.key for route in routes for stop in route.stops}
    waits = {key: MAY_WAIT for key in given if key not in gone}
    lost = {key: why for key, why in found.unserved.items() if key in must_go}
    return Plan(tuple(routes), {**waits, **lost})
