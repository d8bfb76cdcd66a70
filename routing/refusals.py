"""Which stops no vehicle can ever serve, even if it drove for that stop alone, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from .problem import Problem, Reason, Stop, is_load, is_place
from .travel import TravelProvider

#: Stops looked at together: only the depot's row and column of their matrix are of use.
CHUNK = 100
Times = npt.NDArray[np.int64]


def refusals(problem: Problem, travel: TravelProvider) -> dict[str, Reason]:
    """The reason for each stop that can't be served; in the order of the stops."""
    refused = {s.id: reason for s in problem.stops if (reason := _nonsense(s))}
    if not problem.vehicles:
        return {s.id: refused.get(s.id, Reason.NO_VEHICLE) for s in problem.stops}
    sound = [s for s in problem.stops if s.id not in refused]
    for start in range(0, len(sound), CHUNK):
        refused |= _refuse(problem, sound[start : start + CHUNK], travel)
    return refused


def _nonsense(stop: Stop) -> Reason | None:
    if not is_place(stop.latitude, stop.longitude):
        return Reason.NO_PLACE
    if not (is_load(stop.load_kg) and is_load(stop.load_m3)):
        return Reason.NO_LOAD
    if stop.window and stop.window.closes_s < stop.window.opens_s:
        return Reason.WINDOW_REVERSED
    return None


def _refuse(problem: Problem, stops: Sequence[Stop], travel: TravelProvider) -> dict[str, Reason]:
    """Narrows the vehicles down constraint by constraint; the one that leaves none is the
    reason."""
    refused: dict[str, Reason] = {}
    possible = np.ones((len(problem.vehicles), len(stops)), dtype=bool)
    for reason, allowed in _constraints(problem, stops, travel):
        possible &= allowed
        for index in np.flatnonzero(~possible.any(axis=0)):
            refused.setdefault(stops[index].id, reason)
    return refused


def _constraints(
    problem: Problem, stops: Sequence[Stop], travel: TravelProvider
) -> Iterator[tuple[Reason, npt.NDArray[np.bool_]]]:
    vehicles = problem.vehicles
    capacity = np.array([(v.capacity_kg, v.capacity_m3) for v in vehicles])[:, None, :]
    load = np.array([(s.load_kg, s.load_m3) for s in stops])
    yield Reason.TOO_HEAVY, load[:, 0] <= capacity[..., 0]
    yield Reason.TOO_LARGE, load[:, 1] <= capacity[..., 1]

    depot = (problem.depot.latitude, problem.depot.longitude)
    seconds = travel([depot, *((s.latitude, s.longitude) for s in stops)]).seconds
    there, back = seconds[0, 1:], seconds[1:, 0]
    service = np.array([s.service_s for s in stops])
    starts = np.array([v.shift_start_s for v in vehicles])[:, None]
    ends = np.array([v.shift_end_s for v in vehicles])[:, None]
    yield Reason.OUT_OF_REACH, starts + there + service + back <= ends

    opens, closes = _windows(stops)
    arrival = np.maximum(starts + there, opens)
    in_window = (arrival <= closes) & (arrival + service + back <= ends)
    yield Reason.WINDOW_MISSED, in_window


def _windows(stops: Sequence[Stop]) -> tuple[Times, Times]:
    far = np.iinfo(np.int64).max // 4
    opens = [s.window.opens_s if s.window else -far for s in stops]
    closes = [s.window.closes_s if s.window else far for s in stops]
    return np.array(opens, dtype=np.int64), np.array(closes, dtype=np.int64)
