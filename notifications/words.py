"""Promise: what people read of an event's figures reads the same wherever they read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

#: A message names so many products; whoever wants all of them looks where they are listed.
_MOST = 20


def goods(lines: Iterable[tuple[str, int]]) -> str:
    """``2 × LAMP, 1 × PAN``."""
    units: Counter[str] = Counter()
    for sku, quantity in lines:
        units[sku] += quantity
    named = [f"{quantity} × {sku}" for sku, quantity in list(units.items())[:_MOST]]
    more = [f"{len(units) - _MOST} more products"] if len(units) > _MOST else []
    return ", ".join(named + more)


def because(reason: str) -> str:
    """``: the reason``, to stand before a full stop; nothing, if there is none."""
    reason = reason.strip().rstrip(".")
    return f": {reason}" if reason else ""
