"""Promise: whoever publishes gets to know, message by message, whether the broker has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from supplychain.errors import SupplyChainError


class BrokerUnavailable(SupplyChainError):
    """The message broker can't be reached. Is it running, and is CELERY_BROKER_URL right?"""


#: The "reason" of a message that was not sent because one before it, of its order, was refused.
HELD_BACK = "held back behind a refused predecessor"


@dataclass(frozen=True)
class Outgoing:
    """A message to publish.

    ``delay`` is in seconds, spent in the broker, and then the message goes to the queue named
    by ``routing_key`` only. Messages of one ``order`` don't overtake one that can't be sent.
    """

    exchange: str
    routing_key: str
    body: str | bytes
    headers: dict[str, Any] = field(default_factory=dict)
    content_type: str = "application/json"
    delay: float = 0.0
    order: str = ""


class Wire(Protocol):
    """A confirmed way to the broker."""

    def publish(self, messages: Sequence[Outgoing]) -> dict[int, str]:
        """Publish all, in order, and wait for the confirms once.

        Gives the refused messages: index → reason. Raises BrokerUnavailable when the outcome
        is unknown; any of the messages may then have arrived.
        """
        ...

    def close(self) -> None: ...


def publish_or_raise(wire: Wire, messages: Sequence[Outgoing]) -> None:
    """For those who can't go on unless every message has arrived."""
    refused = wire.publish(messages)
    if refused:
        raise BrokerUnavailable(
            f"The broker refused {len(refused)}: {next(iter(refused.values()))}"
        )
