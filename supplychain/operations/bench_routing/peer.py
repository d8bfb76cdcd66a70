"""The peer: OR-Tools as its guides set it up for vehicles with capacities and time windows, with
parallel cheapest insertion, guided local search and the time limit; defaults else."""

from __future__ import annotations

from typing import Any

from ortools.constraint_solver import pywrapcp, routing_enums_pb2

from .instances import Instance


def routes(instance: Instance, seconds: float) -> list[list[int]]:
    """Customers by route; [] when it found nothing in time."""
    manager = pywrapcp.RoutingIndexManager(instance.customers + 1, instance.vehicles, 0)
    model = pywrapcp.RoutingModel(manager)
    units: list[list[int]] = instance.units.tolist()

    def way(start: int, end: int) -> int:
        leg: int = units[manager.IndexToNode(start)][manager.IndexToNode(end)]
        return leg

    def way_and_service(start: int, end: int) -> int:
        service: int = instance.services[manager.IndexToNode(start)]
        return way(start, end) + service

    def demand(index: int) -> int:
        load: int = instance.demands[manager.IndexToNode(index)]
        return load

    model.SetArcCostEvaluatorOfAllVehicles(model.RegisterTransitCallback(way))
    closes = instance.windows[0][1]
    model.AddDimension(
        model.RegisterTransitCallback(way_and_service), closes, closes, False, "time"
    )
    capacities = [instance.capacity] * instance.vehicles
    model.AddDimensionWithVehicleCapacity(
        model.RegisterUnaryTransitCallback(demand), 0, capacities, True, "load"
    )
    time = model.GetDimensionOrDie("time")
    for customer in range(1, instance.customers + 1):
        time.CumulVar(manager.NodeToIndex(customer)).SetRange(*instance.windows[customer])
    for vehicle in range(instance.vehicles):
        time.CumulVar(model.Start(vehicle)).SetRange(*instance.windows[0])

    parameters = pywrapcp.DefaultRoutingSearchParameters()
    parameters.first_solution_strategy = (
        routing_enums_pb2.FirstSolutionStrategy.PARALLEL_CHEAPEST_INSERTION
    )
    parameters.local_search_metaheuristic = (
        routing_enums_pb2.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
    )
    parameters.time_limit.FromMilliseconds(round(seconds * 1000))
    solution = model.SolveWithParameters(parameters)
    return _routes(manager, model, solution, instance.vehicles) if solution else []


def _routes(manager: Any, model: Any, solution: Any, vehicles: int) -> list[list[int]]:
    found = []
    for vehicle in range(vehicles):
        index, route = model.Start(vehicle), []
        while not model.IsEnd(index := solution.Value(model.NextVar(index))):
            route.append(manager.IndexToNode(index))
        if route:
            found.append(route)
    return found
