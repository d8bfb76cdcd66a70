"""When a vehicle that visits stops in a given order is where, and whether it can."""

from __future__ import annotations

from collections.abc import Sequence

from .problem import PlannedRoute, Stop, Vehicle, Visit
from .travel import Travel


def drive(
    vehicle: Vehicle, stops: Sequence[Stop], nodes: Sequence[int], travel: Travel
) -> PlannedRoute | None:
    """The earliest tour in this order, leaving the depot no earlier than it needs to for the
    first stop; None when the order can't be driven. ``nodes`` are the stops' rows in
    ``travel``, whose row 0 is the depot.
    """
    now, here, metres = vehicle.shift_start_s, 0, 0
    visits: list[Visit] = []
    for stop, node in zip(stops, nodes, strict=True):
        arrival = now + int(travel.seconds[here, node])
        if stop.window:
            arrival = max(arrival, stop.window.opens_s)
            if arrival > stop.window.closes_s:
                return None
        now = arrival + stop.service_s
        visits.append(Visit(stop.id, arrival, now))
        metres += int(travel.metres[here, node])
        here = node
    ends = now + int(travel.seconds[here, 0])
    load_kg, load_m3 = sum(s.load_kg for s in stops), sum(s.load_m3 for s in stops)
    if ends > vehicle.shift_end_s:
        return None
    if _exceeds(load_kg, vehicle.capacity_kg) or _exceeds(load_m3, vehicle.capacity_m3):
        return None
    starts = visits[0].arrival_s - int(travel.seconds[0, nodes[0]]) if visits else now
    metres += int(travel.metres[here, 0])
    return PlannedRoute(vehicle.id, tuple(visits), starts, ends, metres, load_kg, load_m3)


def _exceeds(load: float, capacity: float) -> bool:
    """Beyond what adding floats makes of equal sums."""
    return load > capacity + 1e-6
