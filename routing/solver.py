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
#: Seconds of search: a base, and more with each stop.
SEARCH_BASE, SEARCH_PER_STOP = 0.2, 0.02


def solve(problem: Problem, *, seconds: float) -> Plan:
    """Plan all stops with at most one route per vehicle; ``seconds`` bounds the search."""
    unserved = {stop.key: reason for stop in problem.stops if (reason := _hopeless(problem, stop))}
    open_stops = [stop for stop in problem.stops if stop.key not in unserved]
    free = list(problem.vehicles)
    routes: list[PlannedRoute] = []
    sectors = list(_sectors(problem, open_stops))
    for number, sector in enumerate(sectors):
        limit = min(SEARCH_BASE + SEARCH_PER_STOP * len(sector), seconds / len(sectors))
        # When vehicles are few, every sector gets its share of them, not the first one all.
        share = free[: math.ceil(len(free) / (len(sectors) - number))]
        found = _solve_sector(problem, sector, share, max(limit, 0.05)) if share else []
        used = {route.vehicle.key for route in found}
        free = [vehicle for vehicle in free if vehicle.key not in used]
        routes += found
    served = {visit.stop.key for route in routes for visit in route.visits}
    for stop in open_stops:
        if stop.key not in served:
            unserved[stop.key] = "the vehicles that are free have no room or time left for it"
    return Plan(tuple(routes), unserved)


def _hopeless(problem: Problem, stop: Stop) -> str:
    """Why no vehicle could serve this stop even alone; "" when one could."""
    if not (math.isfinite(stop.place.latitude) and math.isfinite(stop.place.longitude)):
        return "its coordinates are not numbers"
    if stop.window and stop.window[1] < stop.window[0]:
        return "its delivery window closes before it opens"
    if not problem.vehicles:
        return "no vehicle is free"
    if not any(v.capacity_kg >= stop.load_kg for v in problem.vehicles):
        return f"{stop.load_kg:g} kg are more than any vehicle carries"
    if not any(v.capacity_m3 >= stop.load_m3 for v in problem.vehicles):
        return f"{stop.load_m3:g} m³ are more than any vehicle holds"
    if any(_fits_alone(problem, stop, vehicle) for vehicle in problem.vehicles):
        return ""
    return "no vehicle reaches it within its window and is back before its shift ends"


def _fits_alone(problem: Problem, stop: Stop, vehicle: Vehicle) -> bool:
    _, seconds = matrices([problem.depot, stop.place])
    arrival = vehicle.start_s + int(seconds[0, 1])
    if stop.window:
        if arrival > stop.window[1]:
            return False
        arrival = max(arrival, stop.window[0])
    fits = stop.load_kg <= vehicle.capacity_kg and stop.load_m3 <= vehicle.capacity_m3
    return fits and arrival + stop.service_s + int(seconds[1, 0]) <= vehicle.end_s


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
    model = _Model(stops, vehicles, seconds)
    solution = model.search(limit)
    return list(model.routes(solution, metres)) if solution else []


class _Model:
    """One OR-Tools routing model: node 0 is the depot, node i the i-th stop."""

    def __init__(self, stops: Sequence[Stop], vehicles: Sequence[Vehicle], seconds: Matrix) -> None:
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
        self._add_time(transit)
        self._add_load("kg", [s.load_kg for s in stops], [v.capacity_kg for v in vehicles], 1e3)
        self._add_load("m3", [s.load_m3 for s in stops], [v.capacity_m3 for v in vehicles], 1e6)
        for node in range(1, len(stops) + 1):
            self._model.AddDisjunction([self._manager.NodeToIndex(node)], DROP_COST)

    def _add_time(self, transit: int) -> None:
        horizon = max(vehicle.end_s for vehicle in self._vehicles)
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
