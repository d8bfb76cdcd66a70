"""manage.py load_orders: place the orders of a file, and tell what was refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from orders.intake import MAX_BULK
from orders.models import Channel
from supplychain.operations.loading import olist_world
from supplychain.operations.loading.items import Source
from supplychain.operations.loading.loader import Loader, Tally
from supplychain.operations.loading.olist import Olist
from supplychain.operations.loading.orders_csv import OrdersCsv
from supplychain.operations.loading.rows import UnusableFile
from supplychain.operations.loading.targets import Closed, Http, InProcess, Target, Unreachable

TOKEN_VARIABLE = "LOAD_ORDERS_TOKEN"  # noqa: S105 - the name of one
#: Exit codes beside 0, which means: read to the end.
SOME_REFUSED, NOT_TO_THE_END = 1, 2


class Command(BaseCommand):
    help = (
        "Place the orders of PATH as POST /api/v1/orders/bulk/ does. A row that can't be placed "
        "stops no other; what was refused is told at the end. Run it again at any time: orders "
        "that are there are found by external_id. Exit code 0: the file was read to its end "
        "(with --strict: and nothing was refused, else 1); 2: it could not be."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, help="a CSV file (.gz too), or the olist folder")
        parser.add_argument(
            "--format", choices=["csv", "olist"], default="csv", help="docs/orders-csv.md says csv"
        )
        parser.add_argument("--channel", help="place as this channel, straight on the database")
        parser.add_argument("--api", metavar="URL", help="place over HTTP: http://localhost:8000")
        parser.add_argument(
            "--token", help=f"of the channel, for --api; or in the environment as {TOKEN_VARIABLE}"
        )
        parser.add_argument("--chunk", type=int, default=MAX_BULK, help="orders per request")
        parser.add_argument("--report", type=Path, help="write every refusal to this CSV file")
        parser.add_argument("--strict", action="store_true", help="exit 1 if any was refused")
        parser.add_argument(
            "--skip-known",
            action="store_true",
            help="don't compare orders that are there already (with --channel): quicker",
        )
        parser.add_argument(
            "--prepare",
            action="store_true",
            help="olist: first register products, warehouses and stock (on the database); "
            "every tenth unit of the demand is not in stock at first",
        )
        parser.add_argument(
            "--receive-rest",
            action="store_true",
            help="olist: only book in the units that were not in stock at first",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.console = Console(stderr=True)
        try:
            self._check(options)
            source = _open(options)
            if isinstance(source, Olist) and self._in_its_world(source, options):
                return
            target = _target(options)
            with _report(options["report"]) as report:
                tally = Tally(report)
                self._load(source, target, tally, options["chunk"])
        except (UnusableFile, Closed) as failure:
            raise CommandError(str(failure), returncode=NOT_TO_THE_END) from failure
        if options["strict"] and tally.refused:
            raise CommandError(f"{tally.refused} were refused.", returncode=SOME_REFUSED)

    def _check(self, options: dict[str, Any]) -> None:
        if not 1 <= options["chunk"] <= MAX_BULK:
            raise CommandError(f"--chunk takes 1 to {MAX_BULK}.", returncode=NOT_TO_THE_END)
        if (options["prepare"] or options["receive_rest"]) and options["format"] != "olist":
            raise CommandError(
                "--prepare and --receive-rest belong to --format olist.", returncode=NOT_TO_THE_END
            )

    def _in_its_world(self, olist: Olist, options: dict[str, Any]) -> bool:
        """Make what the orders need; True when that is all that was asked for."""
        if options["receive_rest"]:
            units = olist_world.receive_rest(olist)
            self.stdout.write(f"{units} units are in that were missing at first.")
            return True
        if options["prepare"]:
            counts = olist_world.prepare(olist)
            self.stdout.write(", ".join(f"{count} {what}" for what, count in counts.items()))
        return not (options["channel"] or options["api"]) and bool(options["prepare"])

    def _load(self, source: Source, target: Target, tally: Tally, chunk: int) -> None:
        stopped = ""
        with self._progress() as progress:
            task = progress.add_task("Orders", total=source.total, figures="")

            def tick(position: int) -> None:
                progress.update(task, completed=position, figures=_figures(tally, progress, task))

            try:
                Loader(target, tally, chunk=chunk, tick=tick).run(source)
            except (Unreachable, Closed, OSError) as failure:
                stopped = str(failure)
            elapsed = progress.tasks[task].elapsed or 0.0
        self._tell(tally, elapsed)
        if problem := stopped or source.damage:
            raise CommandError(
                f"Not read to the end. {problem}\nRun the same again to go on.",
                returncode=NOT_TO_THE_END,
            )

    def _progress(self) -> Progress:
        columns = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()]
        return Progress(
            *columns,
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=self.console,
        )

    def _tell(self, tally: Tally, seconds: float) -> None:
        rate = tally.seen / seconds if seconds else 0.0
        self.stdout.write(
            f"{tally.created} created, {tally.existing} existing, {tally.refused} refused "
            f"in {seconds:.1f} s ({rate:,.0f}/s)"
        )
        if not tally.groups:
            return
        table = Table("count", "field", "reason (an example)", "rows", title="Refused")
        for group in sorted(tally.groups.values(), key=lambda g: -g.count):
            rows = ", ".join(map(str, group.rows)) + (", …" if group.count > 5 else "")
            # As text: what stands in a file must not be taken for markup.
            cells = (str(group.count), group.field_name, group.reason[:300], rows)
            table.add_row(*(Text(cell) for cell in cells))
        Console(file=cast(IO[str], self.stdout), width=120).print(table)


def _open(options: dict[str, Any]) -> Source:
    path: Path = options["path"]
    try:
        return Olist(path) if options["format"] == "olist" else OrdersCsv(path)
    except OSError as failure:
        raise UnusableFile(f"{path} can't be read: {failure.strerror or failure}.") from failure


def _target(options: dict[str, Any]) -> Target:
    if bool(options["channel"]) == bool(options["api"]):
        raise Closed("Say where to: --channel CODE (on the database) or --api URL --token TOKEN.")
    if options["channel"]:
        channel = Channel.objects.filter(code=options["channel"], active=True).first()
        if channel is None:
            code = options["channel"]
            raise Closed(f"There is no active channel {code!r}; `manage.py create_channel` it.")
        return InProcess(channel, skip_known=options["skip_known"])
    token = options["token"] or os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise Closed(f"--api needs the channel's --token (or {TOKEN_VARIABLE}).")
    return Http(options["api"], token)


@contextmanager
def _report(path: Path | None) -> Iterator[IO[str] | None]:
    if path is None:
        with nullcontext() as nothing:
            yield nothing
        return
    try:
        file = path.open("w", newline="", encoding="utf-8")
    except OSError as failure:
        raise UnusableFile(f"{path} can't be written: {failure.strerror}.") from failure
    with file:
        yield file


def _figures(tally: Tally, progress: Progress, task: Any) -> str:
    elapsed = progress.tasks[task].elapsed or 0.0
    rate = tally.seen / elapsed if elapsed else 0.0
    return f"{tally.seen:,} seen, {tally.refused:,} refused, {rate:,.0f}/s"
