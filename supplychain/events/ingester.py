"""Promise: what reaches a dead-letter queue becomes a row, and leaves the queue only then."""

from __future__ import annotations

import logging
from typing import Any

from kombu import Connection, Consumer
from kombu.mixins import ConsumerMixin

from . import deadletters, topology
from .consumers import queue_names
from .handling import Message, _patiently
from .names import dead_queue

logger = logging.getLogger(__name__)


class Ingester(ConsumerMixin):  # type: ignore[misc]
    """Drains every domain's dead-letter queue; run() ends soon after should_stop is set."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.ingested = 0

    def get_consumers(self, consumer: type[Consumer], channel: Any) -> list[Consumer]:
        topology.declare(self.connection)
        wanted = {dead_queue(name): name for name in queue_names()}
        queues = [queue for queue in topology.topology().queues if queue.name in wanted]
        return [
            consumer([queue], on_message=self._on_message(wanted[queue.name]), prefetch_count=50)
            for queue in queues
        ]

    def _on_message(self, queue: str) -> Any:
        def keep(message: Any) -> None:
            body = message._body if getattr(message, "errors", None) else message.body
            raw = body.encode() if isinstance(body, str) else bytes(body or b"")
            headers = message.headers if isinstance(message.headers, dict) else {}
            dead = Message(queue, raw, headers, False, message.content_type or "")
            letter = _patiently(lambda: deadletters.ingest(dead))
            self.ingested += 1
            logger.error("Dead letter %s: %s: %s", letter.pk, letter, letter.reason)
            message.ack()

        return keep

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Bytes that kombu can't read are kept as they are."""
        queue = str(message.delivery_info.get("routing_key") or "")
        self._on_message(queue)(message)

    def on_consume_ready(self, *args: Any, **kwargs: Any) -> None:
        logger.info("Watching the dead-letter queues of %s", ", ".join(queue_names()))

    def consume(
        self, limit: Any, timeout: Any = None, safety_interval: float = 0.5, **kw: Any
    ) -> Any:
        """Looks twice a second whether to stop."""
        return super().consume(limit, timeout=timeout, safety_interval=safety_interval, **kw)

    def on_connection_error(self, exc: Exception, interval: float) -> None:
        logger.warning("The broker is away (%s), again in %s s", exc, interval)
