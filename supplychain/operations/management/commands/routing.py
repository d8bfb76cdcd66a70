"""manage.py routing simulate: a day of the dynamic problem, epoch by epoch. Needs no servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from supplychain.errors import SupplyChainError
from supplychain.operations.bench_routing import dynamic_day, sample, table
from supplychain.operations.bench_routing.dynamic_day import Day, Planner, Request, Route
from supplychain.operations.bench_routing.dynamic_planner import POLICIES, planner


class Command(BaseCommand):
    help = "Try out route planning, apart from the orders of this system."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        simulate = actions.add_parser(
            "simulate",
            help="replay a day on which requests come in by and by: what leaves when, and the cost",
        )
        simulate.add_argument(
            "day", nargs="?", default=sample.DYNAMIC_SAMPLE[0], help="<instance>-seed<n>"
        )
        simulate.add_argument("--policy", choices=POLICIES, default=sample.OURS)
        simulate.add_argument("--seconds", type=float, default=sample.EPOCH_SECONDS, help="an hour")
        simulate.add_argument("--seed", type=int, default=sample.SEED)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            day = dynamic_day.read_day(options["day"])
            deciding = planner(
                day, options["policy"], seconds=options["seconds"], seed=options["seed"]
            )
            told = _Told(day, deciding)
            costs = dynamic_day.replay(day, told)
            others = table.published(options["day"])
        except SupplyChainError as failure:
            raise CommandError(str(failure)) from failure
        console = Console()
        console.print(told.table(costs))
        total = sum(costs.values())
        console.print(f"{options['policy']}: {total:,} seconds driven")
        for name, cost in others.items():
            console.print(f"published, {name}: {cost:,.0f} ({table.gap(total, cost):+.1f} %)")


class _Told:
    """A planner that remembers what it was asked and what it answered."""

    def __init__(self, day: Day, deciding: Planner) -> None:
        self._day = day
        self._deciding = deciding
        self._rows: dict[int, list[int]] = {}

    def __call__(self, epoch: int, waiting: Sequence[Request]) -> Sequence[Route]:
        routes = self._deciding(epoch, waiting)
        must = sum(1 for request in waiting if request.must_go(epoch))
        gone = sum(len(route) for route in routes)
        self._rows[epoch] = [len(waiting), must, gone, len(routes)]
        return routes

    def table(self, costs: dict[int, int]) -> Table:
        heads = ("leaves at", "waiting", "must go", "leave", "routes", "seconds driven")
        found = Table(*heads, title=self._day.name)
        for epoch, row in self._rows.items():
            at = f"{dynamic_day.departure_s(epoch) // 3600}:00"
            found.add_row(at, *(f"{number:,}" for number in (*row, costs[epoch])))
        return found
