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
    quantity = models.PositiveBigIntegerField(help_text="units of all lines")
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
        ]

    def __str__(self) -> str:
        return f"{self.external_id} ({self.status})"


class OrderLine(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    position = models.PositiveIntegerField()
    sku = models.CharField(max_length=64, db_index=True)
    quantity = models.PositiveIntegerField()
    unit_price = models.DecimalField(max_digits=12, decimal_places=2)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["order", "position"], name="order_line_position"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="order_line_has_units"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.sku}"


class OrderShipment(models.Model):
    """Orders' own view of a shipment, from the events of inventory and routing.

    ``quantity`` is None until inventory has told of it: routing's events may come first.
    """

    class State(models.TextChoices):
        RESERVED = "reserved"
        PLANNED = "planned"
        DISPATCHED = "dispatched"
        DELIVERED = "delivered"
        FAILED = "failed"
        RETURNED = "returned"
        CANCELLED = "cancelled"

    shipment_id = models.UUIDField(primary_key=True)
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="shipments")
    state = models.CharField(max_length=12, choices=State, default=State.RESERVED)
    quantity = models.PositiveBigIntegerField(null=True)
    warehouse = models.CharField(max_length=40, blank=True)
    eta = models.DateTimeField(null=True)
    sequence = models.PositiveBigIntegerField(
        default=0, help_text="of routing's event last applied"
    )

    def __str__(self) -> str:
        return f"{self.shipment_id} ({self.state})"


class StatusChange(models.Model):
    """One step in an order's life."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="history")
    status = models.CharField(max_length=20, choices=Status)
    at = models.DateTimeField()
    reason = models.CharField(max_length=300, blank=True)
    cause = models.UUIDField(null=True, help_text="the event that led here")

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.status} at {self.at:%Y-%m-%d %H:%M:%S}"
