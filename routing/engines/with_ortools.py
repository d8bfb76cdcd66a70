"""Google OR-Tools' routing library: constraint programming with guided local search and large
neighbourhoods. It knows everything that a problem can ask for, breaks included.

Its search holds Python's lock from end to end, so a search of more than a moment runs in child
processes, one for each seed. They are started as programs of their own: a Celery worker's
processes are daemons, to which multiprocessing refuses children.
"""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ..problem import Key, Plan, Problem, Stop
from .ortools_model import Keys, orders_found

logger = logging.getLogger(__name__)

Orders = dict[Key, list[Stop]]

#: Below this many seconds a child is not worth its start.
WORTH_A_CHILD = 1.0
#: Seconds for a child's start, model and answer, taken from its search.
CHILD = 0.5
#: Seconds after the end of its search at which a child that has not answered is killed.
GRACE = 1.0

_ROOT = Path(__file__).resolve().parents[2]


def covers(problem: Problem) -> bool:
    return bool(problem.vehicles)


def search(
    problem: Problem, start: Plan, *, warm: bool, until: float, seeds: Sequence[int]
) -> list[Orders]:
    """The best orders of each seed, where it found any that keep all constraints. ``until`` is of
    time.monotonic(); the search ends a moment after it.

    A start that is not warm is left aside: OR-Tools makes itself a better one.
    """
    routes = start.routes if warm else ()
    began = {r.vehicle.key: [stop.key for stop in r.stops] for r in routes}
    left = until - time.monotonic()
    if left < WORTH_A_CHILD:
        found = [orders_found(problem, began, seconds=left, seed=seeds[0], alone=False)]
    else:
        found = _from_children(problem, began, until, seeds)
    stops = {stop.key: stop for stop in problem.stops}
    return [
        {vehicle: [stops[key] for key in keys] for vehicle, keys in orders.items()}
        for orders in found
        if orders is not None
    ]


def _from_children(
    problem: Problem, start: Keys, until: float, seeds: Sequence[int]
) -> list[Keys | None]:
    children = [_child() for _ in seeds]
    try:
        for child, seed in zip(children, seeds, strict=True):
            _ask(child, (problem, start, max(0.1, until - time.monotonic() - CHILD), seed))
        return [_answer(child, until) for child in children]
    finally:
        for child in children:
            child.kill()
            child.communicate()


def _child() -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", "routing.engines.ortools_child"]
    pipe = subprocess.PIPE
    return subprocess.Popen(program, stdin=pipe, stdout=pipe, stderr=pipe, cwd=_ROOT)  # noqa: S603


def _ask(child: subprocess.Popen[bytes], question: object) -> None:
    """One that has died already is found out when it does not answer."""
    assert child.stdin
    try:
        pickle.dump(question, child.stdin)
        child.stdin.flush()
    except BrokenPipeError:
        logger.warning("A child of the planner died before it was asked.")


def _answer(child: subprocess.Popen[bytes], until: float) -> Keys | None:
    """None for a child that died, as when it was out of memory, or that hangs."""
    try:
        answer, errors = child.communicate(timeout=max(0.1, until + GRACE - time.monotonic()))
    except subprocess.TimeoutExpired:
        logger.warning("A child of the planner gave no answer in time.")
        return None
    if child.returncode:
        logger.warning("A child of the planner failed: %s", errors.decode(errors="replace")[-2000:])
        return None
    found: Keys | None = pickle.loads(answer)  # noqa: S301 - our own child's words
    return found
