"""Promise: a plan within the time given, that keeps every constraint, and for each stop left
out the reason. The engine is Google OR-Tools' routing library.

Problems of many stops are cut into sectors around the depot, as a dispatcher would (sweep;
Gillett and Miller 1974), so that memory and time stay flat.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ortools.constraint_solver import pywrapcp, routing_enums_pb2

from .problem import Plan, PlannedRoute, Problem, Stop, Vehicle, Visit
from .travel import Matrix, matrices

#: Stops in one sector.
SECTOR = 120
#: Leaving out a stop costs more than any detour; using a vehicle as much as driving this long.
DROP_COST = 100_000_000
VEHICLE_COST = 1800
#: Seconds of search in a sector: a base, and more with each stop; never less than the least.
SEARCH_BASE, SEARCH_PER_STOP, SEARCH_LEAST = 0.2, 0.02, 0.1
_NO_ROOM = "the vehicles that are free have no room or time left for it"


def solve(problem: Problem, *, seconds: float) -> Plan:
    """Plan the stops with at most one route per vehicle; ``seconds`` bounds the search, but for
    the least that each sector gets.

    Stops come in the order of their urgency: of more than the vehicles could visit, the first
    are planned.
    """
    unserved = {stop.key: reason for stop in problem.stops if (reason := _hopeless(problem, stop))}
    possible = [stop for stop in problem.stops if stop.key not in unserved]
    unserved |= {stop.key: _NO_ROOM for stop in possible}
    routes = _plan_sectors(problem, possible[: SECTOR * len(problem.vehicles)], seconds)
    for visit in (visit for route in routes for visit in route.visits):
        del unserved[visit.stop.key]
    return Plan(tuple(routes), unserved)


def _plan_sectors(problem: Problem, stops: Sequence[Stop], seconds: float) -> list[PlannedRoute]:
    """Sector by sector; then what is left over, from all sectors, with the vehicles left over."""
    free, left = list(problem.vehicles), {stop.key: stop for stop in stops}
    routes: list[PlannedRoute] = []
    sectors: list[Sequence[Stop]] = [*_sectors(problem, stops), ()]
    for number, sector in enumerate(sectors):
        last = number == len(sectors) - 1
        todo = list(left.values())[:SECTOR] if last else sector
        # When vehicles are few, every sector gets its share of them, not the first one all.
        share = free if last else free[: math.ceil(len(free) / (len(sectors) - 1 - number))]
        if not (todo and share):
            continue
        limit = min(SEARCH_BASE + SEARCH_PER_STOP * len(todo), seconds / len(sectors))
        found = _solve_sector(problem, todo, share, max(limit, SEARCH_LEAST))
        used = {route.vehicle.key for route in found}
        free = [vehicle for vehicle in free if vehicle.key not in used]
        for visit in (visit for route in found for visit in route.visits):
            del left[visit.stop.key]
        routes += found
    return routes


def _hopeless(problem: Problem, stop: Stop) -> str:
    """Why no vehicle could serve this stop even alone; "" when one could."""
    if not all(map(math.isfinite, (stop.place.latitude, stop.place.longitude))):
        return "its coordinates are not numbers"
    if stop.window and stop.window[1] < stop.window[0]:
        return "its delivery window closes before it opens"
    if not problem.vehicles:
        return "no vehicle is free"
    large = [v for v in problem.vehicles if v.capacity_kg >= stop.load_kg]
    if not large:
        return f"{stop.load_kg:g} kg are more than any vehicle carries"
    large = [v for v in large if v.capacity_m3 >= stop.load_m3]
    if not large:
        return f"{stop.load_m3:g} m³ are more than any vehicle for its weight holds"
    _, seconds = matrices([problem.depot, stop.place])
    there, back = int(seconds[0, 1]), int(seconds[1, 0])
    if any(_in_time(stop, vehicle, there, back) for vehicle in large):
        return ""
    return "no vehicle reaches it within its window and is back before its shift ends"


def _in_time(stop: Stop, vehicle: Vehicle, there: int, back: int) -> bool:
    arrival = vehicle.start_s + there
    if stop.window:
        if arrival > stop.window[1]:
            return False
        arrival = max(arrival, stop.window[0])
    return arrival + stop.service_s + back <= vehicle.end_s


def _sectors(problem: Problem, stops: Sequence[Stop]) -> Iterator[list[Stop]]:
    if not stops:
        return
    around = sorted(stops, key=lambda s: _angle(problem, s))
    count = math.ceil(len(around) / SECTOR)
    size = math.ceil(len(around) / count)
    for start in range(0, len(around), size):
        yield around[start : start + size]


def _angle(problem: Problem, stop: Stop) -> float:
    north = stop.place.latitude - problem.depot.latitude
    return math.atan2(north, stop.place.longitude - problem.depot.longitude)


def _solve_sector(
    problem: Problem, stops: Sequence[Stop], vehicles: Sequence[Vehicle], limit: float
) -> list[PlannedRoute]:
    metres, seconds = matrices([problem.depot, *(stop.place for stop in stops)])
    # The horizon of all vehicles, not only of these: it has to reach every stop's window.
    model = _Model(stops, vehicles, seconds, max(v.end_s for v in problem.vehicles))
    solution = model.search(limit)
    return list(model.routes(solution, metres)) if solution else []


class _Model:
    """One OR-Tools routing model: node 0 is the depot, node i the i-th stop."""

    def __init__(
        self, stops: Sequence[Stop], vehicles: Sequence[Vehicle], seconds: Matrix, horizon: int
    ) -> None:
        self._stops, self._vehicles = stops, vehicles
        self._manager = pywrapcp.RoutingIndexManager(len(stops) + 1, len(vehicles), 0)
        self._model = pywrapcp.RoutingModel(self._manager)
        service = [0, *(stop.service_s for stop in stops)]
        # Time from the start of service at one place to the arrival at the next.
        legs = seconds + [[s] for s in service]
        transit = self._model.RegisterTransitMatrix(legs.tolist())
        drive = self._model.RegisterTransitMatrix(seconds.tolist())
        self._model.SetArcCostEvaluatorOfAllVehicles(drive)
        self._model.SetFixedCostOfAllVehicles(VEHICLE_COST)
        self._add_time(transit, horizon)
        self._add_load("kg", [s.load_kg for s in stops], [v.capacity_kg for v in vehicles], 1e3)
        self._add_load("m3", [s.load_m3 for s in stops], [v.capacity_m3 for v in vehicles], 1e6)
        for node in range(1, len(stops) + 1):
            self._model.AddDisjunction([self._manager.NodeToIndex(node)], DROP_COST)

    def _add_time(self, transit: int, horizon: int) -> None:
        self._model.AddDimension(transit, horizon, horizon, False, "time")
        self._time = self._model.GetDimensionOrDie("time")
        for index, vehicle in enumerate(self._vehicles):
            shift = (vehicle.start_s, vehicle.end_s)
            self._time.CumulVar(self._model.Start(index)).SetRange(*shift)
            self._time.CumulVar(self._model.End(index)).SetRange(*shift)
            self._model.AddVariableMinimizedByFinalizer(self._time.CumulVar(self._model.End(index)))
        for node, stop in enumerate(self._stops, start=1):
            if stop.window:
                low, high = max(0, stop.window[0]), min(horizon, stop.window[1])
                self._time.CumulVar(self._manager.NodeToIndex(node)).SetRange(low, high)

    def _add_load(
        self, name: str, loads: list[float], capacities: list[float], scale: float
    ) -> None:
        """The solver counts in whole units; loads round up and capacities down."""
        vector = [0, *(math.ceil(load * scale - 1e-6) for load in loads)]
        callback = self._model.RegisterUnaryTransitVector(vector)
        limits = [math.floor(capacity * scale + 1e-6) for capacity in capacities]
        self._model.AddDimensionWithVehicleCapacity(callback, 0, limits, True, name)

    def search(self, limit: float) -> Any:
        parameters = pywrapcp.DefaultRoutingSearchParameters()
        parameters.first_solution_strategy = (
            routing_enums_pb2.FirstSolutionStrategy.PARALLEL_CHEAPEST_INSERTION
        )
        if len(self._stops) > 2:
            parameters.local_search_metaheuristic = (
                routing_enums_pb2.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
            )
        parameters.time_limit.FromMilliseconds(int(limit * 1000))
        # The search holds Python's lock from end to end; in a process with other threads (the
        # embedded default) it would stop them all. Each solution lets them run for a moment.
        self._model.AddAtSolutionCallback(lambda: time.sleep(0))
        return self._model.SolveWithParameters(parameters)

    def routes(self, solution: Any, metres: Matrix) -> Iterator[PlannedRoute]:
        for number, vehicle in enumerate(self._vehicles):
            index, visits, distance = self._model.Start(number), [], 0
            departure = solution.Min(self._time.CumulVar(index))
            here = 0
            while not self._model.IsEnd(index := solution.Value(self._model.NextVar(index))):
                node = self._manager.IndexToNode(index)
                distance += int(metres[here, node])
                arrival = solution.Min(self._time.CumulVar(index))
                visits.append(Visit(self._stops[node - 1], arrival))
                here = node
            if visits:
                distance += int(metres[here, 0])
                back = solution.Min(self._time.CumulVar(index))
                yield PlannedRoute(vehicle, tuple(visits), departure, back, distance)
