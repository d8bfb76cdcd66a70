"""manage.py olist_run: all of Olist through the real processes."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from rich.console import Console

from orders.management.commands.create_channel import Command as CreateChannel
from orders.models import Channel, Order
from supplychain.errors import SupplyChainError
from supplychain.operations.children import Children
from supplychain.operations.full_run import VARIABLES, FullRun, declare
from supplychain.operations.loading.olist import Olist

FOLDER = settings.BASE_DIR.parent / "shared" / "data" / "olist"


class Command(BaseCommand):
    help = (
        "Run every order of Olist through relay, workers, planner and all, on an empty "
        "PostgreSQL and a RabbitMQ; then check the books and tell the times. The one-liner: "
        "python -m supplychain.native.run --durable -- python manage.py olist_run"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", nargs="?", type=Path, default=FOLDER, help="the olist folder")
        parser.add_argument("--keep-logs", action="store_true", help="also when all went well")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.EMBEDDED or connection.vendor != "postgresql":
            raise CommandError("It needs PostgreSQL and RabbitMQ: see --help for the one-liner.")
        call_command("migrate", verbosity=0)
        if Order.objects.exists():
            raise CommandError("This database holds orders already; the run needs an empty one.")
        declare(settings.CELERY_BROKER_URL)
        folder = Path(tempfile.mkdtemp(prefix="olist-run-"))
        console = Console()
        console.print(f"Logs of the processes: {folder}")
        try:
            found = self._run(console, folder, options["path"])
        except SupplyChainError as failure:
            raise CommandError(f"{failure}\nThe logs are in {folder}.") from failure
        if found:
            told = "\n  ".join(found)
            raise CommandError(f"The books don't balance:\n  {told}\nThe logs are in {folder}.")
        console.print("[green]Every order has come to a right end and the books balance.")
        if not options["keep_logs"]:
            shutil.rmtree(folder)

    def _run(self, console: Console, folder: Path, path: Path) -> list[str]:
        CreateChannel.channel_token("olist", "Olist")
        channel = Channel.objects.get(code="olist")
        with Children(folder, VARIABLES) as children:
            run = FullRun(console, children, folder, Olist(path))
            try:
                return run.run(channel)
            finally:
                run.tell()
