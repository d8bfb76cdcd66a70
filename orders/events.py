"""What the orders domain tells: its public contract."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from supplychain.events import Event, Payload, Sensitivity


class Customer(Payload):
    name: str
    email: str
    phone: str = ""


class Address(Payload):
    """Latitude and longitude in degrees, WGS 84."""

    address: str
    city: str
    region: str = ""
    postal_code: str
    country: str
    latitude: float
    longitude: float


class OrderLine(Payload):
    sku: str
    quantity: int
    unit_price: Decimal


class OrderEvent(Event):
    """What every event of an order says."""

    order_id: UUID
    channel: str
    external_id: str


class OrderPlaced(OrderEvent, type="orders.order_placed", version=1, subject="order/{order_id}"):
    """A channel placed an order; nothing is promised yet.

    The highest ``priority`` is served first. With ``confirm_by`` stock is only held for it
    until then, and nothing is shipped before the channel confirms the order.
    """

    sensitivity = Sensitivity.PERSONAL

    customer: Customer
    ship_to: Address
    lines: list[OrderLine]
    currency: str
    total: Decimal
    requested_from: datetime | None = None
    requested_until: datetime | None = None
    placed_at: datetime
    priority: int = 0
    confirm_by: datetime | None = None


class OrderConfirmed(
    OrderEvent, type="orders.order_confirmed", version=1, subject="order/{order_id}"
):
    """The channel confirmed, in time, an order that stock was only held for."""

    confirmed_at: datetime


class LineCancelled(Payload):
    """``quantity`` was taken back now, ``total`` so far."""

    sku: str
    quantity: int
    total: int


class LineKept(Payload):
    """``quantity`` could not be taken back as is known now, ``total`` so far."""

    sku: str
    quantity: int
    total: int


class OrderLinesCancelled(
    OrderEvent, type="orders.order_lines_cancelled", version=1, subject="order/{order_id}"
):
    """The channel took back a part of an order; the rest stands."""

    lines: list[LineCancelled]
    reason: str


class OrderLinesKept(
    OrderEvent, type="orders.order_lines_kept", version=1, subject="order/{order_id}"
):
    """Units that the channel took back had left already: they are in the order again."""

    lines: list[LineKept]
    reason: str


class OrderReserved(
    OrderEvent, type="orders.order_reserved", version=1, subject="order/{order_id}"
):
    """Stock is reserved for every line."""

    quantity: int
    reserved: int


class OrderPartiallyReserved(
    OrderEvent, type="orders.order_partially_reserved", version=1, subject="order/{order_id}"
):
    """Stock is reserved for a part; the rest is on backorder."""

    quantity: int
    reserved: int


class OrderBackordered(
    OrderEvent, type="orders.order_backordered", version=1, subject="order/{order_id}"
):
    """Nothing is in stock; the whole order waits for a receipt."""

    quantity: int


class OrderPlanned(OrderEvent, type="orders.order_planned", version=1, subject="order/{order_id}"):
    """Every shipment of the order stands in a route.

    The time is that of what comes last; ``time_zone`` is its depot's. ``as_promised``: all comes
    within the windows that were told before.
    """

    eta: datetime | None = None
    window_from: datetime | None = None
    window_until: datetime | None = None
    time_zone: str = "UTC"
    as_promised: bool = False


class OrderShipmentEvent(OrderEvent):
    """What every event of one of an order's shipments says.

    ``partial``: as far as is known, the order comes in several.
    """

    shipment_id: UUID
    partial: bool = False


class OrderPromised(
    OrderShipmentEvent, type="orders.order_promised", version=1, subject="order/{order_id}"
):
    """A shipment of the order comes within this window; ``time_zone`` is its depot's."""

    window_from: datetime
    window_until: datetime
    eta: datetime | None = None
    time_zone: str = "UTC"


class OrderEtaChanged(
    OrderShipmentEvent, type="orders.order_eta_changed", version=1, subject="order/{order_id}"
):
    """A shipment of the order comes notably earlier or later than was told last, or has a time
    again. ``within_window``: the window that was told still holds."""

    eta: datetime
    told_before: datetime | None = None
    window_from: datetime | None = None
    window_until: datetime | None = None
    time_zone: str = "UTC"
    within_window: bool = False
    reason: str


class OrderDelayed(
    OrderShipmentEvent, type="orders.order_delayed", version=1, subject="order/{order_id}"
):
    """A shipment of the order does not come when it should; its new time is not known yet."""

    told_before: datetime | None = None
    reason: str


class OrderUnplannable(
    OrderShipmentEvent, type="orders.order_unplannable", version=1, subject="order/{order_id}"
):
    """No route could take a shipment of the order, for which nobody was told a time; it is tried
    again in the next plan."""

    reason: str


class OrderDispatched(
    OrderEvent, type="orders.order_dispatched", version=1, subject="order/{order_id}"
):
    """Every shipment of the order has left its depot."""


class OrderDelivered(
    OrderEvent, type="orders.order_delivered", version=1, subject="order/{order_id}"
):
    """Every shipment of the order has been handed over."""


class OrderDeliveryFailed(
    OrderEvent, type="orders.order_delivery_failed", version=1, subject="order/{order_id}"
):
    """A shipment could not be handed over; it is planned again or returned."""

    reason: str


class OrderReturned(
    OrderEvent, type="orders.order_returned", version=1, subject="order/{order_id}"
):
    """What could not be delivered is back in its warehouse; the order ends here."""


class OrderCancelled(
    OrderEvent, type="orders.order_cancelled", version=1, subject="order/{order_id}"
):
    """The order was taken back before it was dispatched, or not confirmed in time."""

    reason: str


class OrderRejected(
    OrderEvent, type="orders.order_rejected", version=1, subject="order/{order_id}"
):
    """The order can't be fulfilled at all."""

    reason: str
