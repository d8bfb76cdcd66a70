"""Promise: what customers read. One entry per event that a customer cares about; channels get
all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from inventory.events import BackorderFilled, GoodsReturned
from orders import events as told
from supplychain.events import Event

from .words import because, goods


@dataclass(frozen=True)
class Template:
    """Formatted with ``name``, ``order``, the event's own fields and what _words() makes of
    them."""

    subject: str
    text: str


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
        "eta": _day(data.get("eta")),
    }


def _units(lines: Iterable[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    return ((line["sku"], line["quantity"]) for line in lines)


def _day(eta: Any) -> str:
    return str(eta)[:10] if eta else "one of the next days"
