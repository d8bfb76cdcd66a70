"""Where the benchmarks' data lies, and what is known of it. None of it is part of the project:
some of it is not for commercial use."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from supplychain.errors import SupplyChainError

#: The environment variable that names another folder.
VARIABLE = "BENCHMARK_DATA"
_BESIDE = Path(__file__).resolve().parents[4] / "shared" / "data"

VRPTW_SETS = ("solomon", "gh200", "gh400", "gh1000")


class NoData(SupplyChainError):
    """The benchmarks' data is not there."""

    permanent = True


@dataclass(frozen=True)
class Known:
    """The best known cost of an instance, in the unit of its convention."""

    group: str
    instance: str
    cost: float


def folder() -> Path:
    """Raises NoData."""
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else _BESIDE
    if not (path / "bks.csv").is_file():
        raise NoData(f"{path} holds no bks.csv: let {VARIABLE} name the folder of benchmark data.")
    return path


def text(path: Path) -> str:
    """A file's text, packed or not. Raises NoData."""
    packed = path.with_name(path.name + ".gz")
    if packed.is_file():
        with gzip.open(packed, "rt", encoding="utf-8") as file:
            return file.read()
    if not path.is_file():
        raise NoData(f"There is no {path}, with or without .gz.")
    return path.read_text(encoding="utf-8")


def rows(path: Path) -> Iterator[dict[str, str]]:
    """A CSV file's rows. Raises NoData."""
    yield from csv.DictReader(text(path).splitlines())


def best_known() -> dict[str, Known]:
    """By instance, in the convention that is minimised here: distance alone, each arc truncated
    to one decimal (VRPTW), and seconds of driving (EURO)."""
    objectives = {"distance": VRPTW_SETS, "driving duration": ("euro_static",)}
    return {
        row["instance"]: Known(row["set"], row["instance"], float(row["cost"]))
        for row in rows(folder() / "bks.csv")
        if row["set"] in objectives.get(row["objective"], ())
    }
