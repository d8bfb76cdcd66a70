"""What orders does when other domains tell something."""

from typing import Any

from inventory.events import (
    AllocationReduced,
    AllocationRejected,
    BackorderFilled,
    ProductChanged,
    ReservationExpired,
    StockHeld,
    StockReserved,
    StockShort,
)
from routing.events import (
    EtaChanged,
    ShipmentCancelled,
    ShipmentDelayed,
    ShipmentDispatched,
    ShipmentPlanned,
    ShipmentPromised,
    ShipmentReturned,
    ShipmentUnplannable,
    StopDelivered,
    StopFailed,
)
from supplychain.events import Retry, consumer

from . import saga, services


@consumer(ProductChanged, queue="orders", batch=200)
def keep_catalogue(events: list[ProductChanged]) -> None:
    """Keep the copy of the catalogue that orders are checked against."""
    services.keep_catalogue(changes=events)


@consumer(
    StockHeld,
    StockReserved,
    BackorderFilled,
    StockShort,
    AllocationReduced,
    AllocationRejected,
    ReservationExpired,
    ShipmentPromised,
    ShipmentPlanned,
    EtaChanged,
    ShipmentDelayed,
    ShipmentUnplannable,
    ShipmentDispatched,
    StopDelivered,
    StopFailed,
    ShipmentReturned,
    ShipmentCancelled,
    queue="orders",
    batch=100,
    retry=Retry(attempts=8, base=1.0),
)
def advance_orders(events: list[Any]) -> None:
    """Move orders on by what happened to their stock and shipments."""
    saga.advance(events=events)
