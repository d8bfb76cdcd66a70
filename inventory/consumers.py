"""What inventory does when other domains tell something, and when its own stock changes."""

from orders.events import OrderCancelled, OrderConfirmed, OrderLinesCancelled, OrderPlaced
from routing.events import (
    ShipmentCancelled,
    ShipmentCutAnswer,
    ShipmentCutRefused,
    ShipmentDispatched,
    ShipmentReduced,
    ShipmentReturned,
)
from supplychain.events import Retry, consumer

from . import allocating, cancelling, filling, holding, selectors, settling
from .events import (
    GoodsReturned,
    ReservationExpired,
    StockAdjusted,
    StockCorrected,
    StockCounted,
    StockEvent,
    StockLimitsChanged,
    StockReceived,
    StockReleased,
    StockRestocked,
    StockReturned,
    TransferCancelled,
    TransferReceived,
    WarehouseChanged,
)


@consumer(OrderPlaced, queue="inventory", batch=100)
def reserve_stock(events: list[OrderPlaced]) -> None:
    """Reserve stock across warehouses, put on backorder what is short."""
    allocating.reserve_orders(placed=events)


@consumer(OrderCancelled, queue="inventory", batch=100)
def cancel_allocation(events: list[OrderCancelled]) -> None:
    """Reserve nothing more for a cancelled order, and let go what was only held for it."""
    cancelling.cancel_allocations(cancelled=events)


@consumer(OrderConfirmed, queue="inventory", batch=100, retry=Retry(attempts=10))
def confirm_allocation(events: list[OrderConfirmed]) -> None:
    """Reserve for good what was held for an order."""
    holding.confirm_allocations(confirmed=events)


@consumer(OrderLinesCancelled, queue="inventory", batch=100, retry=Retry(attempts=10))
def cut_allocation(events: list[OrderLinesCancelled]) -> None:
    """Take units out of an order."""
    cancelling.cut_allocations(cancelled=events)


@consumer(
    ShipmentReduced, ShipmentCutRefused, queue="inventory", batch=100, retry=Retry(attempts=8)
)
def settle_cuts(events: list[ShipmentCutAnswer]) -> None:
    """Free the units that a shipment leaves without."""
    cancelling.settle_cuts(answers=events)


@consumer(ShipmentCancelled, queue="inventory", batch=100)
def release_stock(events: list[ShipmentCancelled]) -> None:
    """Free the stock of a shipment that will never leave."""
    settling.release_shipments(events=events)


@consumer(ShipmentDispatched, queue="inventory", batch=100)
def commit_stock(events: list[ShipmentDispatched]) -> None:
    """Book out the stock of a shipment that has left."""
    settling.commit_shipments(events=events)


@consumer(ShipmentReturned, queue="inventory", batch=100, retry=Retry(attempts=8))
def take_back_stock(events: list[ShipmentReturned]) -> None:
    """Book in the stock of a shipment that came back."""
    settling.return_shipments(events=events)


@consumer(
    GoodsReturned,
    ReservationExpired,
    StockReceived,
    StockAdjusted,
    StockCorrected,
    StockCounted,
    StockLimitsChanged,
    StockReleased,
    StockRestocked,
    StockReturned,
    TransferCancelled,
    TransferReceived,
    queue="inventory",
    batch=100,
)
def fill_backorders(events: list[StockEvent]) -> None:
    """Give stock that may have become available to the orders that wait for it."""
    skus = {sku for event in events for sku in event.skus}
    filling.fill_backorders(skus=skus, brought_by=events)


@consumer(WarehouseChanged, queue="inventory", batch=100)
def fill_from_warehouses(events: list[WarehouseChanged]) -> None:
    """Give the stock of a warehouse that ships (again) to the orders that wait for it."""
    active = [event.code for event in events if event.active]
    filling.fill_backorders(skus=selectors.skus_available(warehouses=active))
