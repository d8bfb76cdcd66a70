"""Promise: a level's figures can't contradict each other, and a ledger line, once written,
stays as it is; the database itself refuses both."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Greatest

from supplychain.events.context import new_id
from supplychain.events.models import Aggregate

from .places import Product, Warehouse


class StockLevel(Aggregate):
    """Stock of one product in one warehouse, in units.

    ``on_hand``, ``quarantined`` and ``in_transit`` (on the way here by transfer) are each the
    ledger's sum of their bucket; ``reserved`` is the sum of the held reservations.
    """

    warehouse = models.ForeignKey(Warehouse, on_delete=models.PROTECT, related_name="levels")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="levels")
    on_hand = models.BigIntegerField(default=0)
    reserved = models.BigIntegerField(default=0)
    quarantined = models.BigIntegerField(default=0)
    in_transit = models.BigIntegerField(default=0)
    safety_stock = models.PositiveBigIntegerField(
        default=0, help_text="units that are never promised to an order"
    )
    reorder_point = models.PositiveBigIntegerField(
        default=0, help_text="when fewer units are available, StockLow is told. 0: never"
    )
    counted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        permissions = [
            ("limit_stocklevel", "Can set safety stock and reorder point"),
            ("correct_stocklevel", "Can correct books that don't balance"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["warehouse", "product"], name="level_once"),
            models.CheckConstraint(condition=Q(on_hand__gte=0), name="on_hand_not_negative"),
            models.CheckConstraint(condition=Q(reserved__gte=0), name="reserved_not_negative"),
            models.CheckConstraint(
                condition=Q(quarantined__gte=0), name="quarantined_not_negative"
            ),
            models.CheckConstraint(condition=Q(in_transit__gte=0), name="in_transit_not_negative"),
            models.CheckConstraint(
                condition=Q(reserved__lte=F("on_hand")), name="nothing_sold_twice"
            ),
        ]
        # For what needs doing; of no figure that a reservation changes, which would cost it.
        indexes = [
            models.Index(
                fields=["warehouse"], name="level_watched", condition=Q(reorder_point__gt=0)
            ),
            models.Index(
                fields=["warehouse"], name="level_quarantined", condition=Q(quarantined__gt=0)
            ),
        ]

    #: ``promisable`` as SQL.
    PROMISABLE = Greatest(F("on_hand") - F("reserved") - F("safety_stock"), Value(0))

    def __str__(self) -> str:
        return f"{self.product} in {self.warehouse}"

    @property
    def available(self) -> int:
        """On hand and not reserved: what staff may move or write off."""
        return self.on_hand - self.reserved

    @property
    def promisable(self) -> int:
        """Available to promise now: what an order may take."""
        return max(0, self.available - self.safety_stock)


class StockMovement(models.Model):
    """A line of the ledger; never changed, never deleted (on PostgreSQL a trigger sees to it)."""

    class Reason(models.TextChoices):
        RECEIPT = "receipt"
        ADJUSTMENT = "adjustment"
        DISPATCH = "dispatch"
        RETURN = "return"
        TRANSFER_OUT = "transfer_out"
        TRANSFER_IN = "transfer_in"
        TRANSFER_LOSS = "transfer_loss"
        COUNT = "count"
        IMPORT = "import"
        QUARANTINE = "quarantine"
        RESTOCK = "restock"
        SCRAP = "scrap"
        CORRECTION = "correction"

    class Bucket(models.TextChoices):
        """Which of the level's figures the line belongs to; named like the field."""

        ON_HAND = "on_hand"
        QUARANTINED = "quarantined"
        IN_TRANSIT = "in_transit"

    id = models.BigAutoField(primary_key=True)
    level = models.ForeignKey(
        StockLevel,
        on_delete=models.PROTECT,
        related_name="movements",
        db_index=False,  # movement_newest begins with it
    )
    bucket = models.CharField(max_length=11, choices=Bucket, default=Bucket.ON_HAND)
    delta = models.BigIntegerField()
    reason = models.CharField(max_length=13, choices=Reason)
    reference = models.CharField(max_length=120, blank=True)
    actor = models.CharField(max_length=150, blank=True)
    note = models.CharField(max_length=300, blank=True)
    correlation_id = models.CharField(max_length=128, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["level", "bucket", "reason", "reference"],
                condition=~Q(reference=""),
                name="movement_once_per_reference",
            ),
            # A correction of the level alone moves nothing and is logged nevertheless.
            models.CheckConstraint(
                condition=~Q(delta=0) | Q(reason="correction"), name="movement_moves"
            ),
        ]
        indexes = [
            models.Index(fields=["level", "-id"], name="movement_newest"),
            models.Index(fields=["-at"], name="movement_at"),
        ]

    def __str__(self) -> str:
        return f"{self.delta:+d} {self.level} ({self.reason})"


class Allocation(Aggregate):
    """Inventory's own record of an order's demand, with what a shipment of it needs to know.

    A row in state CANCELLED may come before its order does: then nothing is ever reserved.
    ``wanted`` is {SKU: units}, less what was cancelled of it. While ``confirm_by`` is set the
    order is not yet confirmed, and what is reserved for it is only held.
    """

    class State(models.TextChoices):
        OPEN = "open"
        CANCELLED = "cancelled"
        EXPIRED = "expired"
        REJECTED = "rejected"

    order_id = models.UUIDField(primary_key=True)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    channel = models.CharField(max_length=40, blank=True)
    priority = models.PositiveSmallIntegerField(default=0, help_text="the highest is served first")
    wanted = models.JSONField(default=dict)
    taken_back = models.JSONField(
        default=dict, help_text="{SKU: units} that were cancelled of it, whatever came of that"
    )
    kept = models.JSONField(
        default=dict, help_text="{SKU: units}, of these, that had left before they were cancelled"
    )
    destination = models.JSONField(default=dict)
    requested_from = models.DateTimeField(null=True)
    requested_until = models.DateTimeField(null=True)
    confirm_by = models.DateTimeField(null=True)
    placed_at = models.DateTimeField(null=True, db_index=True)
    correlation_id = models.CharField(max_length=128)

    class Meta:
        # As small as what waits for its confirmation, however many have had theirs or expired.
        indexes = [
            models.Index(
                fields=["confirm_by"],
                name="allocation_unconfirmed",
                condition=Q(state="open", confirm_by__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"order {self.order_id}"


class Reservation(models.Model):
    """Units of one stock level that one shipment will take: of one order line (an order names a
    product once) in one warehouse.

    ``returned`` of them have come back after they had left.
    """

    class State(models.TextChoices):
        HELD = "held"
        COMMITTED = "committed"
        RELEASED = "released"
        EXPIRED = "expired"
        RETURNED = "returned"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    shipment_id = models.UUIDField(db_index=True)
    allocation = models.ForeignKey(
        Allocation, on_delete=models.PROTECT, related_name="reservations"
    )
    level = models.ForeignKey(StockLevel, on_delete=models.PROTECT, related_name="reservations")
    quantity = models.PositiveBigIntegerField()
    returned = models.PositiveBigIntegerField(default=0)
    state = models.CharField(max_length=10, choices=State, default=State.HELD)
    pick_on = models.DateField(null=True, help_text="the warehouse's local day")
    expires_at = models.DateTimeField(null=True, help_text="held for an unconfirmed order")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(quantity__gt=0), name="reservation_has_units"),
            models.CheckConstraint(
                condition=Q(returned__lte=F("quantity")), name="no_more_returned_than_sent"
            ),
        ]
        indexes = [
            models.Index(fields=["level"], name="reservation_held", condition=Q(state="held")),
            models.Index(
                fields=["pick_on"],
                name="reservation_picks",
                condition=Q(state__in=["held", "committed"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.level} ({self.state})"


class Cut(models.Model):
    """Units of a confirmed order that are to be taken out of a shipment after they had been
    reserved: routing, who knows what has left, is asked whether it can do without them.

    They were taken back by the channel; or, ``back_in_line``, the warehouse gives them up, and
    the order waits for others. Then ``set_aside``: they go into quarantine.
    """

    class State(models.TextChoices):
        ASKED = "asked"
        DONE = "done"
        REFUSED = "refused"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    allocation = models.ForeignKey(Allocation, on_delete=models.PROTECT, related_name="cuts")
    shipment_id = models.UUIDField()
    units = models.JSONField(help_text="{SKU: units}")
    state = models.CharField(max_length=7, choices=State, default=State.ASKED)
    back_in_line = models.BooleanField(default=False)
    set_aside = models.BooleanField(default=False)
    reason = models.CharField(max_length=200, blank=True)
    asked_by = models.CharField(max_length=150, blank=True)
    asked_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"cut of {self.shipment_id} ({self.state})"


class Backorder(models.Model):
    """Units of an order that wait for stock: the highest priority first, then first come."""

    id = models.BigAutoField(primary_key=True)
    allocation = models.ForeignKey(Allocation, on_delete=models.PROTECT, related_name="backorders")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="backorders")
    quantity = models.PositiveBigIntegerField()
    priority = models.PositiveSmallIntegerField(default=0)
    placed_at = models.DateTimeField()

    #: The line that orders stand in.
    LINE = ("-priority", "placed_at", "pk")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["allocation", "product"], name="backorder_once"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="backorder_has_units"),
        ]
        indexes = [
            models.Index(fields=["product", "-priority", "placed_at"], name="backorder_queue")
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product} for {self.allocation}"
