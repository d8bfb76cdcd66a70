"""Promise: an event is an immutable, typed, versioned fact; what its class can't describe
is never published, and what an older version said can still be read.

An app states its public contract in ``<app>/events.py``::

    class OrderPlaced(Event, type="orders.order_placed", version=1, subject="order/{order_id}"):
        '''A channel placed an order.'''

        order_id: UUID

Unknown fields are refused when an event is made and tolerated when one is read, so that a
producer may add a field before its consumers know it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.dispatch import Signal
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from supplychain.errors import SupplyChainError

if TYPE_CHECKING:
    from .envelope import Envelope

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


class EventDefinitionError(SupplyChainError):
    """An event class is not declared as it must be."""


class UnknownEventType(SupplyChainError):
    """No event class of this type is known here."""

    permanent = True


class UnknownEventVersion(SupplyChainError):
    """This version of the event is not known here."""

    permanent = True


class InvalidEventData(SupplyChainError):
    """The event's data doesn't fit the schema of its type."""

    permanent = True


class Sensitivity(enum.StrEnum):
    """What an event's data may reveal; shown in the catalogue."""

    INTERNAL = "internal"
    PERSONAL = "personal"


class Payload(BaseModel):
    """A part of an event: frozen, and strict about unknown fields and what JSON can't say."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Event(Payload):
    """Base of all events. Subclasses give ``type``, ``version`` and ``subject``."""

    event_type: ClassVar[str]
    event_version: ClassVar[int]
    producer: ClassVar[str]
    subject_template: ClassVar[str]
    sensitivity: ClassVar[Sensitivity] = Sensitivity.INTERNAL
    #: Sent inside the emitting transaction with ``envelopes=[...]``; the outbox listens.
    signal: ClassVar[Signal]
    _upcasters: ClassVar[dict[int, Upcaster]]

    _envelope: Envelope | None = PrivateAttr(default=None)

    def __init_subclass__(
        cls, *, type: str = "", version: int = 1, subject: str = "", **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if not type:  # a shared base of several events
            return
        if type in _registry:
            raise EventDefinitionError(f"Two event classes claim the type {type!r}.")
        if type.count(".") != 1 or not subject:
            raise EventDefinitionError(
                f"{cls.__name__} needs type='<domain>.<past_tense>' and subject='<kind>/{{field}}'."
            )
        cls.event_type, cls.event_version, cls.subject_template = type, version, subject
        cls.producer = type.partition(".")[0]
        cls.signal = Signal()
        cls._upcasters = {}
        _registry[type] = cls

    @property
    def subject(self) -> str:
        """The aggregate this happened to, ``order/0192…``: the key that keeps order."""
        return self.subject_template.format_map(self.__dict__)

    @property
    def envelope(self) -> Envelope:
        """How a received event travelled; an event not yet emitted has none."""
        if self._envelope is None:
            raise EventDefinitionError(f"{type(self).__name__} has not travelled in an envelope.")
        return self._envelope

    @classmethod
    def upcast(cls, from_version: int) -> Callable[[Upcaster], Upcaster]:
        """Register how data of ``from_version`` becomes data of ``from_version + 1``."""

        def register(function: Upcaster) -> Upcaster:
            cls._upcasters[from_version] = function
            return function

        return register

    @classmethod
    def read(cls, envelope: Envelope) -> Self:
        """The typed event inside a received envelope, brought up to the current version."""
        data = envelope.data
        for version in range(envelope.event_version, cls.event_version):
            if version not in cls._upcasters:
                raise UnknownEventVersion(f"{cls.event_type} has no upcaster from v{version}.")
            data = cls._upcasters[version](data)
        if not 1 <= envelope.event_version <= cls.event_version:
            raise UnknownEventVersion(
                f"{cls.event_type} v{envelope.event_version} is not known here, "
                f"only up to v{cls.event_version}. Deploy the consumer, then redrive."
            )
        try:
            event = cls.model_validate(data, extra="ignore")
        except ValidationError as invalid:
            raise InvalidEventData(f"{cls.event_type}: {invalid}") from invalid
        event._envelope = envelope
        return event


_registry: dict[str, type[Event]] = {}


def event_class(event_type: str) -> type[Event]:
    """The class of an event type; raises UnknownEventType."""
    try:
        return _registry[event_type]
    except KeyError:
        raise UnknownEventType(f"No event class of type {event_type!r} is known here.") from None


def event_classes() -> list[type[Event]]:
    """Every known event class, by type."""
    return [_registry[name] for name in sorted(_registry)]
