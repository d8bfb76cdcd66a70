"""A problem in the terms of OR-Tools' routing library, and its search."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from ortools.constraint_solver import pywrapcp, routing_enums_pb2
from ortools.util import optional_boolean_pb2

from ..problem import Key, Problem, Stop, Vehicle
from . import units

#: Keys of stops in their order, by the key of the vehicle.
Keys = dict[Key, list[Key]]

_FIRST = routing_enums_pb2.FirstSolutionStrategy
_ON = optional_boolean_pb2.BOOL_TRUE


def orders_found(
    problem: Problem, start: Keys, *, seconds: float, seed: int, alone: bool
) -> Keys | None:
    """The best orders found from those given within this time; None for none better. ``alone``
    in its process, a search need not let other threads run now and then."""
    return _Model(problem, seed).search(start, seconds, alone=alone)


class _Model:
    """Node numbers are rows of the problem's matrices."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._problem = problem
        self._costs = units.costs(problem)
        ends = [problem.ends_of(vehicle) for vehicle in problem.vehicles]
        starts, finishes = [list(side) for side in zip(*ends, strict=True)]
        size = len(problem.travel)
        self._manager = pywrapcp.RoutingIndexManager(size, len(ends), starts, finishes)
        self._model = pywrapcp.RoutingModel(self._manager)
        self._model.solver().ReSeed(seed)
        self._seed = seed
        self._horizon = max(vehicle.end_s for vehicle in problem.vehicles)
        self._metres, self._seconds = units.drivable(problem)
        self._add_costs()
        self._add_time()
        self._add_loads()
        if any(stop.release_s > 0 for stop in problem.stops):
            self._add_releases()
        for place, stop in enumerate(problem.stops):
            self._add_stop(stop, self._costs.unserved[place])
        # Depots that no vehicle uses must not be visited either.
        for node in set(range(len(problem.depots))) - {*starts, *finishes}:
            index = self._manager.NodeToIndex(node)
            self._model.AddDisjunction([index], 0)
            self._model.ActiveVar(index).SetValue(0)

    def _index(self, stop: Stop) -> int:
        index: int = self._manager.NodeToIndex(self._problem.node_of[stop.key])
        return index

    def _add_costs(self) -> None:
        evaluators: dict[int, int] = {}
        for number, rate in enumerate(self._costs.metre):
            if rate not in evaluators:
                matrix = (self._metres * rate).tolist()
                evaluators[rate] = self._model.RegisterTransitMatrix(matrix)
            self._model.SetArcCostEvaluatorOfVehicle(evaluators[rate], number)
            self._model.SetFixedCostOfVehicle(self._costs.fixed[number], number)

    def _add_time(self) -> None:
        """Time from the start of service at one place to the arrival at the next."""
        service = [0] * len(self._problem.depots) + [s.service_s for s in self._problem.stops]
        legs = self._seconds + [[seconds] for seconds in service]
        transit = self._model.RegisterTransitMatrix(legs.tolist())
        self._model.AddDimension(transit, self._horizon, self._horizon, False, "time")
        self._time = self._model.GetDimensionOrDie("time")
        at_work = [0] * self._model.Size()
        for stop in self._problem.stops:
            at_work[self._index(stop)] = stop.service_s
        for number, vehicle in enumerate(self._problem.vehicles):
            shift = (vehicle.start_s, vehicle.end_s)
            start, end = self._model.Start(number), self._model.End(number)
            self._time.CumulVar(start).SetRange(*shift)
            self._time.CumulVar(end).SetRange(*shift)
            self._time.SetSpanCostCoefficientForVehicle(self._costs.second[number], number)
            self._model.AddVariableMinimizedByFinalizer(self._time.CumulVar(end))
            self._model.AddVariableMaximizedByFinalizer(self._time.CumulVar(start))
            if vehicle.breaks:
                self._time.SetBreakIntervalsOfVehicle(
                    list(self._breaks(number, vehicle)), number, at_work
                )

    def _breaks(self, number: int, vehicle: Vehicle) -> Iterator[Any]:
        solver, intervals = self._model.solver(), []
        for place, rest in enumerate(vehicle.breaks):
            name = f"break {place} of {number}"
            span = (rest.earliest_s, rest.latest_s, rest.duration_s)
            intervals.append(solver.FixedDurationIntervalVar(*span, False, name))
        for sooner, later in pairwise(intervals):
            solver.Add(sooner.EndExpr() <= later.StartExpr())
        yield from intervals

    def _add_loads(self) -> None:
        depots = [0] * len(self._problem.depots)
        for number, (loads, rooms) in enumerate(units.load_dimensions(self._problem)):
            callback = self._model.RegisterUnaryTransitVector([*depots, *loads])
            self._model.AddDimensionWithVehicleCapacity(callback, 0, rooms, True, f"load {number}")

    def _add_releases(self) -> None:
        """A clock that stands still from the departure on: at each stop it shows when the vehicle
        left."""
        still = self._model.RegisterUnaryTransitVector([0] * len(self._problem.travel))
        self._model.AddDimension(still, 0, self._horizon, False, "departure")
        departure = self._model.GetDimensionOrDie("departure")
        for number in range(len(self._problem.vehicles)):
            start = self._model.Start(number)
            shown = departure.CumulVar(start) == self._time.CumulVar(start)
            self._model.solver().Add(shown)
        for stop in self._problem.stops:
            departure.CumulVar(self._index(stop)).SetMin(max(0, stop.release_s))

    def _add_stop(self, stop: Stop, unserved: int) -> None:
        index = self._index(stop)
        self._model.AddDisjunction([index], unserved)
        able = [n for n, v in enumerate(self._problem.vehicles) if stop.skills <= v.skills]
        if len(able) < len(self._problem.vehicles):
            self._model.VehicleVar(index).SetValues([-1, *able])
        windows = sorted((max(0, a), min(b, self._horizon)) for a, b in stop.windows)
        windows = [(opens, closes) for opens, closes in windows if opens <= closes]
        if not windows:
            return
        time_of = self._time.CumulVar(index)
        latest = windows[0][1]
        for opens, closes in windows[1:]:
            if opens > latest + 1:
                time_of.RemoveInterval(latest + 1, opens - 1)
            latest = max(latest, closes)
        time_of.SetRange(windows[0][0], latest)

    def search(self, start: Keys, seconds: float, *, alone: bool) -> Keys | None:
        ends = time.monotonic() + seconds
        parameters = self._parameters()
        # Already now: what is read from a start counts against it, too.
        parameters.time_limit.FromMilliseconds(max(10, int(seconds * 1000)))
        self._model.CloseModelWithParameters(parameters)
        left = ends - time.monotonic()
        parameters.time_limit.FromMilliseconds(max(10, int(left * 1000)))
        if not alone:
            # The search holds Python's lock; each solution lets others run for a moment.
            self._model.AddAtSolutionCallback(lambda: time.sleep(0))
        solution = None
        if start:
            first = self._model.ReadAssignmentFromRoutes(self._nodes(start), True)
            if first is not None:
                solution = self._model.SolveFromAssignmentWithParameters(first, parameters)
        else:
            solution = self._model.SolveWithParameters(parameters)
            if not solution:
                parameters.first_solution_strategy = _FIRST.PARALLEL_CHEAPEST_INSERTION
                solution = self._model.SolveWithParameters(parameters)
        return self._orders(solution) if solution else None

    def _parameters(self) -> Any:
        parameters = pywrapcp.DefaultRoutingSearchParameters()
        # Savings were nearer to the best known values; insertions find what they miss.
        savings = self._seed % 2 == 1
        parameters.first_solution_strategy = (
            _FIRST.SAVINGS if savings else _FIRST.PARALLEL_CHEAPEST_INSERTION
        )
        operators = parameters.local_search_operators
        operators.use_cross_exchange = operators.use_relocate_neighbors = _ON
        if len(self._problem.stops) > 2:
            parameters.local_search_metaheuristic = (
                routing_enums_pb2.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
            )
        return parameters

    def _nodes(self, start: Keys) -> list[list[int]]:
        node_of = self._problem.node_of
        rows = [start.get(vehicle.key, ()) for vehicle in self._problem.vehicles]
        return [[self._manager.NodeToIndex(node_of[key]) for key in keys] for keys in rows]

    def _orders(self, solution: Any) -> Keys:
        first, found = len(self._problem.depots), {}
        for number, vehicle in enumerate(self._problem.vehicles):
            index, keys = self._model.Start(number), []
            while not self._model.IsEnd(index := solution.Value(self._model.NextVar(index))):
                stop = self._problem.stops[self._manager.IndexToNode(index) - first]
                keys.append(stop.key)
            if keys:
                found[vehicle.key] = keys
        return found
