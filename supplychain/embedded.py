"""Promise: the whole system in one process, without a server: SQLite, an in-process broker, and
the same relay, workers, handlers and events as the real thing, as threads.

What only a broker and a database server can promise is not promised: a killed process loses
the messages that were in its memory (not the events: those still pending are in the outbox,
and all are in the event store once audit has them). For trying out, see README.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from celery.beat import EmbeddedService
from celery.worker import WorkController, state
from django.db import connections
from kombu import Connection

from supplychain.celery import app
from supplychain.errors import SupplyChainError
from supplychain.events import topology
from supplychain.events.ingester import Ingester
from supplychain.events.names import dead_queue
from supplychain.events.relay import Relay
from supplychain.events.wires import memory_wire

logger = logging.getLogger(__name__)

#: Seconds that a part gets to end.
PATIENCE = 10.0


class PartDied(SupplyChainError):
    """A part of the embedded system ended by itself; its log says why."""


class Embedded:
    """Relay, one worker per queue, dead-letter ingester and beat, as threads. A context manager."""

    def __init__(self, *, beat: bool = True) -> None:
        self._broker = Connection(app.conf.broker_url)
        self._relay = Relay(memory_wire())
        self._ingester = Ingester(Connection(app.conf.broker_url))
        self._beat = EmbeddedService(app, thread=True) if beat else None
        self._workers: list[WorkController] = []
        self._threads: list[threading.Thread] = []
        self._failures: list[str] = []
        self._stopping = False

    def __enter__(self) -> Embedded:
        topology.declare(self._broker)
        app.finalize()
        app.loader.import_default_modules()
        self._start("relay", self._relay.run)
        self._start("dead letters", self._ingester.run)
        for queue in topology.work_queues():
            self._start_worker(queue)
        if self._beat is not None:
            self._beat.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        if self._beat is not None:
            self._beat.stop()
        self._relay.stop()
        self._ingester.should_stop = True
        for worker in self._workers:
            worker.stop()
        state.should_stop = 0
        for thread in self._threads:
            thread.join(PATIENCE)
        state.should_stop = None

    def _start(self, name: str, target: Callable[[], Any]) -> None:
        def run() -> None:
            try:
                target()
            except SystemExit:
                pass
            except Exception as failure:
                logger.exception("%s ended", name)
                self._failures.append(f"{name}: {failure}")
            finally:
                connections.close_all()

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _start_worker(self, queue: str) -> None:
        """One after the other: which queue to consume is a state of the whole Celery app, so
        the next worker may only choose when this one has begun."""
        ready = threading.Event()
        self._start(f"worker {queue}", lambda: self._work(queue, ready))
        if not ready.wait(PATIENCE):
            raise PartDied(f"The worker of {queue} did not start; its log says why.")

    def _work(self, queue: str, ready: threading.Event) -> None:
        worker = app.WorkController(
            hostname=f"{queue}@embedded",
            pool="solo",
            concurrency=1,
            queues=[queue],
            ready_callback=lambda _: ready.set(),
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
            without_heart=True,
        )
        self._workers.append(worker)
        worker.start()

    def check(self) -> None:
        """Raises PartDied when a thread has ended that should run."""
        if self._failures and not self._stopping:
            raise PartDied("; ".join(self._failures))

    def messages_waiting(self) -> int:
        """Messages in all queues and delays; what a worker holds at this moment is not counted."""
        channel: Any = self._broker.default_channel
        work = topology.work_queues()
        names = [*work, *(dead_queue(name) for name in work)]
        return int(sum(channel._size(name) for name in names)) + len(memory_wire().delays)

    def wait_until(self, done: Callable[[], bool], timeout: float, every: float = 0.1) -> bool:
        """Wait for a condition on the database, checking on the threads meanwhile."""
        deadline = time.monotonic() + timeout
        while not done():
            self.check()
            if time.monotonic() > deadline:
                return False
            threading.Event().wait(every)
        return True
