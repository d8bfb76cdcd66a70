"""manage.py stock: do the books balance, and if not, put one level right."""

from __future__ import annotations

import getpass
import textwrap
import time
from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from inventory import balancing, correcting, selectors
from inventory.checking import InvalidStockChange
from inventory.models import StockLevel

#: Seconds between two words about how far it is.
EVERY = 2.0
CORRECT = """
    Makes one stock level, its ledger and its held reservations agree, by a line of the ledger
    with the reason "correction".

    Nobody has looked at the shelf: the ledger is the truth about the past. The level's figure
    becomes the ledger's sum; the line is of 0 units and says what was found.
    Somebody has (--counted): the shelf is the truth. The level's figure becomes what was counted,
    and the line moves the ledger to it.
    A ledger below zero can't be true: it is moved to the level's figure.
    What is reserved becomes the sum of the held reservations, whatever else.
"""


class Command(BaseCommand):
    help = "verify the books, correct a level, propose transfers between warehouses."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser(
            "verify",
            help="ledger = level, held reservations = reserved, nothing negative; exit 1 if not",
        )
        correct = actions.add_parser(
            "correct",
            help="put one level right that is off",
            description=textwrap.dedent(CORRECT),
            formatter_class=RawDescriptionHelpFormatter,
        )
        correct.add_argument("--warehouse", required=True, help="its code")
        correct.add_argument("--sku", required=True)
        correct.add_argument("--reason", required=True)
        correct.add_argument("--actor", default=getpass.getuser(), help="default: your login")
        correct.add_argument("--counted", type=int, help="units that are really on hand")
        propose = actions.add_parser("propose-transfers", help="as beat does, but now")
        propose.add_argument("--actor", default=getpass.getuser())

    def handle(self, *args: Any, **options: Any) -> None:
        action = {
            "verify": self.verify,
            "correct": self.correct,
            "propose-transfers": self.propose_transfers,
        }
        action[options["action"]](options)

    def verify(self, options: dict[str, Any]) -> None:
        total, wrong = StockLevel.objects.count(), 0
        for line in selectors.books_off(self._progress(total)):
            self.stdout.write(line)
            wrong += 1
        if wrong:
            raise CommandError(f"{wrong} stock levels are off; see above.")
        self.stdout.write(f"{total} stock levels: the books balance.")

    def _progress(self, total: int) -> Any:
        last = time.monotonic()

        def say(seen: int) -> None:
            nonlocal last
            if time.monotonic() - last >= EVERY:
                last = time.monotonic()
                self.stderr.write(f"{min(seen, total):,} of {total:,} stock levels …")

        return say

    def correct(self, options: dict[str, Any]) -> None:
        level = StockLevel.objects.filter(
            warehouse__code=options["warehouse"], product__sku=options["sku"]
        ).first()
        if level is None:
            raise CommandError(f"There is no stock of {options['sku']} in {options['warehouse']}.")
        try:
            after = correcting.correct_stock(
                level_id=level.pk,
                reason=options["reason"],
                actor=options["actor"],
                counted=options["counted"],
            )
        except InvalidStockChange as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{after}: {after.on_hand} on hand, {after.reserved} reserved.")

    def propose_transfers(self, options: dict[str, Any]) -> None:
        proposed = balancing.propose_transfers(actor=options["actor"])
        for transfer in proposed:
            self.stdout.write(f"{transfer}: {transfer.lines.count()} products")
        self.stdout.write(f"{len(proposed)} transfers proposed.")
