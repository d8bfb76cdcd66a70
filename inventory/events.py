"""What the inventory domain tells: its public contract."""

from datetime import date, datetime, time
from uuid import UUID

from supplychain.events import Event, Payload, Sensitivity


class Quantity(Payload):
    sku: str
    quantity: int


class Destination(Payload):
    """Where a shipment goes; degrees, WGS 84."""

    name: str
    address: str
    city: str
    region: str = ""
    postal_code: str
    country: str
    latitude: float
    longitude: float
    phone: str = ""


class ReservedShipment(Payload):
    """What one warehouse sends of one order; kg and m³.

    ``storage_classes`` are those of its products, but for what needs no care.
    """

    shipment_id: UUID
    warehouse: str
    lines: list[Quantity]
    weight_kg: float
    volume_m3: float
    storage_classes: list[str] = []


class ProductChanged(Event, type="inventory.product_changed", version=1, subject="product/{sku}"):
    """A product was registered, or what it says has changed; kg and m³ per unit."""

    sku: str
    name: str
    weight_kg: float
    volume_m3: float
    active: bool
    storage_class: str = "ambient"


class WarehouseChanged(
    Event, type="inventory.warehouse_changed", version=1, subject="warehouse/{code}"
):
    """A warehouse was registered, or what it says has changed; degrees, WGS 84.

    ``cut_off`` is local time: what is reserved later is picked the next day.
    """

    code: str
    name: str
    latitude: float
    longitude: float
    active: bool
    time_zone: str = "UTC"
    cut_off: time | None = None


class AllocationEvent(Event):
    """What an allocation says when it has just reserved stock.

    ``shipments`` are only the new ones; ``outstanding`` is all that is on backorder now.
    """

    order_id: UUID
    shipments: list[ReservedShipment]
    outstanding: list[Quantity]
    ship_to: Destination
    requested_from: datetime | None = None
    requested_until: datetime | None = None
    priority: int = 0

    @property
    def complete(self) -> bool:
        return not self.outstanding


class StockReserved(
    AllocationEvent, type="inventory.stock_reserved", version=1, subject="order/{order_id}"
):
    """Stock for an order, or for a part of it, is reserved as one shipment per warehouse."""

    sensitivity = Sensitivity.PERSONAL


class BackorderFilled(
    AllocationEvent, type="inventory.backorder_filled", version=1, subject="order/{order_id}"
):
    """Stock has come in for an order that waited for it; new shipments are reserved."""

    sensitivity = Sensitivity.PERSONAL


class StockHeld(
    AllocationEvent, type="inventory.stock_held", version=1, subject="order/{order_id}"
):
    """What is held for an order that is not yet confirmed has changed; nobody ships it yet."""

    sensitivity = Sensitivity.PERSONAL

    confirm_by: datetime


class ShipmentQuantity(Payload):
    """What a shipment has left, in units."""

    shipment_id: UUID
    quantity: int


class AllocationReduced(
    Event, type="inventory.allocation_reduced", version=1, subject="order/{order_id}"
):
    """What became of a part of an order that was taken back.

    All figures are totals: ``outstanding`` is on backorder now, ``kept`` had left already by
    the time it was taken back, of all that ever was; ``shipments`` are those that have shrunk.
    """

    order_id: UUID
    outstanding: list[Quantity]
    kept: list[Quantity]
    shipments: list[ShipmentQuantity]
    reason: str = ""


class ShipmentCutRequested(
    Event, type="inventory.shipment_cut_requested", version=1, subject="order/{order_id}"
):
    """A shipment should leave without these units, if it has not left: routing decides.

    ``weight_kg`` and ``volume_m3`` are those of the units. ``empties``: nothing else is in it.
    """

    cut_id: UUID
    shipment_id: UUID
    order_id: UUID
    lines: list[Quantity]
    weight_kg: float
    volume_m3: float
    empties: bool


class StockShort(Event, type="inventory.stock_short", version=1, subject="order/{order_id}"):
    """Nothing could be reserved for an order; all of it is on backorder."""

    order_id: UUID
    outstanding: list[Quantity]


class AllocationRejected(
    Event, type="inventory.allocation_rejected", version=1, subject="order/{order_id}"
):
    """An order asks for what can never be in stock here."""

    order_id: UUID
    reason: str


class StockEvent(Event):
    """Something happened to stock."""

    @property
    def skus(self) -> set[str]:
        """The products it happened to."""
        raise NotImplementedError


class ShipmentStock(StockEvent):
    """What happened to the stock of one shipment."""

    order_id: UUID
    shipment_id: UUID
    warehouse: str
    lines: list[Quantity]

    @property
    def skus(self) -> set[str]:
        return {line.sku for line in self.lines}


class LevelEvent(StockEvent):
    """What happened to the stock of one product in one warehouse."""

    warehouse: str
    sku: str

    @property
    def skus(self) -> set[str]:
        return {self.sku}


class StockReleased(
    ShipmentStock, type="inventory.stock_released", version=1, subject="order/{order_id}"
):
    """A reservation was given up; its units are available again."""


class StockCommitted(
    ShipmentStock, type="inventory.stock_committed", version=1, subject="order/{order_id}"
):
    """A shipment has left: its units are no longer on hand."""


class ReservationExpired(
    StockEvent, type="inventory.reservation_expired", version=1, subject="order/{order_id}"
):
    """An order was not confirmed in time: what was held for it is available again."""

    order_id: UUID
    confirm_by: datetime
    lines: list[Quantity]

    @property
    def skus(self) -> set[str]:
        return {line.sku for line in self.lines}


class ReturnedLine(Payload):
    """``disposition`` is restock, quarantine or scrap."""

    sku: str
    quantity: int
    disposition: str


class GoodsReturned(
    StockEvent, type="inventory.goods_returned", version=1, subject="order/{order_id}"
):
    """A customer sent goods back; what is fit to be sold again is on hand."""

    order_id: UUID
    shipment_id: UUID
    warehouse: str
    reference: str
    lines: list[ReturnedLine]

    @property
    def skus(self) -> set[str]:
        return {line.sku for line in self.lines if line.disposition == "restock"}


class StockReturned(
    ShipmentStock, type="inventory.stock_returned", version=1, subject="order/{order_id}"
):
    """A shipment came back: its units are on hand again."""


class StockReceived(
    LevelEvent, type="inventory.stock_received", version=1, subject="stock/{warehouse}/{sku}"
):
    """Goods came in. Both figures are those just after it."""

    quantity: int
    on_hand: int
    reserved: int
    reference: str


class StockAdjusted(
    LevelEvent, type="inventory.stock_adjusted", version=1, subject="stock/{warehouse}/{sku}"
):
    """Stock on hand was corrected by ``delta``, for a stated reason."""

    delta: int
    on_hand: int
    reserved: int
    reason: str


class StockLow(
    LevelEvent, type="inventory.stock_low", version=1, subject="stock/{warehouse}/{sku}"
):
    """Fewer units are available than the level's reorder point: time to order more."""

    available: int
    reorder_point: int


class SetAside(LevelEvent):
    """Units that moved between what is on hand, what is in quarantine and nowhere.

    The figures are those just after it.
    """

    quantity: int
    on_hand: int
    reserved: int
    quarantined: int
    reason: str
    actor: str


class StockQuarantined(
    SetAside, type="inventory.stock_quarantined", version=1, subject="stock/{warehouse}/{sku}"
):
    """Units were set aside to be looked at: they are no longer on hand."""


class StockRestocked(
    SetAside, type="inventory.stock_restocked", version=1, subject="stock/{warehouse}/{sku}"
):
    """Units that were set aside are good: they are on hand again."""


class StockScrapped(
    SetAside, type="inventory.stock_scrapped", version=1, subject="stock/{warehouse}/{sku}"
):
    """Units were written off for good."""


class StockLimitsChanged(
    LevelEvent, type="inventory.stock_limits_changed", version=1, subject="stock/{warehouse}/{sku}"
):
    """What is never promised of a product, or when more of it is ordered, was changed."""

    safety_stock: int
    reorder_point: int
    actor: str


class StockCounted(
    LevelEvent, type="inventory.stock_counted", version=1, subject="stock/{warehouse}/{sku}"
):
    """Somebody counted what is on hand; it is now what was ``counted``."""

    count_id: UUID
    expected: int
    counted: int
    reserved: int
    actor: str


class StockCorrected(
    LevelEvent, type="inventory.stock_corrected", version=1, subject="stock/{warehouse}/{sku}"
):
    """A level that contradicted its ledger was put right; the figures are those after it."""

    on_hand: int
    reserved: int
    quarantined: int
    in_transit: int
    reason: str
    actor: str


class ReceiptEvent(Event):
    """Something happened to goods that a supplier has announced."""

    receipt_id: UUID
    warehouse: str
    reference: str
    actor: str


class ReceiptExpected(
    ReceiptEvent, type="inventory.receipt_expected", version=1, subject="receipt/{receipt_id}"
):
    """Goods were announced, or what was announced has changed; this is all of it.

    ``expected_on`` is the warehouse's local day.
    """

    supplier: str
    expected_on: date
    lines: list[Quantity]


class ReceiptCancelled(
    ReceiptEvent, type="inventory.receipt_cancelled", version=1, subject="receipt/{receipt_id}"
):
    """Goods that were announced won't come."""


class Delivery(Payload):
    """What was announced of a product, or shipped, and what has come of it."""

    sku: str
    quantity: int
    received: int


class ReceiptClosed(
    ReceiptEvent, type="inventory.receipt_closed", version=1, subject="receipt/{receipt_id}"
):
    """All of the announced goods have come, or nobody waits for the rest any longer."""

    lines: list[Delivery]


class TransferEvent(Event):
    """Something happened to a transfer from one warehouse (``source``) to another."""

    transfer_id: UUID
    source: str
    target: str
    actor: str


class TransferProposed(
    TransferEvent, type="inventory.transfer_proposed", version=1, subject="transfer/{transfer_id}"
):
    """Stock should be moved, or what should be moved has changed; this is all of it."""

    lines: list[Quantity]
    reason: str


class TransferShipped(
    TransferEvent, type="inventory.transfer_shipped", version=1, subject="transfer/{transfer_id}"
):
    """Stock has left its warehouse and is in transit to the other; a day of the target's."""

    lines: list[Quantity]
    expected_on: date | None


class TransferReceived(
    TransferEvent,
    StockEvent,
    type="inventory.transfer_received",
    version=1,
    subject="transfer/{transfer_id}",
):
    """A transfer has arrived; what did not is lost, for the stated reason."""

    lines: list[Delivery]
    reason: str

    @property
    def skus(self) -> set[str]:
        return {line.sku for line in self.lines if line.received}


class TransferCancelled(
    TransferEvent,
    StockEvent,
    type="inventory.transfer_cancelled",
    version=1,
    subject="transfer/{transfer_id}",
):
    """A transfer won't happen; ``came_back`` had left and is on hand at the source again."""

    came_back: list[Quantity]

    @property
    def skus(self) -> set[str]:
        return {line.sku for line in self.came_back}


class CountEvent(Event):
    """Something happened to a cycle count of a warehouse."""

    count_id: UUID
    warehouse: str
    actor: str


class CountOpened(CountEvent, type="inventory.count_opened", version=1, subject="count/{count_id}"):
    """So many stock levels are to be counted; a local day of the warehouse."""

    due_on: date
    levels: int


class CountClosed(CountEvent, type="inventory.count_closed", version=1, subject="count/{count_id}"):
    """A count is over: so many levels were counted, so many of them were not as expected."""

    counted: int
    uncounted: int
    differing: int


class CountCancelled(
    CountEvent, type="inventory.count_cancelled", version=1, subject="count/{count_id}"
):
    """A count was given up; what was counted before stays as it was counted."""
