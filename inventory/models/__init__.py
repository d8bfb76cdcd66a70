from .paperwork import (
    CountLine,
    CycleCount,
    Receipt,
    ReceiptLine,
    StockImport,
    StockImportError,
    Transfer,
    TransferLine,
)
from .places import Product, RegionExclusion, SourcingRule, Warehouse, WarehouseStaff
from .stock import Allocation, Backorder, Cut, Reservation, StockLevel, StockMovement

__all__ = [
    "Allocation",
    "Backorder",
    "CountLine",
    "Cut",
    "CycleCount",
    "Product",
    "Receipt",
    "ReceiptLine",
    "RegionExclusion",
    "Reservation",
    "SourcingRule",
    "StockImport",
    "StockImportError",
    "StockLevel",
    "StockMovement",
    "Transfer",
    "TransferLine",
    "Warehouse",
    "WarehouseStaff",
]
