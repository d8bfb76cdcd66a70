"""Promise: a product or a warehouse that is registered or changed is told to everybody else.

What is done to stock stands in modules of its own: receiving, adjusting, transferring, counting,
importing, correcting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import time
from decimal import Decimal
from typing import Any

from django.db import transaction

from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from . import locks
from .adjusting import adjust_stock
from .checking import CHUNK, MAX_QUANTITY, InvalidStockChange
from .models import Product, Warehouse
from .receiving import receive_stock

__all__ = [
    "MAX_QUANTITY",
    "InvalidStockChange",
    "ProductData",
    "WarehouseRules",
    "adjust_stock",
    "receive_stock",
    "register_products",
    "register_warehouse",
]


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
