"""OR-Tools' routing search on one problem that is small enough for it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from ortools.constraint_solver import pywrapcp, routing_enums_pb2

from .problem import PlannedRoute, Problem, Stop
from .schedule import drive
from .travel import Travel, TravelProvider

#: What using one more vehicle may cost in detours, metres.
VEHICLE_COST_M = 20_000
#: What leaving a stop out costs, metres: more than any tour on Earth.
PENALTY_M = 10**9
#: Up to this many stops descent finds the best order at once; guided search would only spend
#: its time limit on it.
TINY = 3
#: Loads are searched in whole grams and cm³.
GRAMS = CM3 = 1000
_FIRST = routing_enums_pb2.FirstSolutionStrategy.PARALLEL_CHEAPEST_INSERTION
_GUIDED = routing_enums_pb2.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
_DESCENT = routing_enums_pb2.LocalSearchMetaheuristic.GREEDY_DESCENT


def search(
    problem: Problem, time_limit: float, seed: int, travel: TravelProvider
) -> list[PlannedRoute]:
    """The best routes found; stops in none of them did not fit. Seconds.

    The same seed gives the same routes as long as the search ends by itself (see _Watch), not
    by its time limit.
    """
    if not problem.stops or not problem.vehicles:
        return []
    depot = (problem.depot.latitude, problem.depot.longitude)
    table = travel([depot, *((s.latitude, s.longitude) for s in problem.stops)])
    manager, routing = _model(problem, table)
    routing.solver().ReSeed(seed)
    solution = _run(routing, len(problem.stops), time_limit)
    if solution is None:  # too short for even a first solution: take that one, however late
        solution = _run(routing, len(problem.stops), 30.0, first_only=True)
    if solution is None:
        return []
    return _read(problem, table, manager, routing, solution)


def _model(problem: Problem, table: Travel) -> tuple[Any, Any]:
    manager = pywrapcp.RoutingIndexManager(len(problem.stops) + 1, len(problem.vehicles), 0)
    routing = pywrapcp.RoutingModel(manager)
    metres = routing.RegisterTransitMatrix(table.metres.tolist())
    routing.SetArcCostEvaluatorOfAllVehicles(metres)
    routing.SetFixedCostOfAllVehicles(VEHICLE_COST_M)
    _limit_loads(routing, problem)
    _limit_times(routing, manager, problem, table)
    for node, stop in enumerate(problem.stops, start=1):
        # A stop with a window may have no other day; one without has.
        penalty = PENALTY_M * (2 if stop.window else 1)
        routing.AddDisjunction([manager.NodeToIndex(node)], penalty)
    return manager, routing


def _limit_loads(routing: Any, problem: Problem) -> None:
    kg = [math.ceil(s.load_kg * GRAMS - 1e-6) for s in problem.stops]
    litres = [math.ceil(s.load_m3 * 1000 * CM3 - 1e-6) for s in problem.stops]
    kg_limits = [math.floor(v.capacity_kg * GRAMS + 1e-6) for v in problem.vehicles]
    m3_limits = [math.floor(v.capacity_m3 * 1000 * CM3 + 1e-6) for v in problem.vehicles]
    for name, loads, limits in (("kg", kg, kg_limits), ("m3", litres, m3_limits)):
        callback = routing.RegisterUnaryTransitVector([0, *loads])
        routing.AddDimensionWithVehicleCapacity(callback, 0, limits, True, name)


def _limit_times(routing: Any, manager: Any, problem: Problem, table: Travel) -> None:
    service = [0, *(s.service_s for s in problem.stops)]
    seconds = (table.seconds + [[s] for s in service]).tolist()
    horizon = max(v.shift_end_s for v in problem.vehicles)
    routing.AddDimension(
        routing.RegisterTransitMatrix(seconds), horizon, horizon, False, "time"
    )
    times = routing.GetDimensionOrDie("time")
    for node, stop in enumerate(problem.stops, start=1):
        if stop.window:
            opens, closes = max(0, stop.window.opens_s), min(horizon, stop.window.closes_s)
            times.CumulVar(manager.NodeToIndex(node)).SetRange(opens, closes)
    for number, vehicle in enumerate(problem.vehicles):
        for index in (routing.Start(number), routing.End(number)):
            times.CumulVar(index).SetRange(vehicle.shift_start_s, vehicle.shift_end_s)


def _run(routing: Any, stops: int, time_limit: float, *, first_only: bool = False) -> Any:
    parameters = pywrapcp.DefaultRoutingSearchParameters()
    parameters.first_solution_strategy = _FIRST
    parameters.local_search_metaheuristic = _DESCENT if stops <= TINY else _GUIDED
    parameters.time_limit.FromMilliseconds(max(1, int(time_limit * 1000)))
    if first_only:
        parameters.solution_limit = 1
    watch = _Watch(routing, patience=100 + 20 * stops)
    routing.AddAtSolutionCallback(watch)
    solution = routing.SolveWithParameters(parameters)
    watch.let_go()
    if watch.interrupted is not None:
        raise watch.interrupted
    return solution


class _Watch:
    """Ends a search that has stopped getting better, counted in solutions and not in seconds
    so that a slow machine finds the same plan; and lets other threads of this process run,
    because OR-Tools holds Python's lock while it searches."""

    def __init__(self, routing: Any, patience: int) -> None:
        self._routing = routing
        self._patience = patience
        self._best = math.inf
        self._since = 0
        self.interrupted: BaseException | None = None

    def let_go(self) -> None:
        """The model holds this callback where Python's collector doesn't see it: holding the
        model in turn would keep both for ever."""
        self._routing = None

    def __call__(self) -> None:
        try:
            self._look()
            time.sleep(0)
        except BaseException as interruption:  # noqa: BLE001 - must not pass through C++
            self.interrupted = interruption
            self._routing.solver().FinishCurrentSearch()

    def _look(self) -> None:
        cost = self._routing.CostVar().Value()
        self._since += 1
        if cost < self._best:
            self._best, self._since = cost, 0
        if self._since >= self._patience:
            self._routing.solver().FinishCurrentSearch()


def _read(
    problem: Problem, table: Travel, manager: Any, routing: Any, solution: Any
) -> list[PlannedRoute]:
    routes = []
    for number, vehicle in enumerate(problem.vehicles):
        nodes = _nodes(number, manager, routing, solution)
        stops: Sequence[Stop] = [problem.stops[node - 1] for node in nodes]
        route = drive(vehicle, stops, nodes, table) if nodes else None
        if route is not None:
            routes.append(route)
    return routes


def _nodes(number: int, manager: Any, routing: Any, solution: Any) -> list[int]:
    nodes, index = [], solution.Value(routing.NextVar(routing.Start(number)))
    while not routing.IsEnd(index):
        nodes.append(manager.IndexToNode(index))
        index = solution.Value(routing.NextVar(index))
    return nodes
