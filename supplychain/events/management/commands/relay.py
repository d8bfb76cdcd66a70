"""manage.py relay: publish the outbox until told to stop."""

import gc
import logging
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from kombu import Connection

from supplychain.events import topology
from supplychain.events.ending import end_anyway
from supplychain.events.relay import BATCH, Relay
from supplychain.events.wires import open_wire

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Publish committed events to the broker, until SIGTERM. Several may run side by side."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, default=BATCH, help="rows per round")

    def handle(self, *args: Any, **options: Any) -> None:
        from django.conf import settings

        if settings.EMBEDDED:
            raise CommandError(
                "CELERY_BROKER_URL is not set, so the broker lives inside each process and "
                "nobody would hear this relay. Set it to amqp://…, or use `make demo`."
            )
        relay = Relay(open_wire(), batch=options["batch"])

        def stop(*_: Any) -> None:
            relay.stop()
            end_anyway()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        self._declare(relay)
        gc.freeze()  # what the start made stays: no need to walk over it for every batch
        relay.run()
        logger.info("Relay ended after %d events", relay.published)

    def _declare(self, relay: Relay) -> None:
        """Without its exchanges nothing can be published; wait for the broker if need be."""
        from django.conf import settings

        with Connection(settings.CELERY_BROKER_URL, connect_timeout=5) as connection:
            connection.ensure_connection(
                errback=lambda e, wait: logger.warning("Broker away (%s), again in %s s", e, wait),
                interval_step=1,
                interval_max=5,
                callback=relay.raise_if_stopped,
            )
            try:
                topology.declare(connection)
            except topology.TopologyConflict as conflict:
                raise CommandError(str(conflict)) from conflict
        logger.info("Relay is ready")
