"""Promise: what a shipment holds is what was reserved less what was taken back, by SKU; of one
that came before routing kept that, only the number of units is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from inventory.events import Quantity

from .models import Shipment

#: A Shipment's ``goods``: [{"sku", "quantity"}].
Goods = list[dict[str, Any]]


def goods_of(lines: Iterable[Quantity]) -> Goods:
    """A line per SKU, in the order in which they come."""
    return _rows(_counted(lines))


def units(goods: Goods) -> int:
    return sum(row["quantity"] for row in goods)


def together(shipments: Iterable[Shipment]) -> Goods:
    """All that they hold, by SKU."""
    found: Counter[str] = Counter()
    for shipment in shipments:
        found.update(_counter(shipment.goods))
    return _rows(Counter(dict(sorted(found.items()))))


def take_out(shipment: Shipment, lines: Iterable[Quantity]) -> None:
    """Without these units; it is not saved here."""
    taken = _counted(lines)
    if not shipment.goods:
        shipment.items = max(0, shipment.items - taken.total())
        return
    left = _counter(shipment.goods)
    left.subtract(taken)
    shipment.goods = _rows(left)
    shipment.items = units(shipment.goods)


def in_words(goods: Goods) -> str:
    return ", ".join(f"{row['quantity']} × {row['sku']}" for row in goods)


def _counted(lines: Iterable[Quantity]) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in lines:
        found[line.sku] += line.quantity
    return found


def _counter(goods: Goods) -> Counter[str]:
    return Counter({row["sku"]: row["quantity"] for row in goods})


def _rows(counted: Counter[str]) -> Goods:
    return [{"sku": sku, "quantity": n} for sku, n in counted.items() if n > 0]
