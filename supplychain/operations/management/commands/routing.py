"""manage.py routing simulate: a day on which orders come in by and by, departure by departure: one
of the competition's, for which no server is needed, or with --depot one of this database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from routing.clock import must_be_departures
from routing.models import Depot
from routing.simulating import Replay, replay, shipments_of
from routing.waves import Along
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
        simulate.add_argument("--depot", help="its code: a day of this database instead")
        simulate.add_argument("--date", type=_date, help="of that day, as 2026-05-04")
        simulate.add_argument("--departures", help="to try instead of the depot's: 08:00, 10:00")
        simulate.add_argument("--policy", choices=POLICIES, default=sample.OURS)
        simulate.add_argument("--seconds", type=float, default=sample.EPOCH_SECONDS, help="an hour")
        simulate.add_argument("--seed", type=int, default=sample.SEED)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["depot"]:
                self._own_day(options)
            else:
                self._competition(options)
        except SupplyChainError as failure:
            raise CommandError(str(failure)) from failure

    def _own_day(self, options: dict[str, Any]) -> None:
        depot = Depot.objects.filter(code=options["depot"]).first()
        if depot is None or options["date"] is None:
            raise CommandError("Name a depot that there is, and with --date a day of it.")
        depot.departures = options["departures"] or depot.departures
        try:
            must_be_departures(depot.departures)
        except ValidationError as refusal:
            raise CommandError(" ".join(refusal.messages)) from refusal
        _replay_all(depot, options["date"], options["policy"], options["seconds"])

    def _competition(self, options: dict[str, Any]) -> None:
        day = dynamic_day.read_day(options["day"])
        deciding = planner(day, options["policy"], seconds=options["seconds"], seed=options["seed"])
        told = _Told(day, deciding)
        costs = dynamic_day.replay(day, told)
        others = table.published(options["day"])
        console = Console()
        console.print(told.table(costs))
        total = sum(costs.values())
        console.print(f"{options['policy']}: {total:,} seconds driven")
        for name, cost in others.items():
            console.print(f"published, {name}: {cost:,.0f} ({table.gap(total, cost):+.1f} %)")


def _date(text: str) -> date:
    return date.fromisoformat(text)


def _replay_all(depot: Depot, day: date, policy: str, seconds: float) -> None:
    """With each policy; the one asked for with all its departures."""
    console = Console()
    shipments = shipments_of(depot, day)
    replays = {
        along: replay(depot, day, shipments, along=along, seconds=seconds) for along in Along
    }
    asked = replays[Along(policy)]
    console.print(_departures(depot, day, asked))
    for along, found in replays.items():
        gap = (
            "" if found is asked else f" ({table.gap(asked.cost, found.cost):+.1f} % for {policy})"
        )
        unmet = f", {len(found.unmet)} never met" if found.unmet else ""
        console.print(f"{along}: cost {found.cost:,.2f}{unmet}{gap}")


def _departures(depot: Depot, day: date, found: Replay) -> Table:
    heads = ("leaves at", "waiting", "must go", "leave", "wait", "routes", "cost")
    shown = Table(*heads, title=f"{depot} on {day}, {found.along}")
    for one in found.decided:
        at = one.departure.at.astimezone(depot.zone)
        numbers = (one.waiting, one.must, one.leave, one.waiting - one.leave, one.routes)
        when = f"{at:%H:%M}" if at.date() == day else f"{at:%d %b %H:%M}"
        shown.add_row(when, *(f"{number:,}" for number in numbers), f"{one.cost:,.2f}")
    return shown


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
