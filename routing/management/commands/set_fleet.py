"""manage.py set_fleet: give depots equal vehicles."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from routing.models import Depot
from routing.services import InvalidFleet, set_fleet


class Command(BaseCommand):
    help = "Give a depot (or all) this many equal vehicles; what it had is retired."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--depot", help="its code; all when left out")
        parser.add_argument("--vehicles", type=int, required=True)
        parser.add_argument("--capacity-kg", type=float, required=True)
        parser.add_argument("--capacity-m3", type=float, required=True)
        parser.add_argument("--shift-hours", type=float, required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        names = ("vehicles", "capacity_kg", "capacity_m3", "shift_hours")
        fleet = {name: options[name] for name in names}
        depots = Depot.objects.all()
        if options["depot"]:
            depots = depots.filter(code=options["depot"])
        if not depots:
            raise CommandError("There is no such depot; depots come from inventory's warehouses.")
        for depot in depots:
            try:
                set_fleet(depot=depot, **fleet)
            except InvalidFleet as refusal:
                raise CommandError(str(refusal)) from refusal
            self.stdout.write(f"{depot}: {fleet['vehicles']} vehicles")
