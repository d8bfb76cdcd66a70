"""Promise: what is new is put into a plan at once, where it costs least; who stands in it keeps
their place and order as long as the day allows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from .problem import Key, Plan, Problem, Stop
from .reasons import hopeless
from .start import completed


def fitted(problem: Problem, orders: Mapping[Key, Sequence[Stop]], *, seconds: float) -> Plan:
    """The plan with these orders of stops by vehicle, and all others put in between, as far as
    that takes no longer."""
    unserved = {stop.key: why for stop in problem.stops if (why := hopeless(problem, stop))}
    possible = problem.only([stop for stop in problem.stops if stop.key not in unserved])
    if not possible.stops:
        return Plan((), unserved)
    kept = {
        key: [stop for stop in stops if stop.key not in unserved] for key, stops in orders.items()
    }
    plan = completed(possible, kept, until=time.monotonic() + seconds)
    return replace(plan, unserved=unserved | plan.unserved)
