"""A planning problem and its solution as plain values: no Django, no solver.

Times are seconds since the plan's start, distances metres, loads kg and m³, places degrees
(WGS 84). A plan starts when the first vehicle may leave.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True)
class Place:
    latitude: float
    longitude: float


@dataclass(frozen=True)
class Vehicle:
    """Leaves the depot at ``start_s`` at the earliest and is back at ``end_s`` at the latest."""

    key: int
    capacity_kg: float
    capacity_m3: float
    start_s: int
    end_s: int


@dataclass(frozen=True)
class Stop:
    """A shipment to hand over; arrival must fall into the window, both ends included."""

    key: UUID
    place: Place
    load_kg: float
    load_m3: float
    service_s: int = 300
    window: tuple[int, int] | None = None


@dataclass(frozen=True)
class Problem:
    depot: Place
    vehicles: tuple[Vehicle, ...]
    stops: tuple[Stop, ...]


@dataclass(frozen=True)
class Visit:
    """``arrival_s``: when service begins (a vehicle that is early waits)."""

    stop: Stop
    arrival_s: int


@dataclass(frozen=True)
class PlannedRoute:
    vehicle: Vehicle
    visits: tuple[Visit, ...]
    departure_s: int
    return_s: int
    distance_m: int

    @property
    def load_kg(self) -> float:
        return sum(visit.stop.load_kg for visit in self.visits)

    @property
    def load_m3(self) -> float:
        return sum(visit.stop.load_m3 for visit in self.visits)


@dataclass(frozen=True)
class Plan:
    """Routes, and for every stop that is in none the reason."""

    routes: tuple[PlannedRoute, ...] = ()
    unserved: dict[UUID, str] = field(default_factory=dict)
