"""What customers read. One entry per event that a customer cares about; channels get all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orders import events as told
from supplychain.events import Event


@dataclass(frozen=True)
class Template:
    """Formatted with ``name``, ``order`` and the event's own fields."""

    subject: str
    text: str


TEMPLATES: dict[type[Event], Template] = {
    told.OrderPlaced: Template(
        "We have your order {order}", "Thank you for your order. We are getting it ready."
    ),
    told.OrderPartiallyReserved: Template(
        "Your order {order} comes in parts",
        "A part of your order is on its way to you first; the rest follows when it is in stock.",
    ),
    told.OrderBackordered: Template(
        "Your order {order} will take longer",
        "What you ordered is out of stock just now. We send it as soon as it is here.",
    ),
    told.OrderPlanned: Template(
        "Your order {order} is scheduled", "Your delivery is planned for {eta}."
    ),
    told.OrderDispatched: Template("Your order {order} is on its way", "Your order has left us."),
    told.OrderDelivered: Template("Your order {order} was delivered", "Your order was delivered."),
    told.OrderDeliveryFailed: Template(
        "We could not deliver your order {order}", "We could not hand over your order: {reason}."
    ),
    told.OrderReturned: Template(
        "Your order {order} came back to us", "Your order could not be delivered and came back."
    ),
    told.OrderCancelled: Template("Your order {order} is cancelled", "Your order was cancelled."),
    told.OrderRejected: Template(
        "We can't fulfil your order {order}", "We can't fulfil your order: {reason}"
    ),
}


def write(event_type: type[Event], name: str, order: str, data: dict[str, Any]) -> tuple[str, str]:
    """Subject and text of an e-mail."""
    template = TEMPLATES[event_type]
    values = {**data, "name": name, "order": order, "eta": _day(data.get("eta"))}
    text = template.text.format(**values)
    return template.subject.format(**values), f"Dear {name},\n\n{text}\n\nYour order: {order}\n"


def _day(eta: Any) -> str:
    return str(eta)[:10] if eta else "one of the next days"
