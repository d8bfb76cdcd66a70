"""Promise: the times of a route are the best that its order of stops allows: back as early as
possible, and away as late as that permits.

A vehicle that waits gains nothing, so earlier is never worse: of all ways to get to a stop with
so many breaks taken, the earliest is kept (the stops are few, the breaks fewer).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .problem import Break, PlannedRoute, Problem, Stop, Vehicle, Visit

#: kg and m³, for sums of floating-point numbers.
TOLERANCE = 1e-6


def planned_route(problem: Problem, vehicle: Vehicle, stops: Sequence[Stop]) -> PlannedRoute | None:
    """The route of this vehicle through the stops in this order; None when there is none."""
    if not stops or not fits(vehicle, stops):
        return None
    legs = _Legs.of(problem, vehicle, stops)
    way = _earliest(legs, vehicle, stops, first_departure(vehicle, stops))
    if way is None:
        return None
    for departure in (_latest_departure(legs, vehicle, stops, way), _just_in_time(legs, way)):
        later = _earliest(legs, vehicle, stops, departure) if departure > way.departure_s else None
        if later and later.return_s <= way.return_s:
            way = later
            break
    return _route(problem, vehicle, stops, legs, way)


def fits(vehicle: Vehicle, stops: Sequence[Stop]) -> bool:
    """Loads, number and skills; not the times."""
    if vehicle.max_stops is not None and len(stops) > vehicle.max_stops:
        return False
    loads = (sum(kind) for kind in zip(*(stop.loads for stop in stops), strict=True))
    pairs = zip(loads, vehicle.capacities, strict=False)
    return all(load <= most + TOLERANCE for load, most in pairs) and all(
        stop.skills <= vehicle.skills for stop in stops
    )


def first_departure(vehicle: Vehicle, stops: Sequence[Stop]) -> int:
    """When all that it is to carry has been released."""
    return max(vehicle.start_s, max((stop.release_s for stop in stops), default=0))


def opening(stop: Stop, moment: int) -> int | None:
    """When service may begin for who arrives at this moment; None when it is too late."""
    if not stop.windows:
        return moment
    begins = (max(moment, opens) for opens, closes in stop.windows if moment <= closes >= opens)
    return min(begins, default=None)


def last_opening(stop: Stop, moment: int) -> int | None:
    """The last moment not after this one at which service may begin."""
    if not stop.windows:
        return moment
    ends = (min(moment, closes) for opens, closes in stop.windows if opens <= min(moment, closes))
    return max(ends, default=None)


@dataclass(frozen=True)
class _Legs:
    """Seconds of each leg, the first from the depot and the last back to it."""

    nodes: tuple[int, ...]
    seconds: tuple[int, ...]

    @classmethod
    def of(cls, problem: Problem, vehicle: Vehicle, stops: Sequence[Stop]) -> _Legs:
        start, end = problem.ends_of(vehicle)
        nodes = (start, *(problem.node_of[stop.key] for stop in stops), end)
        rows, columns = list(nodes[:-1]), list(nodes[1:])
        return cls(nodes, tuple(problem.travel.seconds[rows, columns].tolist()))


@dataclass(frozen=True)
class _Way:
    """Up to the start of a stop's service, or in the end to the depot; ``before`` is the way to
    the stop before it. ``rests`` are the starts of the breaks on the last leg."""

    moment_s: int
    rests: tuple[int, ...]
    before: _Way | None = None

    @property
    def path(self) -> list[_Way]:
        """From the departure to here."""
        ways: list[_Way] = []
        way: _Way | None = self
        while way:
            ways.append(way)
            way = way.before
        return ways[::-1]

    @property
    def departure_s(self) -> int:
        return self.path[0].moment_s

    @property
    def return_s(self) -> int:
        return self.moment_s


def _earliest(legs: _Legs, vehicle: Vehicle, stops: Sequence[Stop], departure: int) -> _Way | None:
    """The way that is back first; its last rests are those after the return."""
    if not vehicle.breaks:
        return _without_rest(legs, vehicle, stops, departure)
    ways = _starts(vehicle.breaks, departure)
    for stop, seconds, service in zip(stops, legs.seconds, _services(stops), strict=False):
        ways = _step(ways, vehicle.breaks, seconds, service, stop)
    ways = _step(ways, vehicle.breaks, legs.seconds[-1], stops[-1].service_s, None)
    ends = [end for taken, way in ways.items() if (end := _rest_at_home(vehicle, taken, way))]
    in_time = (way for way in ends if way.moment_s <= vehicle.end_s)
    return min(in_time, key=lambda way: way.moment_s, default=None)


def _without_rest(
    legs: _Legs, vehicle: Vehicle, stops: Sequence[Stop], departure: int
) -> _Way | None:
    """The only way there is then; as above, but in a fraction of the time."""
    way, service = _Way(departure, ()), 0
    for stop, seconds in zip(stops, legs.seconds, strict=False):
        begins = opening(stop, way.moment_s + service + seconds)
        if begins is None:
            return None
        way, service = _Way(begins, (), way), stop.service_s
    back = way.moment_s + service + legs.seconds[-1]
    return _Way(back, (), way) if back <= vehicle.end_s else None


def _services(stops: Sequence[Stop]) -> list[int]:
    """Seconds of service before each leg."""
    return [0, *(stop.service_s for stop in stops)]


def _starts(breaks: Sequence[Break], departure: int) -> dict[int, _Way]:
    """By the number of breaks that were over before the departure."""
    starts = {0: _Way(departure, ())}
    clock, rests = 0, []
    for taken, rest in enumerate(breaks, start=1):
        begins = max(clock, rest.earliest_s)
        if begins > rest.latest_s:
            break
        clock = begins + rest.duration_s
        rests.append(begins)
        starts[taken] = _Way(max(departure, clock), tuple(rests))
    return starts


def _step(
    ways: dict[int, _Way], breaks: Sequence[Break], seconds: int, service: int, stop: Stop | None
) -> dict[int, _Way]:
    """One leg further, with any number of breaks on it; for each number taken, the earliest."""
    found: dict[int, _Way] = {}
    for taken, way in ways.items():
        for then, arrival, rests in _drives(way.moment_s + service, breaks, taken, seconds):
            begins = opening(stop, arrival) if stop else arrival
            if begins is not None and (then not in found or begins < found[then].moment_s):
                found[then] = _Way(begins, rests, way)
    return found


def _drives(
    moment: int, breaks: Sequence[Break], taken: int, seconds: int
) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """(breaks taken by then, arrival, starts of the breaks on the way) for 0, 1, … breaks."""
    left, rests = seconds, tuple[int, ...]()
    yield taken, moment + left, rests
    for number in range(taken, len(breaks)):
        rest = breaks[number]
        begins = max(moment, rest.earliest_s)
        if begins > rest.latest_s:
            return
        left -= min(left, begins - moment)
        moment, rests = begins + rest.duration_s, (*rests, begins)
        yield number + 1, moment + left, rests


def _rest_at_home(vehicle: Vehicle, taken: int, way: _Way) -> _Way | None:
    """The breaks that are left are taken after the return."""
    clock, rests = way.moment_s, []
    for rest in vehicle.breaks[taken:]:
        begins = max(clock, rest.earliest_s)
        if begins > rest.latest_s:
            return None
        clock = begins + rest.duration_s
        rests.append(begins)
    return _Way(way.moment_s, (*way.rests, *rests), way.before)


def _latest_departure(legs: _Legs, vehicle: Vehicle, stops: Sequence[Stop], way: _Way) -> int:
    """As late as one may leave and still be back at the same time; -1 when breaks forbid to say."""
    if any(len(step.rests) for step in way.path):
        return -1
    moment = way.return_s
    legs_back = zip(reversed(stops), reversed(legs.seconds), strict=False)
    for stop, seconds in legs_back:
        latest = last_opening(stop, moment - seconds - stop.service_s)
        if latest is None:
            return -1
        moment = latest
    return moment - legs.seconds[0]


def _just_in_time(legs: _Legs, way: _Way) -> int:
    """So that there is no wait at the first stop."""
    first = way.path[1]
    return -1 if first.rests else first.moment_s - legs.seconds[0]


def _route(
    problem: Problem, vehicle: Vehicle, stops: Sequence[Stop], legs: _Legs, way: _Way
) -> PlannedRoute:
    path = way.path
    metres = int(problem.travel.metres[list(legs.nodes[:-1]), list(legs.nodes[1:])].sum(dtype=int))
    return PlannedRoute(
        vehicle,
        tuple(Visit(stop, step.moment_s) for stop, step in zip(stops, path[1:], strict=False)),
        departure_s=path[0].moment_s,
        return_s=way.return_s,
        distance_m=metres,
        cost=cost_of(vehicle, metres, way.return_s - path[0].moment_s),
        breaks_s=tuple(rest for step in path for rest in step.rests),
    )


def cost_of(vehicle: Vehicle, metres: float, seconds: float) -> float:
    """Of a tour of so many metres and seconds."""
    by_way = vehicle.cost_per_km * metres / 1000
    return vehicle.fixed_cost + by_way + vehicle.cost_per_hour * seconds / 3600
