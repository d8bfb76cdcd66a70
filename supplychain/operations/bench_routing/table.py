"""Promise: the table says of every goal whether it is met, and a goal without a measurement, or
with a plan that breaks a constraint, counts as missed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TypeVar

from . import data
from .data import Known
from .results import Result
from .sample import AUTO, EURO_DYNAMIC, GROUPS, REAL_DAY, Group, Task

T = TypeVar("T")

#: Our policy's cost over that of letting everything go at once, in %: "clearly below".
MOST_OVER_GREEDY = -3.0
DAY_SECONDS, PROMISE_MS = 60.0, 50.0


@dataclass(frozen=True)
class Row:
    """A group's runs with one engine. Gaps are in % of the best known cost; ``auto_gap`` is that
    of ``auto`` on the same instances."""

    group: str
    engine: str
    runs: int
    mean_gap: float | None
    worst_gap: float | None
    auto_gap: float | None
    unserved: int
    memory_mb: float
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Goal:
    what: str
    value: float | None
    most: float
    unit: str

    @property
    def met(self) -> bool:
        return self.value is not None and self.value <= self.most

    @property
    def verdict(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:,.2f} {self.unit}"
        return f"{value} (≤ {self.most:g}): {'met' if self.met else 'MISSED'}"


def gap(cost: float, known: float) -> float:
    """In % of the best known cost."""
    return 100 * (cost - known) / known


def rows(results: Iterable[Result], known: Mapping[str, Known]) -> list[Row]:
    """Of the groups with best known costs, in the order of the groups."""
    by_kind: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        by_kind.setdefault((result.task.group, result.task.engine), []).append(result)
    return [
        _row(group, engine, by_kind[group.name, engine], by_kind.get((group.name, AUTO), []), known)
        for group in GROUPS
        for engine in (AUTO, *group.others)
        if (group.name, engine) in by_kind
    ]


def _row(
    group: Group,
    engine: str,
    results: Sequence[Result],
    of_auto: Sequence[Result],
    known: Mapping[str, Known],
) -> Row:
    instances = {result.task.instance for result in results}
    gaps = _gaps(results, known)
    auto = _gaps([result for result in of_auto if result.task.instance in instances], known)
    searchers = {result.outcome.searcher for result in results} - {"", engine}
    name = f"{engine} ({', '.join(sorted(searchers))})" if engine == AUTO else engine
    return Row(
        group.name,
        name,
        len(results),
        mean(gaps) if gaps else None,
        max(gaps, default=None),
        mean(auto) if auto else None,
        sum(result.outcome.unserved for result in results),
        max(result.memory_mb for result in results),
        tuple(fault for result in results for fault in _told(result)),
    )


def _gaps(results: Iterable[Result], known: Mapping[str, Known]) -> list[float]:
    """Only a plan that serves all and breaks nothing has one."""
    whole = (r for r in results if not (r.outcome.faults or r.outcome.unserved))
    return [gap(r.outcome.cost, known[r.task.instance].cost) for r in whole]


def _told(result: Result) -> list[str]:
    return [f"{result.task.instance}, {result.task.engine}: {f}" for f in result.outcome.faults]


# --- the dynamic days ---------------------------------------------------------------------


@dataclass(frozen=True)
class DynamicRow:
    """A day's costs: ours, and those published for the same requests."""

    day: str
    ours: float
    winner: float
    greedy: float
    lazy: float


def dynamic_rows(results: Iterable[Result]) -> list[DynamicRow]:
    """Raises NoData."""
    found = []
    for result in results:
        if result.task.group == EURO_DYNAMIC and not result.outcome.faults:
            day = result.task.instance
            found.append(DynamicRow(day, result.outcome.cost, *published(day).values()))
    return found


def published(day: str) -> dict[str, float]:
    """What others drove on this day of the competition. Raises NoData."""
    columns = {"winner": "Kleopatra", "greedy": "baseline_greedy", "lazy": "baseline_lazy"}
    for row in data.rows(data.folder() / "euro" / "results_dynamic.csv"):
        if f"{row['instance']}-seed{row['seed']}" == day:
            return {name: float(row[column]) for name, column in columns.items()}
    raise data.NoData(f"No results are published for {day}.")


# --- the goals ----------------------------------------------------------------------------


def goals(
    tasks: Iterable[Task],
    results: Sequence[Result],
    measured: Sequence[Row],
    days: Sequence[DynamicRow],
) -> list[Goal]:
    """Those of the groups that were to be run."""
    wanted = {task.group for task in tasks}
    faults = sum(len(r.outcome.faults) for r in results)
    found = [Goal("constraints broken and runs failed", float(faults), 0, "in all")]
    first = {row.group: row for row in reversed(measured)}
    for group in GROUPS:
        if group.name in wanted:
            found += _group_goals(group, first.get(group.name))
    if EURO_DYNAMIC in wanted:
        over = gap(sum(d.ours for d in days), sum(d.greedy for d in days)) if days else None
        found.append(Goal("dynamic days: cost over greedy's", over, MOST_OVER_GREEDY, "%"))
    if REAL_DAY in wanted:
        day = next((r for r in results if r.task.group == REAL_DAY), None)
        found += _day_goals(day)
    return found


def _group_goals(group: Group, row: Row | None) -> Iterator[Goal]:
    """Of ``auto``, the first row of its group."""
    mine = row if row and row.engine.startswith(AUTO) else None
    yield _goal(f"{group.title}: stops unserved", mine, lambda row: row.unserved, 0, "in all")
    if group.most_gap is not None:
        what = f"{group.title}: mean gap"
        yield _goal(what, mine, lambda row: row.mean_gap, group.most_gap, "%")
    if group.most_mb is not None:
        what = f"{group.title}: peak memory"
        yield _goal(what, mine, lambda row: row.memory_mb, group.most_mb, "MB")


def _day_goals(result: Result | None) -> Iterator[Goal]:
    outcome = result.outcome if result and not result.outcome.faults else None
    yield _goal("real day: time to a plan", outcome, lambda o: o.took_s, DAY_SECONDS, "s")
    yield _goal("real day: stops unserved", outcome, lambda o: o.unserved, 0, "in all")
    what = "promise with 1,000 stops planned, p99"
    yield _goal(what, outcome, lambda o: o.promise_ms, PROMISE_MS, "ms")


def _goal(
    what: str, of: T | None, value: Callable[[T], float | None], most: float, unit: str
) -> Goal:
    return Goal(what, None if of is None else value(of), most, unit)
