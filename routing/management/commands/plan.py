"""manage.py plan: plan depots now, by hand."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from routing.models import Depot
from routing.planning import plan_depot


class Command(BaseCommand):
    help = "Plan what is open at a depot (or at all), without waiting for the planner's tick."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--depot", help="its code; all when left out")

    def handle(self, *args: Any, **options: Any) -> None:
        depots = Depot.objects.order_by("code")
        if options["depot"]:
            depots = depots.filter(code=options["depot"])
            if not depots:
                raise CommandError(f"There is no depot {options['depot']!r}.")
        for depot in depots:
            run = plan_depot(depot=depot)
            if run is None:
                self.stdout.write(f"{depot}: a run is under way")
            else:
                result = run.error or f"{run.planned} planned, {run.unplanned} not"
                self.stdout.write(f"{depot}: {result} ({run.solver_seconds:.1f} s of search)")
