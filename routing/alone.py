"""Promise: which stops a vehicle could serve alone is known without working out a route for each
that it can't."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .problem import NO_WAY, Key, Problem, Stop, Vehicle, Window
from .schedule import TOLERANCE, planned_route


class Alone:
    """The stops of a problem, each with a vehicle of its own."""

    def __init__(self, problem: Problem) -> None:
        self._problem, stops = problem, problem.stops
        self._loads = np.array([stop.loads for stop in stops], dtype=float).reshape(-1, 3)
        self._release = _whole(stop.release_s for stop in stops)
        self._service = _whole(stop.service_s for stop in stops)
        self._opens, self._closes = _whole(map(_opens, stops)), _whole(map(_closes, stops))
        known = {skills: n for n, skills in enumerate({stop.skills for stop in stops})}
        self._skills, self._asked = list(known), _whole(known[stop.skills] for stop in stops)

    def served(
        self, stops: Iterable[Stop], vehicles: Iterable[Vehicle], moment: int
    ) -> Iterator[Key]:
        """Those of these stops that one of the vehicles could serve, leaving then or later.
        Vehicles that differ only in their names are tried once."""
        kinds = dict.fromkeys(
            replace(vehicle, key=None, start_s=max(moment, vehicle.start_s))
            for vehicle in vehicles
            if moment <= vehicle.end_s
        )
        likely = [(kind, self._likely(kind)) for kind in kinds]
        by_any = np.logical_or.reduce([able for _, able in likely]) if likely else np.zeros(0, bool)
        problem, first = self._problem, len(self._problem.depots)
        for stop in stops if by_any.any() else ():
            row = problem.node_of[stop.key] - first
            if by_any[row] and any(
                able[row] and planned_route(problem, kind, [stop]) for kind, able in likely
            ):
                yield stop.key

    def _likely(self, vehicle: Vehicle) -> NDArray[np.bool_]:
        """By stop; breaks are left out of account, which only take longer."""
        start, end = self._problem.ends_of(vehicle)
        seconds, first = self._problem.travel.seconds, len(self._problem.depots)
        arrival = np.maximum(self._release, vehicle.start_s) + seconds[start, first:]
        back = np.maximum(arrival, self._opens) + self._service + seconds[first:, end]
        room = (self._loads <= np.array(vehicle.capacities) + TOLERANCE).all(axis=1)
        skilled = np.array([skills <= vehicle.skills for skills in self._skills], dtype=bool)
        in_time = (arrival <= self._closes) & (back <= vehicle.end_s)
        return np.asarray(room & skilled[self._asked] & in_time)


def _whole(numbers: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(numbers, dtype=np.int64)


def _possible(stop: Stop) -> Sequence[Window]:
    return [window for window in stop.windows if window[0] <= window[1]]


def _opens(stop: Stop) -> int:
    return min((opens for opens, _ in _possible(stop)), default=0)


def _closes(stop: Stop) -> int:
    never = -1 if stop.windows else NO_WAY
    return max((closes for _, closes in _possible(stop)), default=never)
