"""manage.py bench: throughput, latency and memory, as ratios to peers measured in the same run."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from supplychain.native.servers import FOLDER_VARIABLE
from supplychain.operations.bench import (
    large,
    latency,
    memory,
    relaying,
    reserving,
    scarcity,
    throughput,
)
from supplychain.operations.bench.figures import Figure, Tick, show, write

#: Name → the function and how many parts it reports.
BENCHES: dict[str, tuple[Callable[[Path, Tick], list[Figure]], int]] = {
    "relay": (relaying.measure, relaying.PARTS),
    "latency": (latency.measure, latency.PARTS),
    "throughput": (throughput.measure, throughput.PARTS),
    "reserving": (reserving.measure, reserving.PARTS),
    "scarcity": (scarcity.measure, scarcity.PARTS),
    "availability": (large.availability, large.AVAILABILITY_PARTS),
    "verification": (large.verification, large.VERIFICATION_PARTS),
    "memory": (memory.measure, memory.PARTS),
}


class Command(BaseCommand):
    help = "Measure on this machine. It empties its database and queues: never point it at yours."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("only", nargs="*", help=f"some of {', '.join(BENCHES)}; all if none")
        parser.add_argument("--json", type=Path, default=Path("bench.json"), help="also write here")
        parser.add_argument(
            "--empty-my-servers",
            action="store_true",
            help="needed with DATABASE_URL and CELERY_BROKER_URL of your own",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = options["only"] or list(BENCHES)
        if unknown := set(chosen) - set(BENCHES):
            raise CommandError(f"No bench is named {', '.join(unknown)}; see --help.")
        self._only_private_servers(options["empty_my_servers"])
        call_command("migrate", verbosity=0)
        logging.getLogger().setLevel(logging.ERROR)
        console = Console()
        console.print(f"Python {platform.python_version()}, {platform.machine()}")
        figures = [figure for name in chosen for figure in self._run(name, console)]
        show(console, figures)
        write(options["json"], figures)
        console.print(f"Figures are in {options['json']}.")

    def _only_private_servers(self, allowed: bool) -> None:
        private = FOLDER_VARIABLE in os.environ
        if settings.EMBEDDED or not (private or allowed):
            raise CommandError(
                "Type `make bench`: it starts servers of its own. On servers of yours the bench "
                "empties database and queues; --empty-my-servers says that you want that."
            )

    def _run(self, name: str, console: Console) -> list[Figure]:
        measure, parts = BENCHES[name]
        columns = [TextColumn("{task.description:<52}"), BarColumn(), TimeElapsedColumn()]
        with TemporaryDirectory(prefix="bench-") as folder, Progress(*columns) as progress:
            task = progress.add_task(name, total=parts)

            def tick(part: str) -> None:
                progress.update(task, advance=1, description=f"{name}: {part}")

            found = measure(Path(folder), tick)
            progress.update(task, completed=parts, description=name)
        return found
