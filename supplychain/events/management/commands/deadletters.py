"""manage.py deadletters: look at, redrive or discard what could not be handled."""

import json
import logging
import signal
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError
from django.db.models import Count, Max, QuerySet
from kombu import Connection
from rich.console import Console
from rich.table import Table

from supplychain.events import deadletters
from supplychain.events.ending import end_anyway
from supplychain.events.handling import DatabaseAway, shutting_down
from supplychain.events.models import DeadLetter
from supplychain.events.topology import TopologyConflict


class Command(BaseCommand):
    help = "List, show, redrive or discard dead letters; ingest drains the dead-letter queues."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("list", help="open dead letters, grouped by exception")
        listing.add_argument("--all", action="store_true", help="redriven and discarded ones too")
        show = actions.add_parser("show", help="one dead letter, whole")
        show.add_argument("id", type=int)
        for name in ("redrive", "discard"):
            action = actions.add_parser(name, help=f"{name} by id, or all of a selection")
            action.add_argument("ids", nargs="*", type=int)
            action.add_argument("--queue")
            action.add_argument("--consumer")
            action.add_argument("--exception")
            action.add_argument("--all", action="store_true", help="every open one")
            action.add_argument("--note", default="")
        actions.add_parser("ingest", help="drain the dead-letter queues into rows, until SIGTERM")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['action']}")(options)

    def _list(self, options: dict[str, Any]) -> None:
        rows = DeadLetter.objects.all() if options["all"] else _open()
        groups = (
            rows.values("state", "queue", "consumer", "reason", "exception")
            .annotate(count=Count("pk"), last=Max("last_seen_at"), example=Max("pk"))
            .order_by("-last")
        )
        columns = ("state", "queue", "consumer", "reason", "exception", "count", "last", "example")
        table = Table(*columns, title=f"{rows.count()} dead letters")
        for group in groups:
            table.add_row(*(str(dict(group)[column]) for column in columns))
        Console().print(table)

    def _show(self, options: dict[str, Any]) -> None:
        letter = _get(options["id"])
        for field in letter._meta.fields:
            value = getattr(letter, field.name)
            if field.name == "body":
                value = _pretty(bytes(value))
            self.stdout.write(f"{field.name:15} {value}")

    def _redrive(self, options: dict[str, Any]) -> None:
        self._decide(deadletters.redrive, "goes back", options)

    def _discard(self, options: dict[str, Any]) -> None:
        self._decide(deadletters.discard, "discarded", options)

    def _decide(self, service: Callable[..., None], done: str, options: dict[str, Any]) -> None:
        """One that can't be decided on keeps none of the others from it."""
        refused = 0
        for letter in self._selection(options):
            try:
                service(letter, by="command line", note=options["note"])
                self.stdout.write(f"{done}: {letter.pk} {letter}")
            except (deadletters.DeadLetterNotOpen, deadletters.NothingToRedrive) as refusal:
                refused += 1
                self.stderr.write(str(refusal))
        if refused:
            raise CommandError(f"{refused} were left as they are.")

    def _selection(self, options: dict[str, Any]) -> list[DeadLetter]:
        if options["ids"]:
            return [_get(pk) for pk in options["ids"]]
        chosen = {k: options[k] for k in ("queue", "consumer", "exception") if options[k]}
        if not (chosen or options["all"]):
            raise CommandError("Say which: ids, --queue, --consumer, --exception, or --all.")
        return list(_open().filter(**chosen).order_by("pk"))

    def _ingest(self, options: dict[str, Any]) -> None:
        from supplychain.events.ingester import Ingester

        if settings.EMBEDDED:
            raise CommandError("CELERY_BROKER_URL is not set: there is no broker to drain.")
        logging.getLogger("kombu").setLevel(logging.WARNING)
        ingester = Ingester(Connection(settings.CELERY_BROKER_URL, heartbeat=30))

        def stop(*_: Any) -> None:
            ingester.should_stop = True
            shutting_down.set()  # no wait for a database that is away
            end_anyway()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        try:
            ingester.run()
        except TopologyConflict as conflict:
            raise CommandError(str(conflict)) from conflict
        except (DatabaseAway, OperationalError, InterfaceError):
            if not ingester.should_stop:
                raise


def _open() -> QuerySet[DeadLetter]:
    return DeadLetter.objects.filter(state=DeadLetter.State.OPEN)


def _get(pk: int) -> DeadLetter:
    letter = DeadLetter.objects.filter(pk=pk).first()
    if letter is None:
        raise CommandError(f"There is no dead letter {pk}; `deadletters list --all` shows them.")
    return letter


def _pretty(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body), indent=2)
    except ValueError:
        return repr(body)
