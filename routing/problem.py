"""A planning problem and its solution as plain values: no Django, no solver.

Times are whole seconds since the plan's start, distances whole metres, loads kg, m³ and items,
places degrees (WGS 84), costs any one currency. What is wrong with a problem as a whole raises
BadProblem; what is wrong with a single stop is a reason in its plan (see ``reasons``).
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from supplychain.errors import SupplyChainError

#: Metres or seconds of a leg that no vehicle can drive; all others are far below.
NO_WAY = 1_000_000_000
#: No time in a problem is later: some three years.
LATEST = 100_000_000

Matrix = NDArray[np.int32]
#: What can be a key of a dictionary; whoever makes a problem knows more.
Key = Any
Window = tuple[int, int]


class BadProblem(SupplyChainError):
    """The planning problem makes no sense."""

    permanent = True


@dataclass(frozen=True)
class Place:
    latitude: float
    longitude: float

    @property
    def on_earth(self) -> bool:
        """False for NaN, too."""
        return abs(self.latitude) <= 90 and abs(self.longitude) <= 180


@dataclass(frozen=True)
class Depot:
    key: Key
    place: Place


@dataclass(frozen=True)
class Break:
    """Begins from ``earliest_s`` to ``latest_s`` and lasts ``duration_s``; it may interrupt a
    drive, not a service. A vehicle that is not yet or no longer on the road rests anyway."""

    earliest_s: int
    latest_s: int
    duration_s: int


@dataclass(frozen=True)
class Vehicle:
    """Makes one tour, from ``start_s`` at the earliest to ``end_s`` at the latest.

    A depot of None is the problem's first; an end depot of None is where it started. Its breaks
    stand in their order. Costs: per tour, per 1,000 metres, per 3,600 seconds of the tour.
    """

    key: Key
    capacity_kg: float
    capacity_m3: float
    start_s: int
    end_s: int
    capacity_items: float = math.inf
    start_depot: Key = None
    end_depot: Key = None
    fixed_cost: float = 0.0
    cost_per_km: float = 1.0
    cost_per_hour: float = 0.0
    skills: frozenset[str] = frozenset()
    max_stops: int | None = None
    breaks: tuple[Break, ...] = ()

    @property
    def capacities(self) -> tuple[float, float, float]:
        """kg, m³, items."""
        return self.capacity_kg, self.capacity_m3, self.capacity_items


@dataclass(frozen=True)
class Stop:
    """A shipment to hand over. Service begins within one of the windows, both ends included;
    without a window, at any time. The vehicle must have all ``skills`` and leaves its depot not
    before ``release_s``.

    Who has a ``prize`` may be left out at this cost. All others are required: left out only when
    there is no way, and then rather the one of lower priority (0 to 9; 9 counts ten times 0).
    """

    key: Key
    place: Place
    load_kg: float
    load_m3: float
    service_s: int = 300
    windows: tuple[Window, ...] = ()
    items: int = 0
    priority: int = 0
    skills: frozenset[str] = frozenset()
    release_s: int = 0
    prize: float | None = None

    @property
    def loads(self) -> tuple[float, float, float]:
        """kg, m³, items."""
        return self.load_kg, self.load_m3, self.items

    @property
    def weight(self) -> int:
        """How bad it is to leave out a required stop; 0 for one with a prize."""
        return self.priority + 1 if self.prize is None else 0


@dataclass(frozen=True, eq=False)
class Travel:
    """Metres and seconds between all nodes of a problem, row = from: first its depots, then its
    stops, each in their order. It may be asymmetric; NO_WAY says that one can't drive there."""

    metres: Matrix
    seconds: Matrix

    def __post_init__(self) -> None:
        for name in ("metres", "seconds"):
            object.__setattr__(self, name, _checked_matrix(name, getattr(self, name)))
        if self.metres.shape != self.seconds.shape:
            raise BadProblem("the matrices of metres and of seconds differ in their size")
        closed = (self.metres == NO_WAY) != (self.seconds == NO_WAY)
        if closed.any():
            object.__setattr__(self, "metres", np.where(closed, NO_WAY, self.metres))
            object.__setattr__(self, "seconds", np.where(closed, NO_WAY, self.seconds))

    def __len__(self) -> int:
        return len(self.metres)


def _checked_matrix(name: str, given: Any) -> Matrix:
    matrix = np.asarray(given)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise BadProblem(f"the matrix of {name} is not square: {matrix.shape}")
    if matrix.dtype.kind not in "iuf" or (matrix.dtype.kind == "f" and np.isnan(matrix).any()):
        raise BadProblem(f"the matrix of {name} contains what is not a number")
    if matrix.size and matrix.min() < 0:
        raise BadProblem(f"the matrix of {name} contains a negative number")
    if matrix.dtype.kind == "f":
        matrix = np.ceil(np.minimum(matrix, NO_WAY))
    whole: Matrix = np.minimum(matrix, NO_WAY).astype(np.int32, copy=False)
    return whole


@dataclass(frozen=True, eq=False)
class Problem:
    """Raises BadProblem."""

    depots: tuple[Depot, ...]
    vehicles: tuple[Vehicle, ...]
    stops: tuple[Stop, ...]
    travel: Travel = field(repr=False)

    def __post_init__(self) -> None:
        faults = _faults(self)
        if fault := next(faults, None):
            raise BadProblem(fault)

    @cached_property
    def node_of(self) -> dict[Key, int]:
        """A stop's row in the matrices, by its key."""
        return {stop.key: n for n, stop in enumerate(self.stops, start=len(self.depots))}

    @cached_property
    def vehicle_of(self) -> dict[Key, Vehicle]:
        return {vehicle.key: vehicle for vehicle in self.vehicles}

    @cached_property
    def _depot_nodes(self) -> dict[Key, int]:
        return {depot.key: n for n, depot in enumerate(self.depots)}

    def ends_of(self, vehicle: Vehicle) -> tuple[int, int]:
        """The rows of the depots where it starts and ends."""
        start = 0 if vehicle.start_depot is None else self._depot_nodes[vehicle.start_depot]
        return start, start if vehicle.end_depot is None else self._depot_nodes[vehicle.end_depot]

    def only(self, stops: Sequence[Stop]) -> Problem:
        """The same problem with some of its stops only."""
        if len(stops) == len(self.stops) and all(map(operator.is_, stops, self.stops)):
            return self  # its matrices are large
        rows = [*range(len(self.depots)), *(self.node_of[stop.key] for stop in stops)]
        cut = np.ix_(rows, rows)
        travel = Travel(self.travel.metres[cut], self.travel.seconds[cut])
        return replace(self, stops=tuple(stops), travel=travel)


def _faults(problem: Problem) -> Iterator[str]:
    """What is wrong with the problem as a whole."""
    if not problem.depots:
        yield "there is no depot"
    size = len(problem.depots) + len(problem.stops)
    if len(problem.travel) != size:
        yield f"the matrices have {len(problem.travel)} rows for {size} depots and stops"
    for kind in ("depots", "vehicles", "stops"):
        counts = Counter(item.key for item in getattr(problem, kind))
        yield from (f"two {kind} have the key {key}" for key, n in counts.items() if n > 1)
    lost = (depot.key for depot in problem.depots if not depot.place.on_earth)
    yield from (f"depot {key} has no coordinates on Earth" for key in lost)
    depots = {None, *(depot.key for depot in problem.depots)}
    for vehicle in problem.vehicles:
        faults = (*_vehicle_faults(vehicle, depots), *_break_faults(vehicle))
        yield from (f"vehicle {vehicle.key}: {fault}" for fault in faults)


def _vehicle_faults(vehicle: Vehicle, depots: set[Key]) -> Iterator[str]:
    numbers = (vehicle.fixed_cost, vehicle.cost_per_km, vehicle.cost_per_hour)
    if not all(capacity >= 0 for capacity in vehicle.capacities):
        yield "a capacity is negative or not a number"
    if not all(0 <= number <= NO_WAY for number in numbers):
        yield "a cost is negative or not a number"
    if not 0 <= vehicle.start_s <= vehicle.end_s <= LATEST:
        yield f"its shift from {vehicle.start_s} to {vehicle.end_s} s is none"
    if vehicle.max_stops is not None and vehicle.max_stops < 0:
        yield "its number of stops is negative"
    if not {vehicle.start_depot, vehicle.end_depot} <= depots:
        yield "its depot is not one of the problem"


def _break_faults(vehicle: Vehicle) -> Iterator[str]:
    if not all(0 <= b.earliest_s <= b.latest_s <= LATEST for b in vehicle.breaks):
        yield "a break's earliest begin comes after its latest"
    if not all(0 <= b.duration_s <= LATEST for b in vehicle.breaks):
        yield "a break lasts for less than no time"


@dataclass(frozen=True)
class Visit:
    """``arrival_s``: when service begins (a vehicle that is early waits)."""

    stop: Stop
    arrival_s: int


@dataclass(frozen=True)
class PlannedRoute:
    """``breaks_s``: when each break of the vehicle begins, in their order."""

    vehicle: Vehicle
    visits: tuple[Visit, ...]
    departure_s: int
    return_s: int
    distance_m: int
    cost: float = 0.0
    breaks_s: tuple[int, ...] = ()

    @property
    def stops(self) -> tuple[Stop, ...]:
        return tuple(visit.stop for visit in self.visits)

    @property
    def load_kg(self) -> float:
        return sum(visit.stop.load_kg for visit in self.visits)

    @property
    def load_m3(self) -> float:
        return sum(visit.stop.load_m3 for visit in self.visits)

    @property
    def items(self) -> int:
        return sum(visit.stop.items for visit in self.visits)


@dataclass(frozen=True)
class Plan:
    """Routes, and for every stop that is in none the reason, by the stop's key."""

    routes: tuple[PlannedRoute, ...] = ()
    unserved: dict[Key, str] = field(default_factory=dict)

    @property
    def cost(self) -> float:
        """Of the routes; what unserved stops cost, only the validator's score says."""
        return sum(route.cost for route in self.routes)
