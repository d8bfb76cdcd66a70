"""What routing does when other domains tell something."""

from inventory.events import (
    AllocationEvent,
    BackorderFilled,
    ShipmentCutRequested,
    StockReserved,
    WarehouseChanged,
)
from orders.events import OrderCancelled
from supplychain.events import Retry, consumer

from . import cutting, registering, services


@consumer(WarehouseChanged, queue="routing", batch=50)
def keep_depots(events: list[WarehouseChanged]) -> None:
    """Keep the depots up to date with the warehouses."""
    services.keep_depots(changes=events)


@consumer(StockReserved, BackorderFilled, queue="routing", batch=100, retry=Retry(attempts=8))
def register_shipments(events: list[AllocationEvent]) -> None:
    """Take reserved shipments into the planning pool."""
    registering.register_shipments(allocations=events)


@consumer(OrderCancelled, queue="routing", batch=100)
def cancel_shipments(events: list[OrderCancelled]) -> None:
    """Cancel the shipments of cancelled orders, recall those that have left."""
    services.cancel_shipments(cancellations=events)


@consumer(ShipmentCutRequested, queue="routing", batch=100, retry=Retry(attempts=8))
def cut_shipments(events: list[ShipmentCutRequested]) -> None:
    """Take units out of shipments that have not left."""
    cutting.cut_shipments(requests=events)
