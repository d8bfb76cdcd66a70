"""Promise: what reaches a dead-letter queue becomes a row, and leaves the queue only then; and
what somebody wants redriven is sent as soon as the broker takes it. Only beat's ticks that have
expired are thrown away: they mean nothing any more.

One process for both ways: nobody else needs to know how dead letters travel.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Connection, Consumer
from kombu.mixins import ConsumerMixin

from . import deadletters, topology
from .handling import Message, patiently
from .names import dead_queue
from .wire import BrokerUnavailable, Wire
from .wires import open_wire
from .worker import raw, undone

logger = logging.getLogger(__name__)

#: Seconds between two looks for redrives that were asked for.
LOOK_EVERY = 0.5
#: Seconds that a batch of redrives waits for its confirms; below the ten in which a process
#: must end.
PATIENCE = 5.0
#: Seconds; the longest pause after the broker took none.
TROUBLE_CAP = 30.0


class Redriver:
    """Sends the redrives that were asked for, and lets a broker in trouble have its peace."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._next = self._trouble = 0.0

    def look(self) -> int:
        """To be called often; gives how many rows it dealt with."""
        if time.monotonic() < self._next:
            return 0
        done = 0
        try:
            done = patiently(lambda: deadletters.send_redrives(self._wire), math.inf)
            self._trouble = 0.0
        except BrokerUnavailable as away:
            self._trouble = min(TROUBLE_CAP, self._trouble * 2 or 1.0)
            logger.warning("Redrives wait %.0f s: %s", self._trouble, away)
        self._next = time.monotonic() + max(LOOK_EVERY, self._trouble)
        return done

    def close(self) -> None:
        self._wire.close()


class Ingester(ConsumerMixin):  # type: ignore[misc]
    """Drains every dead-letter queue; run() ends soon after should_stop is set."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.ingested = 0
        self._redriver = Redriver(open_wire(patience=PATIENCE))

    def run(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().run(*args, **kwargs)
        finally:
            self._redriver.close()

    def get_consumers(self, consumer: type[Consumer], channel: Any) -> list[Consumer]:
        wanted = {dead_queue(name): name for name in topology.work_queues()}
        queues = [queue for queue in topology.topology().queues if queue.name in wanted]
        return [
            consumer([queue], on_message=self._on_message(wanted[queue.name]), prefetch_count=50)
            for queue in queues
        ]

    def _on_message(self, queue: str) -> Any:
        def keep(message: Any) -> None:
            headers = message.headers if isinstance(message.headers, dict) else {}
            kept, content_type = undone(message, headers), message.content_type or ""
            dead = Message(queue, raw(message), kept, False, content_type)
            if deadletters.is_stale_tick(dead):
                message.ack()
                return
            letter = patiently(lambda: deadletters.ingest(dead), math.inf)
            self.ingested += 1
            logger.error("Dead letter %s: %s: %s", letter.pk, letter, letter.reason)
            message.ack()

        return keep

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Bytes that kombu can't read are kept as they are."""
        queue = str(message.delivery_info.get("routing_key") or "")
        self._on_message(queue)(message)

    def on_consume_ready(self, *args: Any, **kwargs: Any) -> None:
        logger.info("Watching the dead-letter queues of %s", ", ".join(topology.work_queues()))

    def on_iteration(self) -> None:
        self._redriver.look()

    def consume(
        self, limit: Any, timeout: Any = None, safety_interval: float = 0.5, **kw: Any
    ) -> Any:
        """Looks twice a second whether to stop."""
        return super().consume(limit, timeout=timeout, safety_interval=safety_interval, **kw)

    @contextmanager
    def establish_connection(self) -> Iterator[Connection]:
        """Waits for a broker that is away, but not beyond the wish to stop."""
        with self.connection.clone() as connection:
            connection.ensure_connection(
                self.on_connection_error, callback=self._raise_if_stopped, interval_max=5
            )
            topology.declare(connection)
            yield connection

    def _raise_if_stopped(self) -> None:
        if self.should_stop:
            raise SystemExit(0)

    def on_connection_error(self, exc: Exception, interval: float) -> None:
        logger.warning("The broker is away (%s), again in %s s", exc, interval)
