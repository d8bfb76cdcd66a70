"""One run of the bench, as a process of its own, so that its memory can be measured:

    python -m supplychain.operations.bench_routing.one '{"group": "solomon", …}'

It prints a JSON object, an Outcome.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from routing import validate
from routing.engines import with_pyvrp
from routing.problem import Plan, Problem
from routing.schedule import planned_route
from routing.solver import solve

from . import data, dynamic_day, dynamic_planner, peer, real_day
from .instances import Instance, cost_of, read_solomon, read_vrplib
from .sample import AUTO, EURO_DYNAMIC, EURO_STATIC, PEER, REAL_DAY, Task

ORTOOLS, PYVRP = "ortools", "pyvrp"


@dataclass(frozen=True)
class Outcome:
    """``cost`` is in the benchmark's unit, recomputed here; ``faults`` are the validator's words.
    ``searcher`` is the engine that ``auto`` took."""

    cost: float
    took_s: float
    routes: int = 0
    unserved: int = 0
    searcher: str = ""
    faults: list[str] = field(default_factory=list)
    #: Milliseconds, 99th percentile, of a promise while 1,000 stops are planned.
    promise_ms: float | None = None


def main() -> None:
    print(json.dumps(asdict(run(Task(**json.loads(sys.argv[1]))))))  # noqa: T201 - to its parent


def run(task: Task) -> Outcome:
    """Raises NoData, AgainstTheRules."""
    if task.group == EURO_DYNAMIC:
        return _dynamic(task)
    if task.group == REAL_DAY:
        return _real_day(task)
    return _static(task)


def instance_of(group: str, name: str) -> Instance:
    """Raises NoData, BadInstance."""
    if group == EURO_STATIC:
        return read_vrplib(data.text(data.folder() / "euro" / "instances" / f"{name}.txt"))
    return read_solomon(data.text(data.folder() / "vrptw" / group / f"{name}.txt"))


def _static(task: Task) -> Outcome:
    instance = instance_of(task.group, task.instance)
    problem = instance.problem()
    began = time.monotonic()
    if task.engine == PEER:
        routes = peer.routes(instance, task.seconds)
        took = time.monotonic() - began
        plan = plan_of(problem, routes)
    else:
        plan = solve(problem, seconds=task.seconds, engine=task.engine, seed=task.seed)
        took = time.monotonic() - began
        routes = [[stop.key for stop in route.stops] for route in plan.routes]
    return Outcome(
        cost_of(instance, routes),
        took,
        len(routes),
        instance.customers - sum(map(len, routes)),
        searcher(task.engine, problem),
        validate.violations(problem, plan),
    )


def searcher(engine: str, problem: Problem) -> str:
    """The engine that this one stands for."""
    if engine == AUTO:
        return PYVRP if with_pyvrp.covers(problem) else ORTOOLS
    return ORTOOLS if engine == PEER else engine


def plan_of(problem: Problem, routes: Sequence[Sequence[int]]) -> Plan:
    """The peer's routes, timed, for the validator; it finds missing what can't be timed."""
    stops = {stop.key: stop for stop in problem.stops}
    timed = [
        planned_route(problem, vehicle, [stops[key] for key in route])
        for vehicle, route in zip(problem.vehicles, routes, strict=False)
    ]
    visited = {key for route in routes for key in route}
    return Plan(
        tuple(route for route in timed if route),
        {key: "the search found no plan in time" for key in stops if key not in visited},
    )


def _dynamic(task: Task) -> Outcome:
    day = dynamic_day.read_day(task.instance)
    began = time.monotonic()
    planner = dynamic_planner.planner(day, task.engine, seconds=task.seconds, seed=task.seed)
    costs = dynamic_day.replay(day, planner)
    return Outcome(float(sum(costs.values())), time.monotonic() - began)


def _real_day(task: Task) -> Outcome:
    stops, later = real_day.read()
    began = time.monotonic()
    problem = real_day.problem(stops)
    plan = solve(problem, seconds=task.seconds, engine=task.engine, seed=task.seed)
    took = time.monotonic() - began
    return Outcome(
        plan.cost,
        took,
        len(plan.routes),
        len(plan.unserved),
        searcher(task.engine, problem),
        validate.violations(problem, plan),
        real_day.promise_ms(problem, plan, later),
    )


if __name__ == "__main__":
    main()
