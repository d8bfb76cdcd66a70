"""Promise: a Celery worker takes events off its domain's queue, hands as many at once to a
pool process as wait for the same consumer, and acknowledges none before its effects stand.

Batches form by themselves: while a pool process is free a message goes to it at once, and
what arrives while all are busy goes together as soon as one is free. So there is no linger
time: latency is lowest when it is quiet and throughput highest when it is busy.

Installed by the setting ``worker_consumer``. Plain Celery tasks, on the same queue (sending) or
on one of their own (planning), take Celery's own way.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakSet

from celery.signals import worker_shutting_down
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.strategy import default as celery_strategy
from kombu import Connection
from kombu.message import Message as KombuMessage

from . import topology
from .consumers import get_consumer
from .context import new_id
from .ending import end_anyway
from .handling import Message, route
from .tasks import BURY_TASK

logger = logging.getLogger(__name__)

#: Seconds after SIGTERM until what still runs is cut off (and delivered again later).
SHUTDOWN_PATIENCE = 7.0


class Job:
    """Several messages as the one message that Celery's machinery sees."""

    content_type = "application/json"
    content_encoding = "utf-8"

    def __init__(self, task: str, members: list[tuple[KombuMessage, Message]]) -> None:
        self._members = members
        first = members[0][1]
        count = len(members)
        single_id = f"{task}/{first.headers.get('event_id')}" if count == 1 else None
        self.headers = {
            "lang": "py",
            "task": task,
            "id": single_id or f"{task}/batch-{new_id()}",
            "root_id": str(first.headers.get("correlation_id") or ""),
            "argsrepr": f"({first.headers.get('task')} {first.headers.get('argsrepr')}, …×{count})",
            "kwargsrepr": "{}",
            "retries": first.retries if count == 1 else 0,
            "timelimit": [None, None],
            "ignore_result": True,
        }
        self.body = json.dumps([[m.to_json() for _, m in members], {}, {}], default=str)
        #: Celery reads the arguments from here for display only; the body is what travels on.
        self.payload: tuple[list[Any], dict[str, Any], dict[str, Any]] = ([], {}, {})
        self.delivery_info = {"routing_key": first.queue}
        self.properties = {"correlation_id": self.headers["id"]}

    def ack(self, log: logging.Logger, errors: tuple[type[Exception], ...]) -> None:
        for message, _ in self._members:
            message.ack_log_error(log, errors)

    def reject(
        self, log: logging.Logger, errors: tuple[type[Exception], ...], requeue: bool = False
    ) -> None:
        """Requeued always: what may be given up on was made a dead letter by the handling."""
        for message, _ in self._members:
            message.reject_log_error(log, errors, requeue=True)


class EventConsumer(CeleryConsumer):  # type: ignore[misc]
    """Celery's consumer, with a batching dispatcher for events in front."""

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[misc]
        # Delays are ours (names.DELAY_LEVELS); Celery's would add 28 queues.
        default_steps = [
            step for step in CeleryConsumer.Blueprint.default_steps if "delayed" not in step
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: OrderedDict[str, deque[tuple[KombuMessage, Message]]] = OrderedDict()
        self._count = 0
        self._scheduled = False
        self._given_up: WeakSet[Any] = WeakSet()
        self._queues = set(topology.work_queues())
        self._strategies_for_jobs: dict[str, Callable[..., None]] = {}

    # --- connection -----------------------------------------------------------------------

    def connect(self) -> Connection:
        connection = super().connect()
        try:
            topology.declare(connection)
        except topology.TopologyConflict as conflict:
            logger.critical("%s", conflict)
            raise SystemExit(str(conflict)) from conflict
        return connection

    def on_close(self) -> None:
        """The broker delivers again whatever was not acknowledged on the lost connection."""
        self._waiting.clear()
        self._count = 0
        self._scheduled = False
        super().on_close()
        # Celery empties its pool's books here: what still runs may never report its end, and must
        # not count as busy for ever.
        self._given_up = WeakSet(state.reserved_requests)

    # --- from the queue to the pool -------------------------------------------------------

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[KombuMessage], None]:
        celerys_own = super().create_task_handler(*args, **kwargs)
        self._strategies_for_jobs.clear()

        def on_message(message: KombuMessage) -> None:
            headers = message.headers if isinstance(message.headers, dict) else {}
            queue = self._queue_of(message)
            name = headers.get("task")
            plain_task = name in self.strategies and get_consumer(str(name)) is None
            if queue is None or plain_task:
                if not self.hub:  # what waited for more to come would wait behind it for ever
                    self._flush()
                self._watch_end_of(message)
                celerys_own(message)
            else:
                self._take(queue, message, headers)

        return on_message

    def _watch_end_of(self, message: KombuMessage) -> None:
        """A plain task takes a pool process, too: events that wait for one go on when it ends."""
        message.ack_log_error = partial(self._end, message.ack_log_error)
        message.reject_log_error = partial(self._end, message.reject_log_error)

    def on_decode_error(self, message: KombuMessage, exc: Exception) -> None:
        """Celery would acknowledge it and so lose it."""
        queue = self._queue_of(message)
        if queue is None:
            super().on_decode_error(message, exc)
        else:
            self._take(queue, message, {"decode_error": str(exc)})

    def _queue_of(self, message: KombuMessage) -> str | None:
        """Which of our queues a message came from; None for a queue that isn't ours."""
        active: dict[str, str] = self.task_consumer._active_tags if self.task_consumer else {}
        tag = message.delivery_info.get("consumer_tag")
        if tag is None and len(active) == 1:  # the in-process transport doesn't say
            tag = next(iter(active.values()))
        return next((q for q, t in active.items() if t == tag and q in self._queues), None)

    def _take(self, queue: str, message: KombuMessage, headers: dict[str, Any]) -> None:
        consumer = route(queue, headers)
        body, headers = raw(message), undone(message, headers)
        redelivered = bool(message.delivery_info.get("redelivered"))
        content_type = message.content_type or ""
        taken = Message(queue, body, dict(headers), redelivered, content_type)
        task = consumer.name if consumer else BURY_TASK
        self._waiting.setdefault(task, deque()).append((message, taken))
        self._count += 1
        if self.hub:
            self._schedule()
        elif self._nothing_more_comes(queue, task):
            self._flush()

    def _nothing_more_comes(self, queue: str, task: str) -> bool:
        """In-process broker only: a batch is closed when its queue is empty for now."""
        left: int = self.connection.default_channel._size(queue)
        full = len(self._waiting[task]) >= _job_size(task)
        return full or left == 0 or self._count >= self.initial_prefetch_count // 2

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        while self._waiting and (not self.hub or self._busy() < self._slots):
            task, messages = self._waiting.popitem(last=False)
            members = [messages.popleft() for _ in range(min(len(messages), _job_size(task)))]
            self._count -= len(members)
            if messages:
                self._waiting[task] = messages  # to the end: no task starves another
            self._submit(Job(task, members))

    def _busy(self) -> int:
        return sum(1 for request in state.reserved_requests if request not in self._given_up)

    @property
    def _slots(self) -> int:
        return max(1, int(self.pool.num_processes))

    def _submit(self, job: Job) -> None:
        task = str(job.headers["task"])
        if task not in self._strategies_for_jobs:
            self._strategies_for_jobs[task] = celery_strategy(self.app.tasks[task], self.app, self)
        strategy = self._strategies_for_jobs[task]
        strategy(job, None, partial(self._end, job.ack), partial(self._end, job.reject), [])

    def _end(self, settle: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        settle(*args, **kwargs)
        if self.hub:
            self._schedule()


def raw(message: KombuMessage) -> bytes:
    """The body's bytes, whatever kombu thinks of them; a message that it could not decompress
    keeps the bytes as they came."""
    body = message.body
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    return body.encode() if isinstance(body, str) else base64.b64encode(repr(body).encode())


def undone(message: KombuMessage, headers: dict[str, Any]) -> dict[str, Any]:
    """The headers that fit raw(): a body that was decompressed isn't compressed any more."""
    if message.errors:
        return headers
    return {name: value for name, value in headers.items() if name != "compression"}


def _job_size(task: str) -> int:
    consumer = get_consumer(task)
    return consumer.job_size if consumer else 1


@worker_shutting_down.connect
def _bound_the_shutdown(how: str, **_: Any) -> None:
    """Warm first: stop taking, finish what runs, acknowledge it. Cold if that takes too long, and
    an end without ceremony if Celery waits for a broker or a pool process that is silent."""
    if threading.current_thread() is threading.main_thread():
        end_anyway()
    if how == "Warm" and threading.current_thread() is threading.main_thread():
        watchdog = threading.Timer(SHUTDOWN_PATIENCE, os.kill, [os.getpid(), signal.SIGQUIT])
        watchdog.daemon = True
        watchdog.start()
