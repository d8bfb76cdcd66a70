"""Promise: no unit is promised twice: what is reserved was available under the lock of its
stock level, and level and reservations are written together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings

from supplychain import rows
from supplychain.events.context import new_id
from supplychain.events.outbox import Emission

from . import events as tell
from . import locks, optimising
from .ledger import Ledger
from .models import Allocation, Product, Reservation, StockLevel, Warehouse
from .picking import PickDiary
from .rules import Rules
from .shelves import Parcel, Served, Shelves
from .sourcing import Site


@dataclass
class Stock:
    """The locked levels of the products at hand, and what is taken from them."""

    levels: locks.Levels
    shelves: Shelves
    rules: Rules
    ledger: Ledger = field(default_factory=lambda: Ledger(actor="system"))
    reservations: list[Reservation] = field(default_factory=list)

    @classmethod
    def lock(cls, products: Iterable[Product]) -> Stock:
        """Of locked products."""
        levels = locks.levels_of(products)
        shelves = _shelves(levels.warehouses.values(), levels.promisable(), PickDiary.lock)
        return cls(levels, shelves, Rules.read())

    def serve(
        self, orders: Sequence[tuple[Allocation, Mapping[str, int]]], *, optimise: bool = False
    ) -> list[Served]:
        """Take what there is for orders that stand in line like this; gives what each gets, to
        be shipped. To optimise is to let one overtake another of its priority where more orders
        are complete then."""
        demands = [self.rules.demand(allocation, wanted) for allocation, wanted in orders]
        seconds = settings.INVENTORY_OPTIMISE_SECONDS if optimise else 0.0
        return optimising.serve_all(self.shelves, demands, seconds)

    def take(
        self, allocation: Allocation, wanted: Mapping[str, int]
    ) -> tuple[list[tell.ReservedShipment], dict[str, int]]:
        """Reserve what there is; gives one shipment per warehouse and what is short."""
        served = self.shelves.serve(self.rules.demand(allocation, wanted))
        return self.ship(allocation, served), dict(served.short)

    def ship(self, allocation: Allocation, served: Served) -> list[tell.ReservedShipment]:
        """Reserve what was served, as one shipment per warehouse."""
        return [self._ship(allocation, parcel) for parcel in served.parcels]

    def _ship(self, allocation: Allocation, parcel: Parcel) -> tell.ReservedShipment:
        shipment_id, warehouse = new_id(), ""
        units: list[tuple[Product, int]] = []
        for (sku, quantity), day in zip(parcel.units.items(), parcel.days, strict=True):
            level = self.levels[parcel.site, sku]
            self.ledger.reserve(level, quantity)
            units.append((level.product, quantity))
            warehouse = level.warehouse.code
            self.reservations.append(
                Reservation(
                    shipment_id=shipment_id,
                    allocation_id=allocation.pk,
                    level_id=level.pk,
                    quantity=quantity,
                    pick_on=day,
                    expires_at=allocation.confirm_by,
                )
            )
        return reserved_shipment(shipment_id, warehouse, units)

    def save(self) -> list[Emission]:
        """Write it all; gives what must be told of the levels."""
        emissions = self.ledger.low()
        self.ledger.write()
        rows.insert(self.reservations)
        return emissions


def shelves_of(
    levels: Iterable[StockLevel], diary: Callable[[Collection[Warehouse]], PickDiary]
) -> Shelves:
    """What may be promised of these, from warehouses that are active."""
    there: dict[tuple[int, str], int] = {}
    warehouses: dict[int, Warehouse] = {}
    for level in levels:
        there[level.warehouse_id, level.product.sku] = level.promisable
        warehouses[level.warehouse_id] = level.warehouse
    return _shelves(warehouses.values(), there, diary)


def _shelves(
    warehouses: Iterable[Warehouse],
    there: Mapping[tuple[int, str], int],
    diary: Callable[[Collection[Warehouse]], PickDiary],
) -> Shelves:
    active = [warehouse for warehouse in warehouses if warehouse.active]
    units: dict[int, dict[str, int]] = {warehouse.pk: {} for warehouse in active}
    for (site, sku), promisable in there.items():
        if site in units:
            units[site][sku] = promisable
    return Shelves([_site(warehouse) for warehouse in active], units, diary(active))


def _site(warehouse: Warehouse) -> Site:
    return Site(
        warehouse.pk,
        warehouse.latitude,
        warehouse.longitude,
        warehouse.priority,
        float(warehouse.handling_cost),
        float(warehouse.cost_per_km),
    )


def reserved_shipment(
    shipment_id: UUID, warehouse: str, units: Sequence[tuple[Product, int]]
) -> tell.ReservedShipment:
    """What others must know of so many units of each product that one warehouse sends."""
    weight, volume = measures(units)
    return tell.ReservedShipment(
        shipment_id=shipment_id,
        warehouse=warehouse,
        lines=quantities({product.sku: quantity for product, quantity in units}),
        weight_kg=weight,
        volume_m3=volume,
        storage_classes=_storage_classes(product for product, _ in units),
    )


def measures(units: Sequence[tuple[Product, int]]) -> tuple[float, float]:
    """Their weight (kg) and volume (m³)."""
    weight = sum(float(product.weight_kg) * quantity for product, quantity in units)
    volume = sum(float(product.volume_m3) * quantity for product, quantity in units)
    return round(weight, 3), round(volume, 6)


def _storage_classes(products: Iterable[Product]) -> list[str]:
    """What a vehicle must be able to carry to carry them all."""
    ambient = Product.StorageClass.AMBIENT
    return sorted({p.storage_class for p in products if p.storage_class != ambient})


def quantities(units: Mapping[str, int]) -> list[tell.Quantity]:
    return [tell.Quantity(sku=sku, quantity=quantity) for sku, quantity in units.items()]
