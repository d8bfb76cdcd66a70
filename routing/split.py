"""Cuts a problem too large for one search into sectors around the depot, each with its share
of the fleet, so that time and memory grow with the sector and not with the square of the day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .problem import Problem, Stop, Vehicle


def split(problem: Problem, size: int) -> list[Problem]:
    """Problems of at most ``size`` stops that share no vehicle. With fewer vehicles than
    sectors, the sectors whose stops came first get them and the others are left out."""
    parts = sweep(problem, size)
    index = {stop.id: n for n, stop in enumerate(problem.stops)}
    parts.sort(key=lambda part: min(index[stop.id] for stop in part))
    fleets = allot(problem.vehicles, parts)
    return [
        replace(problem, vehicles=tuple(fleet[: len(part)]), stops=tuple(part))
        for fleet, part in zip(fleets, parts, strict=True)
        if fleet
    ]


def sweep(problem: Problem, size: int) -> list[list[Stop]]:
    """The stops by their angle around the depot, cut into equal parts, first at the widest
    gap."""
    stops = problem.stops
    if len(stops) <= size:
        return [list(stops)] if stops else []
    depot = problem.depot
    north = np.array([s.latitude - depot.latitude for s in stops])
    east = np.array([s.longitude - depot.longitude for s in stops])
    east = (east + 180) % 360 - 180  # across the date line
    angles = np.arctan2(north, east * math.cos(math.radians(depot.latitude)))
    order = np.argsort(angles, kind="stable")
    gaps = np.diff(angles[order], append=angles[order[0]] + 2 * math.pi)
    order = np.roll(order, -int(np.argmax(gaps)) - 1)
    return [[stops[i] for i in part] for part in np.array_split(order, -(-len(stops) // size))]


def allot(vehicles: Sequence[Vehicle], parts: Sequence[Sequence[Stop]]) -> list[list[Vehicle]]:
    """Deals the vehicles out, largest first, to whichever part has least for its demand."""
    fleets: list[list[Vehicle]] = [[] for _ in parts]
    if not parts:
        return fleets
    demands = _demands(parts)
    largest_first = sorted(vehicles, key=lambda v: (-v.capacity_kg, -v.capacity_m3, v.id))
    for vehicle in largest_first:
        needs = [
            demand / len(fleet) if fleet else math.inf
            for demand, fleet in zip(demands, fleets, strict=True)
        ]
        fleets[needs.index(max(needs))].append(vehicle)
    return fleets


def _demands(parts: Sequence[Sequence[Stop]]) -> list[float]:
    """Each part's share of all stops, kg or m³, whichever is the largest share."""
    totals = np.array(
        [[len(p), sum(s.load_kg for s in p), sum(s.load_m3 for s in p)] for p in parts],
        dtype=np.float64,
    )
    shares = totals / np.maximum(totals.sum(axis=0), 1e-9)
    return [float(share) for share in shares.max(axis=1)]
