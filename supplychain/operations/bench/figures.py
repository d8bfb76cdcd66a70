"""A measured figure beside its peer and its goal, and how they are shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

#: Called with a few words after each part of a bench.
Tick = Callable[[str], None]


@dataclass(frozen=True)
class Figure:
    """``value`` and ``peer_value`` in the unit of ``what``. The goal is for their ratio, or where
    there is no peer for the value; at least that, or at ``most``."""

    bench: str
    what: str
    value: float
    peer: str = ""
    peer_value: float | None = None
    goal: float | None = None
    most: bool = False

    @property
    def ratio(self) -> float | None:
        return self.value / self.peer_value if self.peer_value else None

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        measured = self.value if self.ratio is None else self.ratio
        return measured <= self.goal if self.most else measured >= self.goal

    @property
    def verdict(self) -> str:
        if self.met is None:
            return ""
        sign = "≤" if self.most else "≥"
        return f"{'met' if self.met else 'NOT met'} ({sign} {self.goal:g})"


def show(console: Console, figures: Sequence[Figure]) -> None:
    table = Table("bench", "figure", "value", "peer", "its value", "ratio", "goal", title="Bench")
    for f in figures:
        peer_value = "" if f.peer_value is None else _number(f.peer_value)
        ratio = "" if f.ratio is None else f"{f.ratio:.2f}"
        table.add_row(f.bench, f.what, _number(f.value), f.peer, peer_value, ratio, f.verdict)
    console.print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}"


def write(path: Path, figures: Sequence[Figure]) -> None:
    rows = [{**asdict(figure), "ratio": figure.ratio, "met": figure.met} for figure in figures]
    path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
