"""manage.py topology: what the broker should hold, and to declare it."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from kombu import Connection
from rich.console import Console
from rich.table import Column, Table

from supplychain.events import topology
from supplychain.events.consumers import consumers


class Command(BaseCommand):
    help = "Show exchanges, queues and bindings; declare them with --declare."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--declare", action="store_true", help="declare it in the broker, and unbind the rest"
        )
        parser.add_argument("--recreate", metavar="NAME", help="replace an empty queue or exchange")
        parser.add_argument("--wait", type=float, default=30, help="seconds to wait for the broker")

    def handle(self, *args: Any, **options: Any) -> None:
        if not (options["declare"] or options["recreate"]):
            self._show()
            return
        if settings.EMBEDDED:
            raise CommandError("CELERY_BROKER_URL is not set: there is no broker to declare in.")
        try:
            with Connection(settings.CELERY_BROKER_URL, connect_timeout=5) as connection:
                self._reach(connection, options["wait"])
                if options["recreate"]:
                    topology.recreate(connection, options["recreate"])
                declared = topology.declare(connection)
                topology.prune(connection)
        except topology.TopologyConflict as conflict:
            raise CommandError(str(conflict)) from conflict
        self.stdout.write(
            f"Declared {len(declared.exchanges)} exchanges, {len(declared.queues)} queues and "
            f"{len(declared.bindings)} bindings."
        )

    def _reach(self, connection: Connection, patience: float) -> None:
        try:
            connection.ensure_connection(max_retries=max(1, int(patience)), interval_step=0)
        except Exception as failure:
            raise CommandError(
                f"The broker at {connection.as_uri()} can't be reached: {failure}. Is RabbitMQ "
                "running, and is CELERY_BROKER_URL right?"
            ) from failure

    def _show(self) -> None:
        wanted = topology.topology()
        # Into a file or a pipe nothing is cut to the width of a terminal.
        console = Console(width=None if sys.stdout.isatty() else 200)
        exchanges = Table("exchange", "type", title="Exchanges")
        for exchange in wanted.exchanges:
            exchanges.add_row(exchange.name, exchange.type)
        arguments_column = Column("arguments", overflow="fold")
        queues = Table("queue", "bound to", "key", arguments_column, title="Queues")
        for queue in wanted.queues:
            arguments = "\n".join(f"{k}={v}" for k, v in (queue.queue_arguments or {}).items())
            queues.add_row(queue.name, queue.exchange.name, queue.routing_key, arguments)
        bindings = Table("exchange", "key", "queue", title="Subscriptions")
        for binding in wanted.bindings:
            bindings.add_row(binding.exchange, binding.routing_key, binding.queue)
        tasks = Table("consumer", "batch", "attempts", "first wait s", "cap s", title="Consumers")
        for declared in consumers():
            retry = declared.retry
            tasks.add_row(
                declared.name, *map(str, (declared.job_size, retry.attempts, retry.base, retry.cap))
            )
        for table in (exchanges, queues, bindings, tasks):
            console.print(table)
