"""Promise: a change to the stock that makes no sense is refused with a sentence that says what is
wrong, before anything is locked or written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from supplychain.errors import SupplyChainError

from .models import Product, StockLevel, Warehouse

MAX_QUANTITY = 10**9
#: Rows that go into one transaction.
CHUNK = 1000
_NAMED = 5

#: (SKU, units)
Lines = Sequence[tuple[str, int]]


class InvalidStockChange(SupplyChainError):
    """The change to the stock makes no sense."""

    permanent = True


def a_quantity(quantity: int, of: str, *, at_least: int = 1) -> int:
    """Whole, and within reason."""
    if type(quantity) is not int or not at_least <= quantity <= MAX_QUANTITY:
        raise InvalidStockChange(
            f"{of}: a quantity must be a whole number from {at_least} to {MAX_QUANTITY:,}."
        )
    return quantity


def units(lines: Lines, *, at_least: int = 1) -> dict[str, int]:
    """{SKU: units} of lines each of which names another product."""
    if not lines:
        raise InvalidStockChange("There are no lines; name at least one product.")
    if len({sku for sku, _ in lines}) != len(lines):
        raise InvalidStockChange("A product is named twice; put it into one line.")
    return {sku: a_quantity(quantity, sku, at_least=at_least) for sku, quantity in lines}


def products(skus: Iterable[str], *, active: bool = True) -> dict[str, Product]:
    """All of these products; ``active``: and all of them are still dealt in."""
    wanted = set(skus)
    found = {row.sku: row for row in Product.objects.filter(sku__in=wanted)}
    if unknown := wanted - set(found):
        raise InvalidStockChange(f"There is no product {some(unknown)}.")
    if active and (idle := {sku for sku, row in found.items() if not row.active}):
        raise InvalidStockChange(
            f"{some(idle)} is inactive: set the product active again, or leave it out."
        )
    return found


def is_open(warehouse: Warehouse) -> Warehouse:
    if not warehouse.active:
        raise InvalidStockChange(
            f"Warehouse {warehouse} is inactive: set it active again, or name another."
        )
    return warehouse


def a_reason(reason: str, what: str) -> str:
    if not reason.strip():
        raise InvalidStockChange(f"{what} needs a reason.")
    return reason.strip()


def untouched_by_orders(level: StockLevel, quantity: int) -> None:
    """So many units may be taken away without taking them from an order."""
    if quantity > level.available:
        raise InvalidStockChange(
            f"{level}: {level.on_hand} on hand, {level.reserved} of them reserved; "
            f"{quantity} can't be taken away."
        )


def some(names: Iterable[object]) -> str:
    """The first few, in words."""
    listed = sorted(str(name) for name in names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more
