"""Promise: who reacts to what is declared once, next to the code that reacts, and everything
else (queues, bindings, tasks, docs) is derived from these declarations.

::

    @consumer(OrderPlaced, queue="inventory", batch=50)
    def reserve_stock(events: list[OrderPlaced]) -> None:
        services.reserve_orders(events)

makes the Celery task ``inventory.reserve_stock``, fed by the queue ``inventory``. A consumer
runs in one transaction with its inbox row and whatever it emits; with ``batch`` it takes up
to that many events at once, in one transaction, and must be able to take a single one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from .base import Event, EventDefinitionError, event_classes

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Retry:
    """How often and how late a failed event is tried again.

    Seconds; the n-th wait is ``base * 2**(n-1)``, at most ``cap``, of which jitter takes off
    up to half so that a burst of failures doesn't come back as a burst ("equal jitter",
    AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).
    """

    attempts: int = 6
    base: float = 1.0
    cap: float = 300.0
    jitter: bool = True

    def delay(self, failed_attempts: int) -> float:
        doublings = min(failed_attempts - 1, 60)  # far past any cap, and still a float
        wait = min(self.cap, self.base * 2.0**doublings)
        return wait * random.uniform(0.5, 1.0) if self.jitter else wait  # noqa: S311


@dataclass(frozen=True)
class Consumer:
    """A declared consumer; ``batch`` is None for one that takes single events."""

    name: str
    queue: str
    function: Callable[..., Any]
    types: tuple[type[Event], ...]
    everything: bool
    batch: int | None
    retry: Retry

    @property
    def event_types(self) -> tuple[type[Event], ...]:
        return tuple(event_classes()) if self.everything else self.types

    @property
    def job_size(self) -> int:
        """How many messages one pool job takes."""
        return self.batch or 1

    def call(self, events: list[Event]) -> None:
        if self.batch:
            self.function(events)
        else:
            for event in events:
                self.function(event)


_consumers: dict[str, Consumer] = {}


def consumer(
    *event_types: type[Event],
    queue: str,
    batch: int | None = None,
    retry: Retry | None = None,
    everything: bool = False,
) -> Callable[[F], F]:
    """Subscribe a function to event types, in a domain's queue; see the module's docstring.

    ``everything`` subscribes to all events of all domains. The function itself stays
    callable. Raises EventDefinitionError when two consumers of one queue claim one event type.
    """

    def register(function: F) -> F:
        declared = Consumer(
            name=f"{queue}.{function.__name__}",
            queue=queue,
            function=function,
            types=event_types,
            everything=everything,
            batch=batch,
            retry=retry or Retry(),
        )
        _refuse_clash(declared)
        _consumers[declared.name] = declared
        return function

    return register


def _refuse_clash(new: Consumer) -> None:
    if not new.types and not new.everything:
        raise EventDefinitionError(f"{new.name} subscribes to nothing.")
    if new.name in _consumers:
        raise EventDefinitionError(f"Two consumers are named {new.name}.")
    for other in _consumers.values():
        if other.queue != new.queue:
            continue
        if new.everything or other.everything or set(new.types) & set(other.types):
            raise EventDefinitionError(
                f"{new.name} and {other.name} claim the same event in one queue; "
                "let one consumer call both services."
            )


def consumers() -> list[Consumer]:
    return [_consumers[name] for name in sorted(_consumers)]


def get_consumer(name: str) -> Consumer | None:
    return _consumers.get(name)


def consumer_for(queue: str, event_type: str) -> Consumer | None:
    """Who handles this event type in this queue; None when nobody subscribed."""
    for declared in _consumers.values():
        if declared.queue == queue and (
            declared.everything or any(t.event_type == event_type for t in declared.types)
        ):
            return declared
    return None


def queue_names() -> list[str]:
    return sorted({declared.queue for declared in _consumers.values()})


def subscribers(event_type: str) -> list[Consumer]:
    return [c for name in queue_names() if (c := consumer_for(name, event_type))]
