"""What notifications does when somebody tells something that people should hear of."""

from inventory.events import BackorderFilled, GoodsReturned, StockLow, TransferProposed
from orders import events as told
from routing.events import StaffAlerted
from supplychain.events import Event, Retry, consumer

from . import alerts, services


@consumer(
    told.OrderPlaced,
    told.OrderConfirmed,
    told.OrderLinesCancelled,
    told.OrderLinesKept,
    told.OrderReserved,
    told.OrderPartiallyReserved,
    told.OrderBackordered,
    told.OrderPromised,
    told.OrderPlanned,
    told.OrderEtaChanged,
    told.OrderDelayed,
    told.OrderUnplannable,
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


@consumer(
    BackorderFilled, GoodsReturned, queue="notifications", batch=100, retry=Retry(attempts=10)
)
def notify_of_goods(events: list[services.GoodsEvent]) -> None:
    """Put the messages about an order's goods on their way."""
    services.queue_messages_of_goods(events=events)


@consumer(StockLow, TransferProposed, StaffAlerted, queue="notifications", batch=100)
def alert_staff(events: list[Event]) -> None:
    """Tell the staff what needs a person's eye."""
    alerts.queue_alerts(events=events)
