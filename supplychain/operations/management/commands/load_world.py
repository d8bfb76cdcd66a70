"""manage.py load_world: the demo's warehouses, products and stock, to try the system with."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from supplychain.operations import scenario
from supplychain.operations.furnish import furnish


class Command(BaseCommand):
    help = "Register the demo's warehouses and products and receive their first stock, once."

    def handle(self, *args: Any, **options: Any) -> None:
        world = scenario.build()
        furnish(world, actor="load_world")
        skus = ", ".join(sorted(product["sku"] for product in world.products)[:5])
        codes = ", ".join(code for code, *_ in scenario.WAREHOUSES)
        self.stdout.write(f"Warehouses {codes}; {len(world.products)} products: {skus} …")
