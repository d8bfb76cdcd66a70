"""Promise: whoever is left out is told why, in words a dispatcher can act on."""

from __future__ import annotations

import math

from .problem import LATEST, NO_WAY, Problem, Stop, Vehicle
from .schedule import TOLERANCE, planned_route

NO_ROOM = "the vehicles that are free have no room or time left for it"
NOT_WORTH = "serving it costs more than its prize"
NO_TIME = "the planner ran out of time before it came to this stop"
NOT_IN_TIME = "no vehicle reaches it within its window and is back before its shift ends"


def hopeless(problem: Problem, stop: Stop) -> str:
    """Why no vehicle could serve this stop even alone; "" when one could."""
    if reason := nonsense(stop):
        return reason
    if not problem.vehicles:
        return "no vehicle is free"
    able = [v for v in problem.vehicles if stop.skills <= v.skills and v.max_stops != 0]
    if not able:
        missing = ", ".join(sorted(stop.skills)) or "room for a stop"
        return f"no vehicle has {missing}"
    return _too_large(able, stop) or _out_of_reach(problem, able, stop)


def nonsense(stop: Stop) -> str:
    """What makes the stop itself one that nobody could serve."""
    if not stop.place.on_earth:
        return "its coordinates are not on Earth"
    if not all(math.isfinite(load) and load >= 0 for load in stop.loads):
        return "its load is negative or not a number"
    if stop.windows and all(closes < opens for opens, closes in stop.windows):
        return "its delivery window closes before it opens"
    if not (0 <= stop.service_s <= LATEST and stop.release_s <= LATEST):
        return "its service or release is at no time of the plan"
    if not 0 <= stop.priority <= 9:
        return "its priority is not from 0 to 9"
    if stop.prize is not None and not 0 <= stop.prize <= NO_WAY:
        return "its prize is negative or not a number"
    return ""


def _too_large(able: list[Vehicle], stop: Stop) -> str:
    """Narrows down ``able`` to the vehicles that hold it; why there is none, or ""."""
    units = ("kg", "m³", "items")
    says = (
        "are more than any vehicle carries",
        "are more than any vehicle for its weight holds",
        "are more than any vehicle for its size holds",
    )
    for kind, (unit, told) in enumerate(zip(units, says, strict=True)):
        load = stop.loads[kind]
        able[:] = [v for v in able if load <= v.capacities[kind] + TOLERANCE]
        if not able:
            return f"{load:g} {unit} {told}"
    return ""


def _out_of_reach(problem: Problem, able: list[Vehicle], stop: Stop) -> str:
    """Vehicles that differ only in their names and costs are tried once."""
    kinds = {
        (*problem.ends_of(v), v.start_s, v.end_s, v.breaks, v.max_stops): v for v in able
    }.values()
    if any(planned_route(problem, vehicle, [stop]) for vehicle in kinds):
        return ""
    if all(_no_road(problem, vehicle, stop) for vehicle in kinds):
        return "no road leads there and back"
    return NOT_IN_TIME


def _no_road(problem: Problem, vehicle: Vehicle, stop: Stop) -> bool:
    start, end = problem.ends_of(vehicle)
    node, seconds = problem.node_of[stop.key], problem.travel.seconds
    return NO_WAY in (seconds[start, node], seconds[node, end])


#: Of a reason that contains one of these words.
_REMEDIES = {
    "Plan the depot again": ("ran out of time", "looked at in one run"),
    "Send more vehicles, or for longer": ("vehicle is free", "are free", "no departure"),
    "Use a larger vehicle, or have a part of the order taken back": ("more than any vehicle",),
    "Let a vehicle carry it": ("no vehicle has",),
    "Agree on another time, or let a shift begin or end otherwise": ("no vehicle reaches it",),
    "Have it ordered again as it is right": ("closes before", "coordinates", "load is", "no road"),
}


def remedy(reason: str) -> str:
    """What a dispatcher may do about it."""
    fitting = (do for do, words in _REMEDIES.items() if any(word in reason for word in words))
    return next(fitting, "Look into its order")
