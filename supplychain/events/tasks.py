"""Promise: every consumer is a Celery task of its own name, so that Flower, logs and time
limits speak of ``inventory.reserve_stock`` and not of a generic dispatcher.

The task's arguments are messages as they came off the queue; see worker.py for who calls it.
"""

from __future__ import annotations

from typing import Any

from celery.exceptions import Reject, Retry
from celery.signals import worker_process_init, worker_shutting_down

from supplychain.celery import app
from supplychain.errors import SupplyChainError

from .consumers import Consumer, consumers
from .handling import Message, Outcome, handle, shutting_down
from .wires import process_wire

#: The task for messages that no consumer of their queue can take.
BURY_TASK = "events.bury"
_OPTIONS: dict[str, Any] = {
    "acks_late": True,
    "reject_on_worker_lost": True,
    "acks_on_timeout": False,
    "ignore_result": True,
}


class DeadLettered(SupplyChainError):
    """A message became a dead letter; shown as a failed task, so that somebody sees it."""


def _run(consumer: Consumer | None, values: tuple[list[Any], ...]) -> str:
    try:
        outcome = handle(consumer, [Message.from_json(v) for v in values], process_wire())
    except Exception as unsettled:
        # Whatever left it: not all is settled, and Celery acknowledges what fails by default.
        raise Reject(repr(unsettled), requeue=True) from unsettled
    return _tell(outcome)


def _tell(outcome: Outcome) -> str:
    """All is settled by now; the exceptions are how Celery shows it."""
    if outcome.dead:
        raise DeadLettered(str(outcome))
    if outcome.retried:
        raise Retry(str(outcome), exc=None, when=None)
    return str(outcome)


def _register(name: str, consumer: Consumer | None) -> None:
    def run(*values: list[Any]) -> str:
        return _run(consumer, values)

    run.__doc__ = consumer.function.__doc__ if consumer else "Dead-letter what can't be read."
    app.task(name=name, throws=(DeadLettered,), **_OPTIONS)(run)


for declared in consumers():
    _register(declared.name, declared)
_register(BURY_TASK, None)


@worker_process_init.connect
def _forget_parents_connections(**_: Any) -> None:
    shutting_down.clear()


@worker_shutting_down.connect
def _stop_waiting(**_: Any) -> None:
    shutting_down.set()
