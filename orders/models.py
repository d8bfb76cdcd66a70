from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from supplychain.events.context import new_id
from supplychain.events.models import Aggregate


class Status(models.TextChoices):
    PLACED = "placed"
    RESERVED = "reserved"
    PARTIALLY_RESERVED = "partially_reserved"
    BACKORDERED = "backordered"
    PLANNED = "planned"
    DISPATCHED = "dispatched"
    DELIVERED = "delivered"
    DELIVERY_FAILED = "delivery_failed"
    RETURNED = "returned"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class Channel(models.Model):
    """A sales channel; its user's token is its credential."""

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=100)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="channel"
    )
    active = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.code


class CatalogueItem(models.Model):
    """Orders' own copy of what inventory says of its products."""

    sku = models.CharField(max_length=64, primary_key=True)
    name = models.CharField(max_length=200)
    active = models.BooleanField()
    sequence = models.PositiveBigIntegerField(help_text="of the event last applied")

    def __str__(self) -> str:
        return self.sku


class Order(Aggregate):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="orders")
    external_id = models.CharField(max_length=80)
    body_digest = models.CharField(max_length=64, editable=False)
    status = models.CharField(max_length=20, choices=Status, default=Status.PLACED)
    customer_name = models.CharField(max_length=120)
    customer_email = models.EmailField()
    customer_phone = models.CharField(max_length=40, blank=True)
    address = models.CharField(max_length=200)
    city = models.CharField(max_length=100)
    region = models.CharField(max_length=100, blank=True)
    postal_code = models.CharField(max_length=20)
    country = models.CharField(max_length=2)
    latitude = models.FloatField()
    longitude = models.FloatField()
    currency = models.CharField(max_length=3)
    total = models.DecimalField(max_digits=18, decimal_places=2)
    requested_from = models.DateTimeField(null=True, blank=True)
    requested_until = models.DateTimeField(null=True, blank=True)
    priority = models.PositiveSmallIntegerField(default=0, help_text="the highest is served first")
    confirm_by = models.DateTimeField(
        null=True, blank=True, help_text="until then its stock is only held. Empty: not needed"
    )
    confirmed_at = models.DateTimeField(null=True, blank=True)
    quantity = models.PositiveBigIntegerField(help_text="units of all lines, as ordered")
    cancelled_quantity = models.PositiveBigIntegerField(
        default=0, help_text="of them, those that were taken back since"
    )
    reserved_quantity = models.PositiveBigIntegerField(default=0)
    outstanding_quantity = models.PositiveBigIntegerField(null=True, editable=False)
    allocation_sequence = models.PositiveBigIntegerField(default=0, editable=False)
    correlation_id = models.CharField(max_length=128, db_index=True)
    placed_at = models.DateTimeField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes = [
            models.Index(fields=["channel", "-placed_at"], name="order_channel_recent"),
            models.Index(fields=["status", "-placed_at"], name="order_status_recent"),
            models.Index(fields=["-placed_at"], name="order_recent"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["channel", "external_id"], name="order_once"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="order_has_units"),
            models.CheckConstraint(
                condition=Q(reserved_quantity__lte=F("quantity")), name="order_reserved_in_bounds"
            ),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="order_status"),
            models.CheckConstraint(
                condition=Q(cancelled_quantity__lt=F("quantity")), name="order_keeps_units"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.external_id} ({self.status})"

    @property
    def wanted(self) -> int:
        """Units that are still to come."""
        return self.quantity - self.cancelled_quantity

    @property
    def awaits_confirmation(self) -> bool:
        return self.confirm_by is not None and self.confirmed_at is None


class OrderLine(models.Model):
    """``taken_back`` counts what the channel has cancelled of the line, ``kept`` what of that had
    left already and so stays in the order. Both only ever grow."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    position = models.PositiveIntegerField()
    sku = models.CharField(max_length=64, db_index=True)
    quantity = models.PositiveIntegerField()
    taken_back = models.PositiveBigIntegerField(default=0)
    kept = models.PositiveBigIntegerField(default=0)
    unit_price = models.DecimalField(max_digits=12, decimal_places=2)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["order", "position"], name="order_line_position"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="order_line_has_units"),
            models.CheckConstraint(
                condition=Q(taken_back__lte=F("quantity") + F("kept"), kept__lte=F("taken_back")),
                name="order_line_cancelled_in_bounds",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.sku}"

    @property
    def cancelled(self) -> int:
        """Units taken back, less those that could not be."""
        return self.taken_back - self.kept


class TakenBack(models.Model):
    """What a channel took out of an order under a reference of its own, once."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="taken_back")
    reference = models.CharField(max_length=80)
    units = models.JSONField(help_text="{SKU: units}")

    class Meta:
        verbose_name_plural = "taken back"
        constraints = [
            models.UniqueConstraint(fields=["order", "reference"], name="taken_back_once")
        ]

    def __str__(self) -> str:
        return self.reference


class OrderShipment(models.Model):
    """Orders' own view of a shipment, from the events of inventory and routing.

    ``quantity`` is None until inventory has told of it: routing's events may come first. The
    window is the one promised, or asked for; what begins with ``told`` is what the channel and
    the customer were told last, and ``owed`` says that they wait for a new time.
    """

    class State(models.TextChoices):
        RESERVED = "reserved"
        PLANNED = "planned"
        DISPATCHED = "dispatched"
        DELIVERED = "delivered"
        FAILED = "failed"
        RETURNED = "returned"
        CANCELLED = "cancelled"

    class Trouble(models.TextChoices):
        DELAYED = "delayed"
        UNPLANNABLE = "unplannable"

    shipment_id = models.UUIDField(primary_key=True)
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="shipments")
    state = models.CharField(max_length=12, choices=State, default=State.RESERVED)
    quantity = models.PositiveBigIntegerField(null=True)
    warehouse = models.CharField(max_length=40, blank=True)
    eta = models.DateTimeField(null=True)
    window_from = models.DateTimeField(null=True)
    window_until = models.DateTimeField(null=True)
    time_zone = models.CharField(max_length=64, default="UTC", help_text="its depot's")
    trouble = models.CharField(max_length=12, choices=Trouble, blank=True)
    reason = models.CharField(
        max_length=300, blank=True, help_text="of its trouble, or why it was not handed over"
    )
    told_eta = models.DateTimeField(null=True, editable=False)
    told_from = models.DateTimeField(null=True, editable=False)
    told_until = models.DateTimeField(null=True, editable=False)
    owed = models.BooleanField(default=False, editable=False)
    #: Of routing's events last applied: to the state, to when it comes, to its ETA.
    sequence = models.PositiveBigIntegerField(default=0)
    outlook_sequence = models.PositiveBigIntegerField(default=0, editable=False)
    eta_sequence = models.PositiveBigIntegerField(default=0, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["trouble"], name="shipment_in_trouble", condition=~Q(trouble=""))
        ]

    def __str__(self) -> str:
        return f"{self.shipment_id} ({self.state})"

    @property
    def comes_as_told(self) -> bool:
        """Within the window that was told last."""
        opens, closes = self.told_from, self.told_until
        return bool(self.eta and opens and closes and opens <= self.eta <= closes)

    @property
    def breaks_what_was_told(self) -> bool:
        """A window was told, and another time than that is known."""
        return self.told_until is not None and not self.comes_as_told

    def owe_time(self) -> None:
        """What was told no longer holds."""
        self.told_eta = self.told_from = self.told_until = None
        self.owed = True


class StatusChange(models.Model):
    """One step in an order's life, or a note on what changed of it at one."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="history")
    status = models.CharField(max_length=20, choices=Status)
    at = models.DateTimeField()
    reason = models.CharField(max_length=300, blank=True)
    cause = models.UUIDField(null=True, help_text="the event that led here")

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.status} at {self.at:%Y-%m-%d %H:%M:%S}"
