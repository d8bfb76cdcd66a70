"""Promise: a benchmark's instance becomes a problem without losing or gaining a unit.

Both conventions count in whole numbers. A unit stands for a "metre" and a "second" of the problem
alike, and a vehicle costs 1 per unit driven and nothing else, so a plan's cost is the benchmark's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from routing.problem import Depot, Matrix, Place, Problem, Stop, Travel, Vehicle
from supplychain.errors import SupplyChainError

#: Solomon's instances are counted in tenths, to which each arc is truncated.
TENTHS = 10
DEPOT = "depot"
#: Places matter on maps only: the ways are in the matrices.
NOWHERE = Place(0.0, 0.0)


class BadInstance(SupplyChainError):
    """The file is no instance of this format."""

    permanent = True


@dataclass(frozen=True, eq=False)
class Instance:
    """Node 0 is the depot, node n the customer n. ``units`` is the way, row = from, in length and
    in time; windows and services are in the same unit, of which ``scale`` make a 1 of the file."""

    name: str
    capacity: int
    vehicles: int
    demands: tuple[int, ...]
    windows: tuple[tuple[int, int], ...]
    services: tuple[int, ...]
    units: Matrix = field(repr=False)
    scale: int = 1

    @property
    def customers(self) -> int:
        return len(self.demands) - 1

    def stop(self, customer: int) -> Stop:
        return Stop(
            key=customer,
            place=NOWHERE,
            load_kg=self.demands[customer],
            load_m3=0,
            service_s=self.services[customer],
            windows=(self.windows[customer],),
        )

    def problem(self) -> Problem:
        stops = [self.stop(customer) for customer in range(1, self.customers + 1)]
        fleet = vans(self.vehicles, self.capacity, self.windows[0])
        return problem_of(stops, fleet, self.units)


def vans(count: int, capacity: int, shift: tuple[int, int]) -> list[Vehicle]:
    """Equal vehicles at the depot that cost 1 per metre, and nothing else."""
    opens, closes = shift
    return [Vehicle(f"v{n}", capacity, 0, opens, closes, cost_per_km=1000.0) for n in range(count)]


def problem_of(stops: Sequence[Stop], fleet: Iterable[Vehicle], units: Matrix) -> Problem:
    """With one depot, the first row of the matrix."""
    depot = Depot(DEPOT, NOWHERE)
    return Problem((depot,), tuple(fleet), tuple(stops), Travel(units, units))


def cost_of(instance: Instance, routes: Iterable[Sequence[int]]) -> float:
    """Of routes through customers, in the unit of the file; no arithmetic of the planner."""
    units = 0
    for route in routes:
        nodes = [0, *route, 0]
        units += sum(int(instance.units[a, b]) for a, b in pairwise(nodes))
    return units / instance.scale


def read_solomon(text: str) -> Instance:
    """Solomon's format, under the convention of the DIMACS challenge: length and time of an arc
    are its straight line truncated to one decimal. Raises BadInstance."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    try:
        name = lines[0][0]
        vehicles, capacity = map(int, _after(lines, "NUMBER"))
        first = next(n for n, line in enumerate(lines) if line[0] == "CUST") + 1
        table = np.array([[int(cell) for cell in line] for line in lines[first:]], dtype=np.int64)
        numbers, x, y, demand, ready, due, service = table.T
    except (ValueError, IndexError, StopIteration) as fault:
        raise BadInstance(f"This is not Solomon's format: {fault}") from fault
    if numbers.tolist() != list(range(len(table))):
        raise BadInstance(f"{name}: customers are not numbered 0, 1, 2, …")
    return Instance(
        name,
        capacity,
        vehicles,
        tuple(demand.tolist()),
        tuple(zip((ready * TENTHS).tolist(), (due * TENTHS).tolist(), strict=True)),
        tuple((service * TENTHS).tolist()),
        truncated_tenths(x, y),
        TENTHS,
    )


def _after(lines: list[list[str]], word: str) -> list[str]:
    """The line after the one that begins with this word."""
    return lines[next(n for n, line in enumerate(lines) if line[0] == word) + 1]


def truncated_tenths(x: NDArray[np.int64], y: NDArray[np.int64]) -> Matrix:
    """floor(10 d) between points with whole coordinates. It is exact: the root of 100 d², a whole
    number far below 2⁵², is rounded correctly, while ten times the root of d² may be one off."""
    squares = TENTHS * TENTHS * ((x[:, None] - x) ** 2 + (y[:, None] - y) ** 2)
    roots: Matrix = np.sqrt(squares).astype(np.int32)
    return roots


def read_vrplib(text: str) -> Instance:
    """VRPLIB's format with an explicit full matrix, as ORTEC's instances have it: seconds, and the
    cost is the seconds driven. Raises BadInstance."""
    words, sections = _sections(text)
    try:
        size = int(words["DIMENSION"])
        if words["EDGE_WEIGHT_FORMAT"] != "FULL_MATRIX":
            raise ValueError(f"EDGE_WEIGHT_FORMAT is {words['EDGE_WEIGHT_FORMAT']}")
        units = np.array(sections["EDGE_WEIGHT"], dtype=np.int32)
        if units.shape != (size, size):
            raise ValueError(f"a matrix of {units.shape} for {size} nodes")
        demands, services, windows = (
            _by_node(sections[name], size) for name in ("DEMAND", "SERVICE_TIME", "TIME_WINDOW")
        )
        return Instance(
            words["NAME"],
            int(words["CAPACITY"]),
            int(words["VEHICLES"]),
            tuple(demand for (demand,) in demands),
            tuple((opens, closes) for opens, closes in windows),
            tuple(service for (service,) in services),
            units,
        )
    except (KeyError, ValueError) as fault:
        raise BadInstance(f"This is no VRPLIB file of ORTEC's kind: {fault}") from fault


def _sections(text: str) -> tuple[dict[str, str], dict[str, list[list[int]]]]:
    """ "KEY : value" lines, and the rows of numbers by section."""
    words: dict[str, str] = {}
    sections: dict[str, list[list[int]]] = {}
    rows: list[list[int]] = []
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            words[key.strip()] = value.strip()
        elif line.strip().endswith("_SECTION"):
            rows = sections.setdefault(line.strip().removesuffix("_SECTION"), [])
        elif line.strip() == "EOF":
            break
        elif line.strip():
            rows.append([int(cell) for cell in line.split()])
    return words, sections


def _by_node(rows: list[list[int]], size: int) -> list[list[int]]:
    """The values without the nodes' numbers, which must be 1, 2, …"""
    if [row[0] for row in rows] != list(range(1, size + 1)):
        raise ValueError("nodes are not numbered 1, 2, …")
    return [row[1:] for row in rows]
