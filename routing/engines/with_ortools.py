"""Google OR-Tools' routing library: constraint programming with guided local search. It knows
everything that a problem can ask for, breaks included.

Its search holds Python's lock from end to end, so a search of more than a moment runs in child
processes, one for each seed. They are started as programs of their own: a Celery worker's
processes are daemons, to which multiprocessing refuses children. A child tells what it has found
as it goes on, so that one that dies, hangs or overruns its time costs only its last second.
"""

from __future__ import annotations

import json
import logging
import pickle
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from ..problem import Key, Plan, Problem, Stop, Vehicle
from .ortools_model import Numbers, orders_found

logger = logging.getLogger(__name__)

Orders = dict[Key, list[Stop]]

#: Below this many seconds a child is not worth its start.
WORTH_A_CHILD = 1.0
#: Seconds after the end of its search at which a child that has not ended is killed.
GRACE = 1.0
#: Part of a search's end that a child leaves for what comes after it, at most so many seconds.
LAST_PART, LAST = 0.1, 0.5
#: Idle vehicles of one kind left in the problem of who has a place for every stop: each of them
#: makes every step slower. So many, and more by this part of the vehicles in use.
SPARE, SPARE_PART = 3, 0.3

#: Stops that it can bear.
MOST_STOPS = 2500

_ROOT = Path(__file__).resolve().parents[2]


def covers(problem: Problem) -> bool:
    """With more stops its model would take more than a GB for each seed."""
    return bool(problem.vehicles) and len(problem.stops) <= MOST_STOPS


def search(
    problem: Problem, start: Plan, *, warm: bool, until: float, seeds: Sequence[int]
) -> list[Orders]:
    """The best orders of each seed, where it found any that keep all constraints. ``until`` is of
    time.monotonic(); the search ends a moment after it.

    A start that is not warm is left aside for a better one, if OR-Tools can make itself one.
    """
    all_served = sum(len(route.visits) for route in start.routes) == len(problem.stops)
    if all_served:
        problem = _without_surplus(problem, start)
    began, left = _numbers(problem, start), until - time.monotonic()
    how: dict[str, Any] = {"warm": warm, "all_served": all_served, "until": until}
    if left < WORTH_A_CHILD:
        found = [orders_found(problem, began, seed=seeds[0], **how)]
    else:
        how["until"] -= min(LAST, LAST_PART * left)
        found = _from_children(problem, (problem, began, how), until + GRACE, seeds)
    return [_named(problem, numbers) for numbers in found if numbers is not None]


def _without_surplus(problem: Problem, start: Plan) -> Problem:
    """With fewer of the vehicles that the start leaves idle."""
    used = {route.vehicle.key for route in start.routes}
    most = SPARE + int(SPARE_PART * len(used))
    idle: Counter[Vehicle] = Counter()
    kept = []
    for vehicle in problem.vehicles:
        kind = replace(vehicle, key=None)
        if vehicle.key in used or idle[kind] < most:
            kept.append(vehicle)
            idle[kind] += vehicle.key not in used
    return replace(problem, vehicles=tuple(kept))


def _numbers(problem: Problem, plan: Plan) -> Numbers:
    first = len(problem.depots)
    orders = {
        route.vehicle.key: [problem.node_of[stop.key] - first for stop in route.stops]
        for route in plan.routes
    }
    return [orders.get(vehicle.key, []) for vehicle in problem.vehicles]


def _named(problem: Problem, numbers: Numbers) -> Orders:
    pairs = zip(problem.vehicles, numbers, strict=True)
    return {vehicle.key: [problem.stops[n] for n in row] for vehicle, row in pairs if row}


# --- child processes ------------------------------------------------------------------------


def _from_children(
    problem: Problem, question: Any, until: float, seeds: Sequence[int]
) -> list[Numbers | None]:
    packed = pickle.dumps(question, protocol=pickle.HIGHEST_PROTOCOL)
    with ThreadPoolExecutor(len(seeds), thread_name_prefix="ortools") as pool:
        said = pool.map(lambda seed: _asked(packed, until, seed), seeds)
        return [_last_told(problem, lines) for lines in said]


def _asked(question: bytes, until: float, seed: int) -> bytes:
    """All that a child has said in its time, whatever became of it."""
    program = [sys.executable, "-m", "routing.engines.ortools_child", str(seed)]
    try:
        child = subprocess.run(  # noqa: S603 - our own module
            program,
            input=question,
            capture_output=True,
            cwd=_ROOT,
            timeout=max(0.1, until - time.monotonic()),
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        logger.warning("A child of the planner did not end in time and was killed.")
        said: bytes = late.stdout or b""
        return said
    if child.returncode:
        errors = child.stderr.decode(errors="replace")[-2000:]
        logger.warning("A child of the planner failed (%d): %s", child.returncode, errors)
    return child.stdout


def _last_told(problem: Problem, lines: bytes) -> Numbers | None:
    """The last orders among its words; it may have died in the middle of them."""
    for line in reversed(lines.splitlines()):
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if _are_orders(problem, told):
            found: Numbers = told
            return found
    if lines.strip():
        logger.warning("A child of the planner said nothing that makes sense.")
    return None


def _are_orders(problem: Problem, told: Any) -> bool:
    """Each vehicle's stops, none of them twice."""
    if not isinstance(told, list) or not all(isinstance(row, list) for row in told):
        return False
    numbers = list(chain(*told))
    return (
        len(told) == len(problem.vehicles)
        and all(type(number) is int and 0 <= number < len(problem.stops) for number in numbers)
        and len(set(numbers)) == len(numbers)
    )
