"""What a reader gives, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Fault:
    """What is wrong with one row of a file; ``field`` as the API names it, "" for the row."""

    row: int
    field: str
    reason: str


@dataclass(frozen=True)
class Found:
    """An order in the API's shape; ``rows`` are the line numbers of its order lines."""

    external_id: str
    rows: tuple[int, ...]
    body: dict[str, Any]


@dataclass(frozen=True)
class Broken:
    """An order, or a row that belongs to none, that can't even be offered to the API."""

    external_id: str
    faults: tuple[Fault, ...]


Item = Found | Broken


class Source(Protocol):
    """A file or folder of orders. ``total`` and ``position`` are for a progress bar;
    ``damage`` says why the source could not be read to its end, "" when it could."""

    @property
    def total(self) -> int: ...

    @property
    def damage(self) -> str: ...

    @property
    def position(self) -> int: ...

    def __iter__(self) -> Iterator[Item]: ...
