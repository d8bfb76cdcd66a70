"""Promise: single, bulk and file intake are one path: the same checks, the same service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from supplychain.api import flatten

from . import selectors
from .models import Channel, Order
from .serializers import OrderIn
from .services import ExternalIdTaken, OrderRefused, journey_ids, place_orders

#: Orders in one bulk request.
MAX_BULK = 500


@dataclass
class Result:
    """What became of one body: ``status`` is created, existing, conflict or refused."""

    status: str
    order: Order | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)


def accept(*, channel: Channel, bodies: Sequence[Any]) -> list[Result]:
    """Check and place orders; a bad one is refused with its reasons and stops no other."""
    offered = _offered(channel, bodies)
    results: list[Result | None] = [None] * len(bodies)
    good: dict[int, dict[str, Any]] = {}
    for index, body in enumerate(bodies):
        checked = OrderIn(data=body, context={"orderable": offered(body)})
        if checked.is_valid():
            good[index] = checked.validated_data
        else:
            results[index] = Result("refused", errors=list(flatten(checked.errors)))
    placed = place_orders(
        channel=channel, bodies=list(good.values()), correlation_ids=journey_ids(len(good))
    )
    for index, outcome in zip(good, placed, strict=True):
        if isinstance(outcome, OrderRefused):
            status = "conflict" if isinstance(outcome, ExternalIdTaken) else "refused"
            errors: list[dict[str, Any]] = [{"field": outcome.field, "reason": str(outcome)}]
            results[index] = Result(status, errors=errors)
        else:
            status = "created" if outcome.created else "existing"
            results[index] = Result(status, outcome.order)
    return [result for result in results if result is not None]


def _offered(channel: Channel, bodies: Sequence[Any]) -> Callable[[Any], set[str]]:
    """The SKUs that a body may name: what the catalogue offers and, where its order was placed
    already, what that order names. It is the same order though nobody could place it any more.

    Two looks for all bodies; one, if the catalogue offers everything."""
    skus = {sku for body in bodies for sku in _skus(body)}
    orderable = selectors.orderable(skus)
    if skus <= orderable:
        return lambda body: orderable
    placed = selectors.ordered(channel, {_external_id(body) for body in bodies})

    def offered(body: Any) -> set[str]:
        mine = placed.get(_external_id(body))
        return orderable | mine if mine else orderable

    return offered


def _external_id(body: Any) -> str:
    return _text(body.get("external_id")) if isinstance(body, dict) else ""


def _skus(body: Any) -> Iterator[str]:
    """Every SKU that a raw body names."""
    lines = body.get("lines") if isinstance(body, dict) else None
    for line in lines if isinstance(lines, list) else []:
        if sku := _text(line.get("sku")) if isinstance(line, dict) else "":
            yield sku


def _text(raw: Any) -> str:
    """What no database takes as a text is in none, so it need not be looked for."""
    text = raw.strip() if isinstance(raw, str) else ""
    return text if text.isprintable() else ""  # a NUL isn't
