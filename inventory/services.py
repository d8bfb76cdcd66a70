"""Promise: what staff and loaders do to products, warehouses and stock is validated, written to
the ledger with who did it and why, and told to everybody else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import time
from decimal import Decimal
from typing import Any

from django.db import transaction

from supplychain.errors import SupplyChainError
from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from . import locks
from .ledger import Ledger, Reason
from .models import Product, StockLevel, StockMovement, Warehouse

MAX_QUANTITY = 10**9
CHUNK = 1000


class InvalidStockChange(SupplyChainError):
    """The change to the stock makes no sense."""

    permanent = True


@dataclass(frozen=True)
class ProductData:
    """kg and m³ per unit."""

    sku: str
    name: str
    weight_kg: Decimal
    volume_m3: Decimal
    active: bool = True
    storage_class: str = Product.StorageClass.AMBIENT


@dataclass(frozen=True)
class WarehouseRules:
    """How a warehouse works: see the model's fields of the same names."""

    priority: int = 0
    time_zone: str = "UTC"
    cut_off: time | None = None
    daily_picks: int | None = None
    handling_cost: Decimal = Decimal(0)
    cost_per_km: Decimal = Decimal(0)
    count_every_days: int = 90


_PRODUCT_FIELDS = ["name", "weight_kg", "volume_m3", "active", "storage_class"]


def register_products(*, products: Sequence[ProductData]) -> int:
    """Create or change products; one that stays as it was tells nothing. Gives the changed."""
    changed = 0
    for start in range(0, len(products), CHUNK):
        with transaction.atomic():
            changed += _register_chunk(products[start : start + CHUNK])
    return changed


def _register_chunk(products: Sequence[ProductData]) -> int:
    wanted = {data.sku: data for data in products}
    rows = locks.products(wanted)
    new, changed = [], []
    for sku, data in wanted.items():
        values = {name: getattr(data, name) for name in _PRODUCT_FIELDS}
        if sku not in rows:
            new.append(Product(sku=sku, event_sequence=1, **values))
        elif _differs(rows[sku], values):
            for name, value in values.items():
                setattr(rows[sku], name, value)
            rows[sku].advance()
            changed.append(rows[sku])
    Product.objects.bulk_create(new)
    Product.objects.bulk_update(changed, [*_PRODUCT_FIELDS, "event_sequence"], batch_size=500)
    emit_all([Emission(_product_event(p), p, p.event_sequence) for p in [*new, *changed]])
    return len(new) + len(changed)


def _differs(row: Any, values: dict[str, Any]) -> bool:
    return any(getattr(row, name) != value for name, value in values.items())


def _product_event(product: Product) -> tell.ProductChanged:
    return tell.ProductChanged(
        sku=product.sku,
        name=product.name,
        weight_kg=float(product.weight_kg),
        volume_m3=float(product.volume_m3),
        active=product.active,
        storage_class=product.storage_class,
    )


@transaction.atomic
def register_warehouse(
    *,
    code: str,
    name: str,
    latitude: float,
    longitude: float,
    active: bool = True,
    rules: WarehouseRules | None = None,
) -> Warehouse:
    """Create or change a warehouse; degrees, WGS 84. Without ``rules`` its own stay."""
    values: dict[str, Any] = {
        "name": name,
        "latitude": latitude,
        "longitude": longitude,
        "active": active,
        **(asdict(rules) if rules else {}),
    }
    row, created = locks.warehouses().get_or_create(code=code, defaults=values)
    if not created and not _differs(row, values):
        return row
    for field, value in values.items():
        setattr(row, field, value)
    sequence = row.advance()
    row.save(update_fields=[*values, "event_sequence"])
    told = tell.WarehouseChanged(
        code=code,
        name=name,
        latitude=latitude,
        longitude=longitude,
        active=active,
        time_zone=row.time_zone,
        cut_off=row.cut_off,
    )
    emit_all([Emission(told, row, sequence)])
    return row


def receive_stock(
    *, warehouse: Warehouse, lines: Sequence[tuple[str, int]], reference: str, actor: str
) -> int:
    """Book goods in; idempotent by ``reference`` per product.

    A long receipt is booked in several transactions; after a crash between them the same
    receipt again books the rest. Gives the number of lines booked now; raises
    InvalidStockChange and books nothing when a line is wrong.
    """
    if not reference:
        raise InvalidStockChange("A receipt needs a reference: it keeps it from counting twice.")
    _check_lines(lines)
    booked = 0
    for start in range(0, len(lines), CHUNK):
        with transaction.atomic():
            booked += _receive(warehouse, lines[start : start + CHUNK], reference, actor)
    return booked


def _check_lines(lines: Sequence[tuple[str, int]]) -> None:
    if len({sku for sku, _ in lines}) != len(lines):
        raise InvalidStockChange("A product stands in the receipt twice; put it into one line.")
    for sku, quantity in lines:
        if not 0 < quantity <= MAX_QUANTITY:
            raise InvalidStockChange(f"{sku}: a quantity must be from 1 to {MAX_QUANTITY:,}.")
    known = set(_product_ids(sku for sku, _ in lines))
    if unknown := sorted({sku for sku, _ in lines} - known):
        raise InvalidStockChange(f"There is no product {', '.join(unknown[:5])}.")


def _product_ids(skus: Iterable[str]) -> dict[str, int]:
    rows = Product.objects.filter(sku__in=list(skus))
    return dict(rows.values_list("sku", "pk"))


def _receive(
    warehouse: Warehouse, lines: Sequence[tuple[str, int]], reference: str, actor: str
) -> int:
    quantities = dict(lines)
    levels = lock_levels_at(warehouse, _product_ids(quantities).values())
    before = StockMovement.objects.filter(
        level__in=levels, reason=Reason.RECEIPT, reference=reference
    )
    booked_before = set(before.values_list("level_id", flat=True))
    levels = [level for level in levels if level.pk not in booked_before]
    ledger = Ledger(actor=actor)
    for level in levels:
        ledger.move(level, quantities[level.product.sku], Reason.RECEIPT, reference=reference)
    emissions = [
        Emission(
            tell.StockReceived(
                warehouse=warehouse.code,
                sku=level.product.sku,
                quantity=quantities[level.product.sku],
                on_hand=level.on_hand,
                reserved=level.reserved,
                reference=reference,
            ),
            level,
            level.advance(),
        )
        for level in levels
    ]
    ledger.write()
    emit_all(emissions)
    return len(levels)


def lock_levels_at(warehouse: Warehouse, product_ids: Iterable[int]) -> list[StockLevel]:
    """The levels of these products in a warehouse, made where there were none, locked."""
    wanted = set(product_ids)
    mine = StockLevel.objects.filter(warehouse=warehouse, product_id__in=wanted)
    new = wanted - set(mine.values_list("product_id", flat=True))
    StockLevel.objects.bulk_create(
        [StockLevel(warehouse=warehouse, product_id=pk) for pk in sorted(new)],
        ignore_conflicts=True,
    )
    return locks.levels(mine.values_list("pk", flat=True))


@transaction.atomic
def adjust_stock(*, level_id: int, delta: int, reason: str, actor: str) -> StockLevel:
    """Correct the stock on hand by ``delta``; raises InvalidStockChange."""
    if delta == 0 or abs(delta) > MAX_QUANTITY:
        raise InvalidStockChange("An adjustment must change something, by at most 10⁹.")
    if not reason.strip():
        raise InvalidStockChange("An adjustment needs a reason.")
    level = next(iter(locks.levels([level_id])), None)
    if level is None:
        raise InvalidStockChange(f"There is no stock level {level_id}.")
    if level.available + delta < 0:
        raise InvalidStockChange(
            f"{level}: {level.on_hand} on hand, {level.reserved} of them reserved; "
            f"{-delta} can't be taken away."
        )
    ledger = Ledger(actor=actor)
    ledger.move(level, delta, Reason.ADJUSTMENT, note=reason)
    told = tell.StockAdjusted(
        warehouse=level.warehouse.code,
        sku=level.product.sku,
        delta=delta,
        on_hand=level.on_hand,
        reserved=level.reserved,
        reason=reason,
    )
    emissions = [Emission(told, level, level.advance()), *ledger.low()]
    ledger.write()
    emit_all(emissions)
    return level
