"""manage.py stock verify: do the books balance?"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from inventory import selectors
from inventory.models import StockLevel


class Command(BaseCommand):
    help = "verify: ledger sum = on hand, held reservations = reserved, nothing negative."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["verify"])

    def handle(self, *args: Any, **options: Any) -> None:
        wrong = 0
        for line in selectors.books_off():
            self.stdout.write(line)
            wrong += 1
        if wrong:
            raise CommandError(f"{wrong} stock levels are off; see above.")
        self.stdout.write(f"{StockLevel.objects.count()} stock levels: the books balance.")
