"""Promise: what customers read. One entry per event that a customer cares about; channels get
all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from inventory.events import BackorderFilled, GoodsReturned
from orders import events as told
from supplychain.events import Event

from .words import because, goods, when


@dataclass(frozen=True)
class Template:
    """Formatted with ``name``, ``order``, the event's own fields and what _words() makes of
    them. ``known``: whether the customer has been told all that an event says."""

    subject: str
    text: str
    known: Callable[[Any], bool] = lambda event: False


TEMPLATES: dict[type[Event], Template] = {
    told.OrderPlaced: Template(
        "We have your order {order}", "Thank you for your order. We are getting it ready."
    ),
    told.OrderConfirmed: Template(
        "Your order {order} is confirmed", "Your order is confirmed. We are getting it ready."
    ),
    told.OrderLinesCancelled: Template(
        "Your order {order} has changed", "This is no longer part of your order: {goods}."
    ),
    told.OrderLinesKept: Template(
        "A part of your order {order} comes after all",
        "It was too late to take this out of your order, it had left us: {goods}.",
    ),
    told.OrderPartiallyReserved: Template(
        "Your order {order} comes in parts",
        "A part of your order is on its way to you first; the rest follows when it is in stock.",
    ),
    told.OrderBackordered: Template(
        "Your order {order} will take longer",
        "What you ordered is out of stock just now. We send it as soon as it is here.",
    ),
    told.OrderPromised: Template("When your order {order} comes", "{What} comes {when}."),
    told.OrderPlanned: Template(
        "Your order {order} is scheduled",
        "Your delivery comes {when}.",
        known=lambda event: event.as_promised,
    ),
    told.OrderEtaChanged: Template(
        "Your order {order} comes at another time",
        "{What} now comes {when}.",
        known=lambda event: event.within_window,
    ),
    told.OrderDelayed: Template(
        "Your order {order} is delayed",
        "{What} comes later than it should, and we are sorry. "
        "We write again as soon as we know the new time.",
    ),
    told.OrderDispatched: Template("Your order {order} is on its way", "Your order has left us."),
    told.OrderDelivered: Template("Your order {order} was delivered", "Your order was delivered."),
    told.OrderDeliveryFailed: Template(
        "We could not deliver your order {order}", "We could not hand over your order: {reason}."
    ),
    told.OrderReturned: Template(
        "Your order {order} came back to us", "Your order could not be delivered and came back."
    ),
    told.OrderCancelled: Template(
        "Your order {order} is cancelled", "Your order was cancelled{why}."
    ),
    told.OrderRejected: Template(
        "We can't fulfil your order {order}", "We can't fulfil your order{why}."
    ),
    BackorderFilled: Template(
        "More of your order {order} is in stock", "What you waited for is here: {goods}. {rest}"
    ),
    GoodsReturned: Template(
        "We have what you sent back of your order {order}", "We have received from you: {goods}."
    ),
}


def is_mailed(event: Event) -> bool:
    """Whether the event is news that a customer cares about."""
    template = TEMPLATES.get(type(event))
    return template is not None and not template.known(event)


def write(event_type: type[Event], name: str, order: str, data: dict[str, Any]) -> tuple[str, str]:
    """Subject and text of an e-mail."""
    template = TEMPLATES[event_type]
    values = {**data, **_words(data), "name": name, "order": order}
    text = template.text.format(**values)
    return template.subject.format(**values), f"Dear {name},\n\n{text}\n\nYour order: {order}\n"


def _words(data: dict[str, Any]) -> dict[str, str]:
    shipped = (line for shipment in data.get("shipments", []) for line in shipment["lines"])
    waiting = goods(_units(data.get("outstanding", [])))
    return {
        "goods": goods(_units(data.get("lines", shipped))),
        "rest": f"We still wait for {waiting}." if waiting else "Your order is complete.",
        "why": because(data.get("reason", "")),
        "when": when(data),
        "What": "A part of your order" if data.get("partial") else "Your order",
    }


def _units(lines: Iterable[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    return ((line["sku"], line["quantity"]) for line in lines)
