"""Promise: no unit is promised twice: what is reserved was available under the lock of its
stock level, and level and reservations are written together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from supplychain.events.context import new_id
from supplychain.events.outbox import Emission

from . import events as tell
from . import locks
from .ledger import Ledger
from .models import Allocation, Reservation, StockLevel
from .sourcing import Site, choose


@dataclass
class Stock:
    """The locked levels of the products at hand, and what is taken from them."""

    levels: dict[tuple[int, str], StockLevel]
    available: dict[tuple[int, str], int]
    sites: list[Site]
    ledger: Ledger = field(default_factory=lambda: Ledger(actor="system"))
    reservations: list[Reservation] = field(default_factory=list)

    @classmethod
    def lock(cls, product_ids: Iterable[int]) -> Stock:
        rows = locks.levels_of_products(product_ids)
        levels = {(row.warehouse_id, row.product.sku): row for row in rows}
        warehouses = {r.warehouse_id: r.warehouse for r in rows if r.warehouse.active}
        return cls(
            levels=levels,
            available={key: level.promisable for key, level in levels.items()},
            sites=[Site(w.pk, w.latitude, w.longitude) for w in warehouses.values()],
        )

    def withhold(self, skus: Set[str]) -> None:
        """Nothing of these is given."""
        for site, sku in self.available:
            if sku in skus:
                self.available[site, sku] = 0

    def take(
        self, allocation: Allocation, wanted: Mapping[str, int]
    ) -> tuple[list[tell.ReservedShipment], dict[str, int]]:
        """Reserve what there is; gives one shipment per warehouse and what is short."""
        place = allocation.destination
        parcels, short = choose(
            wanted, self.sites, self.available, place["latitude"], place["longitude"]
        )
        return [self._ship(allocation, *parcel) for parcel in parcels.items()], short

    def _ship(
        self, allocation: Allocation, site: int, units: Mapping[str, int]
    ) -> tell.ReservedShipment:
        shipment_id = new_id()
        weight, volume, warehouse = 0.0, 0.0, ""
        for sku, quantity in units.items():
            level = self.levels[site, sku]
            self.ledger.reserve(level, quantity)
            self.available[site, sku] -= quantity
            weight += float(level.product.weight_kg) * quantity
            volume += float(level.product.volume_m3) * quantity
            warehouse = level.warehouse.code
            self.reservations.append(
                Reservation(
                    shipment_id=shipment_id, allocation=allocation, level=level, quantity=quantity
                )
            )
        return tell.ReservedShipment(
            shipment_id=shipment_id,
            warehouse=warehouse,
            lines=quantities(units),
            weight_kg=round(weight, 3),
            volume_m3=round(volume, 6),
        )

    def save(self) -> list[Emission]:
        """Write it all; gives what must be told of the levels."""
        emissions = self.ledger.low()
        self.ledger.write()
        Reservation.objects.bulk_create(self.reservations, batch_size=1000)
        return emissions


def quantities(units: Mapping[str, int]) -> list[tell.Quantity]:
    return [tell.Quantity(sku=sku, quantity=quantity) for sku, quantity in units.items()]
