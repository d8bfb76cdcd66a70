"""Promise: on the embedded default, events take the same way with the same outcomes, within
this process: what needs a broker to survive (a killed process) is not promised here.

kombu's in-process transport has no delayed delivery and hands the same headers to every
queue, so delays wait in a thread here and every message gets headers of its own.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Sequence

from kombu import Connection, Producer

from .names import HOME_EXCHANGE
from .wire import Outgoing


class DelayLine:
    """Holds messages until they are due; one thread, started with the first one."""

    def __init__(self, send: MemoryWire) -> None:
        self._send = send
        self._heap: list[tuple[float, int, Outgoing]] = []
        self._count = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, message: Outgoing) -> None:
        with self._changed:
            due = time.monotonic() + message.delay
            heapq.heappush(self._heap, (due, next(self._count), message))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="delays", daemon=True)
                self._thread.start()
            self._changed.notify()

    def __len__(self) -> int:
        with self._changed:
            return len(self._heap)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._heap or self._heap[0][0] > time.monotonic():
                    wait = self._heap[0][0] - time.monotonic() if self._heap else None
                    self._changed.wait(wait)
                _, _, message = self._heap[0]
                self._send.send(Outgoing(**{**vars(message), "delay": 0.0}))
                heapq.heappop(self._heap)  # only now: len() must never miss a message


class MemoryWire:
    """Publishes into kombu's in-process transport; safe for several threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self.delays = DelayLine(self)

    def publish(self, messages: Sequence[Outgoing]) -> dict[int, str]:
        for message in messages:
            if message.delay > 0:
                self.delays.put(message)
            else:
                self.send(message)
        return {}

    def send(self, message: Outgoing) -> None:
        exchange = HOME_EXCHANGE if message.exchange.startswith("delay.") else message.exchange
        with self._lock:
            if self._producer is None:
                self._producer = Producer(Connection(self._url).channel())
            self._producer.publish(
                message.body,
                exchange=exchange,
                routing_key=message.routing_key,
                headers=dict(message.headers),
                content_type=message.content_type,
                content_encoding="utf-8" if isinstance(message.body, str) else "binary",
            )

    def close(self) -> None:
        """The transport lives and ends with the process."""
