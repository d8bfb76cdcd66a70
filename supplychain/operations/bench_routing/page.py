"""The bench's figures as a page of the documentation, with the date and the command."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from .plot import svg
from .results import Result
from .sample import EPOCH_SECONDS, REAL_DAY
from .table import DynamicRow, Goal, Row, gap

LIBRARIES = ("ortools", "pyvrp", "numpy")

_ABOUT_DAYS = (
    f"Seconds driven, for the same requests. Ours had {EPOCH_SECONDS:g} s for an epoch on all "
    "cores unless told otherwise; the published costs come from 120 s on one core. The policy "
    "(`routing/dynamic.py`) was tuned on the days of 2322c8ce, 677e5123 and f9ec0671: judge it by "
    "the others."
)


@dataclass(frozen=True)
class Report:
    """All that a run of the bench has to say."""

    rows: Sequence[Row]
    days: Sequence[DynamicRow]
    goals: Sequence[Goal]
    results: Sequence[Result]


def markdown(report: Report, command: str, picture: str) -> str:
    dates = sorted(result.at[:10] for result in report.results)
    revisions = sorted({result.revision for result in report.results})
    parts = [
        "# Routing against the best known solutions",
        f"Made by `{command}` on {_span(dates)}, revision {', '.join(revisions)}, "
        f"{machine()}. Every plan was checked by `routing/validate.py`, and its cost computed "
        "again from the instance.",
        f"![Mean gaps]({picture})",
        "## Goals",
        _table(["goal", "measured"], [[goal.what, goal.verdict] for goal in report.goals]),
        "## Sets",
        "VRPTW instances of Solomon and of Gehring & Homberger: distance alone, each arc truncated "
        "to one decimal (the DIMACS challenge's convention). EURO Meets NeurIPS 2022: seconds "
        "driven, with the competition's seconds, which were for one core. Gaps are in % of the "
        "best known cost; the last column is `auto`'s on the same instances "
        "as the row's. Memory is the peak of a run with all its processes. `usual "
        "OR-Tools` is `supplychain/operations/bench_routing/peer.py`.",
        _table(
            ["set", "engine", "runs", "mean gap", "worst", "unserved", "MB", "auto's gap"],
            [cells(row) for row in report.rows],
        ),
    ]
    if report.days:
        parts += ["## Dynamic days", _ABOUT_DAYS, _dynamic(report.days)]
    parts += _real_day(report.results)
    return "\n\n".join(parts) + "\n"


def machine() -> str:
    """What the figures depend on besides the code."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GB, "
        f"Python {platform.python_version()}, {versions}"
    )


def _processor() -> str:
    """As Linux names it."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _span(dates: Sequence[str]) -> str:
    if not dates:
        return "no day"
    return dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"


def cells(row: Row) -> list[str]:
    return [
        row.group,
        row.engine,
        str(row.runs),
        percent(row.mean_gap),
        percent(row.worst_gap),
        str(row.unserved),
        f"{row.memory_mb:,.0f}",
        percent(row.auto_gap),
    ]


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} %"


def _dynamic(days: Sequence[DynamicRow]) -> str:
    """With the sum of all as the last row."""
    total = DynamicRow(
        f"{len(days)} in all",
        sum(day.ours for day in days),
        sum(day.winner for day in days),
        sum(day.greedy for day in days),
        sum(day.lazy for day in days),
    )
    return _table(
        ["day", "ours", "winner", "greedy", "lazy", "ours over winner", "ours over greedy"],
        [
            [
                day.day,
                *(f"{cost:,.0f}" for cost in (day.ours, day.winner, day.greedy, day.lazy)),
                percent(gap(day.ours, day.winner)),
                percent(gap(day.ours, day.greedy)),
            ]
            for day in (*days, total)
        ],
    )


def _real_day(results: Sequence[Result]) -> list[str]:
    found = [r.outcome for r in results if r.task.group == REAL_DAY and not r.outcome.faults]
    if not found:
        return []
    day = found[-1]
    return [
        "## A real day",
        f"1,000 orders of Olist, three depots: {day.routes} routes, {day.unserved} stops unserved, "
        f"planned in {day.took_s:.1f} s. A promise to one more customer took "
        f"{day.promise_ms or 0:.1f} ms (99th percentile).",
    ]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write(report: Report, page: Path, command: str) -> None:
    """The page, and its picture beside it."""
    picture = page.with_suffix(".svg")
    page.write_text(markdown(report, command, picture.name), encoding="utf-8")
    picture.write_text(svg(report.rows), encoding="utf-8")
