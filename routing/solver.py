"""Promise: a plan within the time given that keeps every constraint, is never worse than the one
it started from, and tells for each stop left out the reason.

A plan is made at once, stop by stop, each where it costs least. Then an engine searches for
better ones until the time is up, with several seeds at once. What it finds is timed and checked
here; of all valid plans the validator's score decides.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from importlib import import_module
from types import ModuleType

from supplychain.errors import SupplyChainError

from . import validate
from .problem import Plan, Problem
from .reasons import hopeless
from .start import completed, orders_of

logger = logging.getLogger(__name__)

#: Imported when they are first asked for: they hold tens of MB, and most processes never plan.
ENGINES = {"pyvrp": "routing.engines.with_pyvrp", "ortools": "routing.engines.with_ortools"}
#: In this order, what "auto" takes: the first that covers the problem.
BEST_FIRST = (ENGINES["pyvrp"], "routing.engines.with_both", ENGINES["ortools"])
#: Part of the time that the first plan may take, and the seconds that it may take always.
FIRST_PART, FIRST_LEAST = 0.3, 0.5
#: Seconds, after the search, in which to put stops it has left out into its plan, if they fit.
LAST_SECONDS = 0.25


class UnknownEngine(SupplyChainError):
    """There is no such engine."""

    permanent = True


def solve(
    problem: Problem,
    *,
    seconds: float,
    engine: str = "auto",
    warm_start: Plan | None = None,
    seed: int = 1,
) -> Plan:
    """Plan the stops with at most one route per vehicle, within so many seconds and a little.

    ``engine`` is "ortools", "pyvrp" or "auto": PyVRP where it covers the problem, being clearly
    better there; where only breaks keep it from that, both in turn. ``warm_start`` may be a plan
    for other stops and vehicles: what is the same, stays, and with the problem it was made for
    the result is never worse.
    """
    began = time.monotonic()
    searcher = _engine(engine, problem)
    unserved = {stop.key: why for stop in problem.stops if (why := hopeless(problem, stop))}
    possible = problem
    if unserved:
        possible = problem.only([s for s in problem.stops if s.key not in unserved])
    plans = []
    if possible.stops:
        plans = _plans(possible, searcher, began, seconds, warm_start, seed)
    plans = [replace(plan, unserved={**unserved, **plan.unserved}) for plan in plans]
    return _best(problem, plans or [Plan((), unserved)], warm_start)


def _engine(name: str, problem: Problem) -> ModuleType:
    if name == "auto":
        engines = map(import_module, BEST_FIRST)
        return next((one for one in engines if one.covers(problem)), import_module(BEST_FIRST[-1]))
    if name not in ENGINES:
        raise UnknownEngine(f"There is no engine {name}; there are auto, {', '.join(ENGINES)}.")
    return import_module(ENGINES[name])


def _plans(
    problem: Problem,
    searcher: ModuleType,
    began: float,
    seconds: float,
    warm_start: Plan | None,
    seed: int,
) -> list[Plan]:
    """The first plan, and what a search has made of it; the better first."""
    # From now on: what loading an engine took, once in a process, must leave nobody without a plan.
    at_once = time.monotonic() + max(FIRST_LEAST, FIRST_PART * seconds)
    first = completed(problem, orders_of(problem, warm_start), until=at_once)
    until = began + seconds
    if len(problem.stops) == 1 or not searcher.covers(problem) or time.monotonic() >= until:
        return [first]
    warm = warm_start is not None
    seeds = [seed + number for number in range(_cores())]
    try:
        found = searcher.search(problem, first, warm=warm, until=until, seeds=seeds)
    except Exception:
        logger.exception("The search failed; the plan made at once stands.")
        return [first]
    last = time.monotonic() + LAST_SECONDS
    return [*(completed(problem, orders, until=last) for orders in found), first]


def _best(problem: Problem, plans: list[Plan], warm_start: Plan | None) -> Plan:
    """Of those that the validator passes. The first plan is made by the same arithmetic as all
    others: if it is the only one, it goes out as it is, for the caller's validator to judge."""
    if warm_start:
        plans = [*plans, warm_start]
    valid = [plan for plan in plans if not validate.violations(problem, plan)]
    return min(valid, key=lambda plan: validate.score(problem, plan), default=plans[0])


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
