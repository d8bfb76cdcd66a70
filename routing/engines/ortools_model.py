"""A problem in the terms of OR-Tools' routing library, and its search."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from ortools.constraint_solver import pywrapcp, routing_enums_pb2
from ortools.util import optional_boolean_pb2

from ..problem import Problem, Stop, Vehicle
from . import units

#: By vehicle, the stops in their order; both are numbers of their places in the problem.
Numbers = list[list[int]]
Tell = Callable[[Numbers], None]

#: With more stops than these, a step of a search costs so much that only cheap ones are taken.
MANY = 300
#: Seconds between two orders told.
TELL_EVERY = 1.0

_FIRST = routing_enums_pb2.FirstSolutionStrategy
_ON, _OFF = optional_boolean_pb2.BOOL_TRUE, optional_boolean_pb2.BOOL_FALSE


def orders_found(
    problem: Problem,
    start: Numbers,
    *,
    warm: bool,
    all_served: bool,
    until: float,
    seed: int,
    tell: Tell | None = None,
) -> Numbers | None:
    """The best orders found by then, of time.monotonic(); None when there are none.

    A ``warm`` start is searched from. Where it is known that all stops can be served, all must
    be, but for those with a prize. ``tell`` hears of better ones during the search; without it,
    the search lets other threads run now and then.
    """
    model = _Model(problem, seed, all_served=all_served)
    return model.search(start, warm=warm, until=until, tell=tell)


class _Model:
    """Node numbers are rows of the problem's matrices."""

    def __init__(self, problem: Problem, seed: int, *, all_served: bool) -> None:
        self._problem, self._all_served = problem, all_served
        self._costs = units.costs(problem)
        ends = [problem.ends_of(vehicle) for vehicle in problem.vehicles]
        starts, finishes = [list(side) for side in zip(*ends, strict=True)]
        size = len(problem.travel)
        self._manager = pywrapcp.RoutingIndexManager(size, len(ends), starts, finishes)
        self._model = pywrapcp.RoutingModel(self._manager)
        self._model.solver().ReSeed(seed)
        self._seed = seed
        self._horizon = max(vehicle.end_s for vehicle in problem.vehicles)
        metres, seconds = units.drivable(problem)
        self._add_costs(metres)
        self._add_time(seconds)
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

    def _add_costs(self, metres: Any) -> None:
        evaluators: dict[int, int] = {}
        for number, rate in enumerate(self._costs.metre):
            if rate not in evaluators:
                matrix = (metres * rate).tolist()
                evaluators[rate] = self._model.RegisterTransitMatrix(matrix)
            self._model.SetArcCostEvaluatorOfVehicle(evaluators[rate], number)
            self._model.SetFixedCostOfVehicle(self._costs.fixed[number], number)

    def _add_time(self, driving: Any) -> None:
        """Time from the start of service at one place to the arrival at the next."""
        service = [0] * len(self._problem.depots) + [s.service_s for s in self._problem.stops]
        legs = driving + [[seconds] for seconds in service]
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
            if rate := self._costs.second[number]:
                self._time.SetSpanCostCoefficientForVehicle(rate, number)
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
        if stop.prize is not None or not self._all_served:
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

    def search(
        self, start: Numbers, *, warm: bool, until: float, tell: Tell | None
    ) -> Numbers | None:
        parameters = self._parameters()
        # Already now: what is read from a start counts against it, too.
        _limit(parameters, until)
        self._model.CloseModelWithParameters(parameters)
        self._model.AddAtSolutionCallback(self._telling(tell) if tell else _let_others_run)
        for own in (False,) if warm else (True, False):
            _limit(parameters, until)
            if solution := self._solution(None if own else start, parameters):
                return self._orders(solution)
        return None

    def _solution(self, start: Numbers | None, parameters: Any) -> Any:
        if start is None:
            return self._model.SolveWithParameters(parameters)
        first = self._model.ReadAssignmentFromRoutes(self._nodes(start), True)
        if first is None:
            return None
        return self._model.SolveFromAssignmentWithParameters(first, parameters)

    def _telling(self, tell: Tell) -> Callable[[], None]:
        """Tells of a solution that is the best so far, unless it has just told of another."""
        best, last = 1 << 62, 0.0

        def heard() -> None:
            nonlocal best, last
            cost, now = self._model.CostVar().Min(), time.monotonic()
            if cost < best and now - last >= TELL_EVERY:
                best, last = cost, now
                tell(self._orders(None))

        return heard

    def _parameters(self) -> Any:
        """Two ways to search, of which neither was the better one on all benchmarks, for the odd
        and the even seeds: from savings, with costly steps as well; from insertions, with many
        cheap ones."""
        parameters = pywrapcp.DefaultRoutingSearchParameters()
        odd, count = self._seed % 2 == 1, len(self._problem.stops)
        parameters.first_solution_strategy = (
            _FIRST.SAVINGS if odd else _FIRST.PARALLEL_CHEAPEST_INSERTION
        )
        if odd and count <= MANY:
            parameters.local_search_operators.use_relocate_neighbors = _ON
        else:
            _only_cheap(parameters.local_search_operators)
        if count > 2:
            parameters.local_search_metaheuristic = (
                routing_enums_pb2.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
            )
        return parameters

    def _nodes(self, start: Numbers) -> list[list[int]]:
        first = len(self._problem.depots)
        return [[self._manager.NodeToIndex(first + number) for number in row] for row in start]

    def _orders(self, solution: Any) -> Numbers:
        """Of the solution at which the search is now, without one."""
        first, found = len(self._problem.depots), []
        for vehicle in range(len(self._problem.vehicles)):
            index, row = self._model.Start(vehicle), []
            while not self._model.IsEnd(index := self._next(solution, index)):
                row.append(self._manager.IndexToNode(index) - first)
            found.append(row)
        return found

    def _next(self, solution: Any, index: int) -> int:
        variable = self._model.NextVar(index)
        following: int = solution.Value(variable) if solution else variable.Value()
        return following


def _limit(parameters: Any, until: float) -> None:
    left = until - time.monotonic()
    parameters.time_limit.FromMilliseconds(max(10, int(left * 1000)))


def _only_cheap(operators: Any) -> None:
    """Without those that put whole routes or chains elsewhere."""
    operators.use_relocate_expensive_chain = _OFF
    operators.use_global_cheapest_insertion_path_lns = _OFF
    operators.use_local_cheapest_insertion_path_lns = _OFF
    operators.use_relocate_path_global_cheapest_insertion_insert_unperformed = _OFF


def _let_others_run() -> None:
    """The search holds Python's lock."""
    time.sleep(0)
