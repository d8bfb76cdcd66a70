"""Promise: whatever travels says who sent it, what it is about, where it stands in its
aggregate's order, which journey it belongs to and what caused it; and it reads the same
in any language that knows JSON.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from supplychain.errors import SupplyChainError

from .base import Event, event_class


class MalformedMessage(SupplyChainError):
    """The message is not a JSON event envelope."""

    permanent = True


class Envelope(BaseModel):
    """What every event carries; CloudEvents names where they fit."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    event_id: UUID
    event_type: str
    event_version: int = Field(ge=1)
    timestamp: datetime
    producer: str
    #: The aggregate, ``order/0192…``; events of one subject are published in order.
    subject: str
    #: 1, 2, 3 … per subject and producer, without gaps.
    sequence: int = Field(ge=1)
    correlation_id: str
    causation_id: UUID | None = None
    #: https://www.w3.org/TR/trace-context/
    traceparent: str | None = None
    data: dict[str, Any]

    def to_json(self) -> str:
        """The canonical text: keys sorted, no spaces. The event store hashes this text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def open(self) -> Event:
        """The typed event inside; raises a permanent error that says what doesn't fit."""
        return event_class(self.event_type).read(self)


#: Celery's protocol 2 body is [args, kwargs, embed].
_EMBED = '{"callbacks":null,"errbacks":null,"chain":null,"chord":null}'


def task_body(envelope_json: str) -> str:
    """A Celery protocol 2 body whose only argument is the envelope."""
    return f"[[{envelope_json}],{{}},{_EMBED}]"


def task_headers(envelope: Envelope) -> dict[str, Any]:
    """Celery protocol 2 headers: the event type is the task's name, so any worker that has
    a task of that name can consume the event; our own workers pick the subscribed consumer.
    """
    event_id = str(envelope.event_id)
    return {
        "lang": "py",
        "task": envelope.event_type,
        "id": event_id,
        "root_id": event_id,
        "parent_id": None,
        "group": None,
        "shadow": None,
        "eta": None,
        "expires": None,
        "retries": 0,
        "timelimit": [None, None],
        "argsrepr": f"({envelope.subject!r},)",
        "kwargsrepr": "{}",
        "origin": envelope.producer,
        "ignore_result": True,
        "event_id": event_id,
        "event_version": envelope.event_version,
        "correlation_id": envelope.correlation_id,
    }


def read_body(body: str | bytes) -> Envelope:
    """The envelope in a task message; raises MalformedMessage."""
    try:
        args, _kwargs, _embed = json.loads(body)
        return Envelope.model_validate(args[0])
    except ValidationError as invalid:
        raise MalformedMessage(f"The envelope is not valid: {invalid}") from invalid
    except (ValueError, TypeError, LookupError, RecursionError) as broken:
        raise MalformedMessage(f"The message is not a JSON event: {broken}") from broken
