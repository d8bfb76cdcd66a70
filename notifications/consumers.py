"""What notifications does when orders tells something."""

from orders import events as told
from supplychain.events import consumer

from . import services


@consumer(
    told.OrderPlaced,
    told.OrderReserved,
    told.OrderPartiallyReserved,
    told.OrderBackordered,
    told.OrderPlanned,
    told.OrderDispatched,
    told.OrderDelivered,
    told.OrderDeliveryFailed,
    told.OrderReturned,
    told.OrderCancelled,
    told.OrderRejected,
    queue="notifications",
    batch=100,
)
def notify(events: list[told.OrderEvent]) -> None:
    """Put the messages about an order's step on their way."""
    services.queue_messages(events=events)
