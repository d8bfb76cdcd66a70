"""Makes the demo's world real: through the services, so that every domain hears of it."""

from __future__ import annotations

from inventory.services import (
    ProductData,
    WarehouseRules,
    receive_stock,
    register_products,
    register_warehouse,
)
from notifications.services import keep_contact

from . import scenario


def furnish(world: scenario.Scenario, *, actor: str) -> None:
    """Products, warehouses, their first stock and whom to alert; done again it changes nothing."""
    keep_contact(name="Warehouse staff", email="warehouse@example.com")
    products = [{k: v for k, v in p.items() if k != "price"} for p in world.products]
    register_products(products=[ProductData(**data) for data in products])
    rules = WarehouseRules(time_zone=scenario.TIME_ZONE)
    for code, name, latitude, longitude in scenario.WAREHOUSES:
        warehouse = register_warehouse(
            code=code, name=name, latitude=latitude, longitude=longitude, rules=rules
        )
        stock = sorted(world.stock[code].items())
        receive_stock(warehouse=warehouse, lines=stock, reference="opening", actor=actor)
