"""Promise: single, bulk and file intake are one path: the same checks, the same service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from supplychain.api import flatten

from . import selectors
from .models import Channel, Order
from .serializers import OrderIn
from .services import ExternalIdTaken, journey_ids, place_orders

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
    orderable = selectors.orderable(_skus(bodies))
    results: list[Result | None] = [None] * len(bodies)
    good: dict[int, dict[str, Any]] = {}
    for index, body in enumerate(bodies):
        checked = OrderIn(data=body, context={"orderable": orderable})
        if checked.is_valid():
            good[index] = checked.validated_data
        else:
            results[index] = Result("refused", errors=list(flatten(checked.errors)))
    placed = place_orders(
        channel=channel, bodies=list(good.values()), correlation_ids=journey_ids(len(good))
    )
    for index, outcome in zip(good, placed, strict=True):
        if isinstance(outcome, ExternalIdTaken):
            errors: list[dict[str, Any]] = [{"field": "external_id", "reason": str(outcome)}]
            results[index] = Result("conflict", errors=errors)
        else:
            status = "created" if outcome.created else "existing"
            results[index] = Result(status, outcome.order)
    return [result for result in results if result is not None]


def _skus(bodies: Sequence[Any]) -> set[str]:
    """Every SKU that the raw bodies name, for one look into the catalogue.

    What no database takes as a text is left out, and so is in no catalogue.
    """
    skus = set()
    for body in bodies:
        lines = body.get("lines") if isinstance(body, dict) else None
        for line in lines if isinstance(lines, list) else []:
            sku = line.get("sku") if isinstance(line, dict) else None
            if isinstance(sku, str) and "\x00" not in sku and sku.isprintable():
                skus.add(sku.strip())
    return skus
