"""PyVRP: iterated local search over penalised solutions, the better engine of the two on what it
covers (figures in README). Its C++ code lets other Python threads run, so several seeds search
at once in threads of this process, and a worker's heartbeat goes on."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from pyvrp import (
    Activity,
    ActivityType,
    Client,
    ClientGroup,
    Depot,
    Location,
    PenaltyParams,
    ProblemData,
    Route,
    Solution,
    SolveParams,
    VehicleType,
)
from pyvrp import solve as search_once

from ..problem import Key, Plan, Problem, Stop, Vehicle, Window
from . import units

Orders = dict[Key, list[Stop]]

#: Matrices of their own for vehicles with other skills; more would cost too much memory.
PROFILES = 8
#: What a unit of a violated constraint costs at most, in units of the dearest metre or second.
PENALTY = 100_000.0
#: After so many solutions the penalties change: with few stops sooner than PyVRP's 500, which is
#: too slow for searches of seconds (mean gap of 7 Solomon instances, best of two seeds: 0.18
#: against 0.22 %); with a thousand, sooner was worse (5.7 against 5.2 %).
UPDATES, UPDATES_OF_MANY, MANY = 100, 500, 300


def covers(problem: Problem) -> bool:
    """It knows no breaks."""
    barred = {_barred(problem, vehicle) for vehicle in problem.vehicles}
    return len(barred) <= PROFILES and not any(vehicle.breaks for vehicle in problem.vehicles)


def search(
    problem: Problem, start: Plan, *, warm: bool, until: float, seeds: Sequence[int]
) -> list[Orders]:
    """The best orders of each seed, where it found any that keep all constraints. ``until`` is of
    time.monotonic(); the search ends a moment after it. Any start will do, warm or not."""
    visited = sum(len(route.visits) for route in start.routes)
    model = _Model(problem, all_required=visited == len(problem.stops))
    with ThreadPoolExecutor(len(seeds), thread_name_prefix="pyvrp") as pool:
        found = pool.map(lambda seed: model.search(start, until, seed), seeds)
        return [orders for orders in found if orders is not None]


def _barred(problem: Problem, vehicle: Vehicle) -> frozenset[int]:
    """Places in the problem of the stops whose skills this vehicle lacks."""
    return frozenset(n for n, stop in enumerate(problem.stops) if not stop.skills <= vehicle.skills)


def _usable(stop: Stop) -> list[Window]:
    """Windows in which it could be served; PyVRP refuses all others."""
    earliest = max(0, stop.release_s)
    return [(opens, closes) for opens, closes in stop.windows if max(opens, earliest) <= closes]


@dataclass(frozen=True)
class _Until:
    """A stopping criterion: the time is up."""

    moment: float

    def __call__(self, best_cost: float) -> bool:
        return time.monotonic() >= self.moment


class _Model:
    """A problem in PyVRP's terms. A stop with several windows is a group of clients, of which one
    is visited; vehicles that differ only in their keys are one type."""

    def __init__(self, problem: Problem, *, all_required: bool) -> None:
        self._problem = problem
        self._all_required = all_required
        self._costs = units.costs(problem)
        self._loads = units.load_dimensions(problem)
        self._stop_of: list[Stop] = []
        self._first_client: dict[Key, int] = {}
        self._groups: list[ClientGroup] = []
        self._vehicles: list[list[Vehicle]] = []
        metres, seconds = units.drivable(problem)
        clients = list(self._clients())
        types, profiles = self._types()
        self._data = ProblemData(
            [Location(0, 0) for _ in range(len(problem.travel))],
            clients,
            [Depot(n) for n in range(len(problem.depots))],
            types,
            [metres] * len(profiles),
            [self._without(seconds, barred) for barred in profiles],
            self._groups,
        )
        updates = UPDATES_OF_MANY if len(problem.stops) > MANY else UPDATES
        dearest = max(1, *self._costs.metre, *self._costs.second)
        self._params = SolveParams(
            penalty=PenaltyParams(solutions_between_updates=updates, max_penalty=PENALTY * dearest)
        )

    def _clients(self) -> Iterator[Client]:
        for place, stop in enumerate(self._problem.stops):
            windows = _usable(stop)
            prize = self._costs.unserved[place]
            required = stop.prize is None and self._all_required
            self._first_client[stop.key] = len(self._stop_of)
            group = None
            if len(windows) > 1:
                group = len(self._groups)
                members = range(len(self._stop_of), len(self._stop_of) + len(windows))
                self._groups.append(ClientGroup(list(members), required))
            for opens, closes in windows or [(0, units.LARGEST)]:
                self._stop_of.append(stop)
                yield Client(
                    self._problem.node_of[stop.key],
                    delivery=[loads[place] for loads, _ in self._loads],
                    service_duration=stop.service_s,
                    tw_early=max(0, opens),
                    tw_late=closes,
                    release_time=max(0, stop.release_s),
                    prize=0 if required else prize,
                    required=required and group is None,
                    group=group,
                )

    def _types(self) -> tuple[list[VehicleType], list[frozenset[int]]]:
        kinds: dict[Vehicle, list[int]] = defaultdict(list)
        profiles: dict[frozenset[int], int] = {}
        for number, vehicle in enumerate(self._problem.vehicles):
            kinds[replace(vehicle, key=None)].append(number)
        types = []
        for vehicle, numbers in kinds.items():
            self._vehicles.append([self._problem.vehicles[n] for n in numbers])
            start, end = self._problem.ends_of(vehicle)
            barred = _barred(self._problem, vehicle)
            types.append(
                VehicleType(
                    len(numbers),
                    capacity=[rooms[numbers[0]] for _, rooms in self._loads],
                    start_depot=start,
                    end_depot=end,
                    fixed_cost=self._costs.fixed[numbers[0]],
                    tw_early=vehicle.start_s,
                    tw_late=vehicle.end_s,
                    unit_distance_cost=self._costs.metre[numbers[0]],
                    unit_duration_cost=self._costs.second[numbers[0]],
                    profile=profiles.setdefault(barred, len(profiles)),
                )
            )
        return types, list(profiles)

    def _without(self, seconds: Any, barred: frozenset[int]) -> Any:
        """No vehicle of this profile gets to what it must not visit before its shift is over."""
        if not barred:
            return seconds
        mine = seconds.copy()
        columns = [len(self._problem.depots) + n for n in barred]
        mine[:, columns] = max(v.end_s for v in self._problem.vehicles) + 1
        mine[columns, columns] = 0
        return mine

    def search(self, start: Plan, until: float, seed: int) -> Orders | None:
        first = self._solution(start) if start.routes else None
        result = search_once(
            self._data,
            _Until(until),
            seed=seed,
            collect_stats=False,
            params=self._params,
            initial_solution=first,
        )
        return self._orders(result.best) if result.best.is_feasible() else None

    def _solution(self, start: Plan) -> Solution:
        number = {v.key: n for n, kind in enumerate(self._vehicles) for v in kind}
        routes = [
            Route(
                self._data,
                [
                    Activity(ActivityType.CLIENT, self._client(v.stop, v.arrival_s))
                    for v in route.visits
                ],
                number[route.vehicle.key],
            )
            for route in start.routes
        ]
        return Solution(self._data, routes)

    def _client(self, stop: Stop, moment: int) -> int:
        """The one of the stop's clients in whose window this moment falls."""
        windows = _usable(stop)
        chosen = next((n for n, (a, b) in enumerate(windows) if a <= moment <= b), 0)
        return self._first_client[stop.key] + chosen

    def _orders(self, solution: Solution) -> Orders:
        free = [list(kind) for kind in self._vehicles]
        return {
            free[route.vehicle_type()].pop(0).key: [
                self._stop_of[activity.idx] for activity in route if activity.is_client()
            ]
            for route in solution.routes()
        }
