"""manage.py bench_routing: plans against the best known solutions. Needs no servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from supplychain.errors import SupplyChainError
from supplychain.operations.bench_routing import data, page, table
from supplychain.operations.bench_routing.measuring import measured
from supplychain.operations.bench_routing.page import Report
from supplychain.operations.bench_routing.results import Result, Store, revision
from supplychain.operations.bench_routing.sample import NAMES, Task, planned_seconds, tasks

PAGE = settings.BASE_DIR / "docs" / "bench-routing.md"


class Command(BaseCommand):
    help = (
        "Plan the benchmarks' instances, compare with the best known costs and judge the goals. "
        "What has been run before is not run again; an interrupted run goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("only", nargs="*", help=f"some of {', '.join(NAMES)}; all if none")
        parser.add_argument("--full", action="store_true", help="every instance given: hours")
        parser.add_argument("--fresh", action="store_true", help="forget what was run before")
        parser.add_argument("--seconds", type=float, help="so many for every run, to try it out")
        parser.add_argument(
            "--results", type=Path, default=Path("bench-routing.jsonl"), help="a line for each run"
        )
        parser.add_argument("--page", type=Path, help="write table and plot here, too")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = self._wanted(options["only"])
        try:
            todo = tasks(wanted, full=options["full"], seconds=options["seconds"])
            results = self._run(todo, Store(options["results"]), fresh=options["fresh"])
            report = _report(todo, results)
        except SupplyChainError as failure:
            raise CommandError(str(failure)) from failure
        _show(Console(), report)
        # The page of the docs is about the whole sample, with the time that the goals allow.
        whole = wanted == set(NAMES) and options["seconds"] is None
        if path := options["page"] or (PAGE if whole else None):
            page.write(report, path, f"make bench-routing{' FULL=1' * options['full']}")
            self.stdout.write(f"Written: {path}")
        if missed := [goal for goal in report.goals if not goal.met]:
            raise CommandError(f"{len(missed)} of {len(report.goals)} goals are missed.")

    def _wanted(self, only: list[str]) -> set[str]:
        if unknown := set(only) - set(NAMES):
            raise CommandError(f"No set is named {', '.join(unknown)}; see --help.")
        return set(only or NAMES)

    def _run(self, todo: list[Task], store: Store, *, fresh: bool) -> list[Result]:
        if fresh:
            store.clear()
        now = revision()
        done = store.load(todo, now)
        if done:
            self.stdout.write(f"{len(done)} of {len(todo)} runs are known from before.")
        columns = [TextColumn("{task.description:<44.44}"), BarColumn(), TimeElapsedColumn()]
        with Progress(*columns, TimeRemainingColumn()) as progress:
            left = [task for task in todo if task not in done]
            bar = progress.add_task("", total=sum(map(planned_seconds, left)))
            for task in left:
                progress.update(bar, description=f"{task.engine}: {task.instance}")
                done[task] = measured(task, now)
                store.add(done[task])
                # Also where there is no terminal to draw a bar on.
                progress.console.print(_said(done[task]), highlight=False)
                progress.advance(bar, planned_seconds(task))
        return [done[task] for task in todo]


def _said(result: Result) -> str:
    """What came of one run."""
    task, outcome = result.task, result.outcome
    gaps = [row.mean_gap for row in table.rows([result], data.best_known())]
    over = f", {page.percent(gaps[0])} over the best known" if gaps else ""
    faults = f"; {len(outcome.faults)} faults" if outcome.faults else ""
    return f"{task.instance}, {task.engine}: {outcome.took_s:,.0f} s{over}{faults}"


def _report(todo: list[Task], results: list[Result]) -> Report:
    rows = table.rows(results, data.best_known())
    days = table.dynamic_rows(results)
    return Report(rows, days, table.goals(todo, results, rows, days), results)


def _show(console: Console, report: Report) -> None:
    if report.rows:
        console.print(_rows(report))
    for day in report.days:
        over = (
            page.percent(table.gap(day.ours, day.winner)),
            page.percent(table.gap(day.ours, day.greedy)),
        )
        console.print(f"{day.day}: {day.ours:,.0f}; over the winner {over[0]}, greedy {over[1]}")
    for goal in report.goals:
        colour = "green" if goal.met else "red"
        console.print(f"[{colour}]{goal.what}: {goal.verdict}")
    for result in report.results:
        for fault in result.outcome.faults:
            console.print(f"[red]{result.task.instance}, {result.task.engine}: {fault}")


def _rows(report: Report) -> Table:
    heads = ("set", "engine", "runs", "mean gap", "worst", "unserved", "MB", "auto's gap there")
    found = Table(*heads, title="Gaps to the best known costs")
    for row in report.rows:
        found.add_row(*page.cells(row))
    return found
