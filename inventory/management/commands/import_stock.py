"""manage.py import_stock: stock levels from a CSV file; see docs/stock-csv.md."""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from inventory import importing
from inventory.checking import InvalidStockChange
from inventory.models import StockImport
from inventory.stock_files import StockFileRefused

#: Seconds between two words about how far it is; wrong rows that are shown.
EVERY, SHOWN = 1.0, 20


class Command(BaseCommand):
    help = (
        "Make stock levels what a CSV file says (warehouse,sku,on_hand[,safety_stock,"
        "reorder_point]). Cut off, the same command goes on where it stopped. Exit 1 when rows "
        "were not taken."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--reference", help="what it is known by; default: the file's name")
        parser.add_argument("--actor", default=getpass.getuser(), help="default: your login")

    def handle(self, *args: Any, **options: Any) -> None:
        file: Path = options["file"]
        try:
            with file.open("rb") as source:
                done = importing.import_levels(
                    source=source,
                    reference=options["reference"] or file.name,
                    actor=options["actor"],
                    on_the_way=self._progress(),
                )
        except OSError as wrong:
            raise CommandError(f"{file} can't be read: {wrong.strerror}.") from wrong
        except (StockFileRefused, InvalidStockChange) as refusal:
            raise CommandError(str(refusal)) from refusal
        self._report(done)

    def _progress(self) -> Any:
        last = time.monotonic()

        def say(done: StockImport, rows: int) -> None:
            nonlocal last
            if time.monotonic() - last >= EVERY:
                last = time.monotonic()
                self.stderr.write(f"{done.rows_done:,} of {rows:,} rows …")

        return say

    def _report(self, done: StockImport) -> None:
        for error in done.errors.all()[:SHOWN]:
            self.stdout.write(str(error))
        if done.rows_wrong > SHOWN:
            self.stdout.write(f"… and {done.rows_wrong - SHOWN:,} more; the admin has all.")
        self.stdout.write(
            f"{done.reference}: {done.rows_done:,} rows, {done.rows_changed:,} levels changed, "
            f"{done.rows_wrong:,} rows not taken."
        )
        if done.rows_wrong:
            raise CommandError("Mend the rows above and import them under another reference.")
