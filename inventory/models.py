from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from supplychain.events.context import new_id
from supplychain.events.models import Aggregate


class Warehouse(Aggregate):
    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=100)
    latitude = models.FloatField(
        help_text="degrees, WGS 84", validators=[MinValueValidator(-90), MaxValueValidator(90)]
    )
    longitude = models.FloatField(
        help_text="degrees, WGS 84", validators=[MinValueValidator(-180), MaxValueValidator(180)]
    )
    active = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(latitude__range=(-90, 90), longitude__range=(-180, 180)),
                name="warehouse_on_earth",
            )
        ]

    def __str__(self) -> str:
        return self.code


class Product(Aggregate):
    sku = models.CharField("SKU", max_length=64, unique=True)
    name = models.CharField(max_length=200)
    weight_kg = models.DecimalField(
        "weight (kg)", max_digits=10, decimal_places=3, validators=[MinValueValidator(0)]
    )
    volume_m3 = models.DecimalField(
        "volume (m³)", max_digits=10, decimal_places=6, validators=[MinValueValidator(0)]
    )
    active = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(weight_kg__gte=0, volume_m3__gte=0), name="product_measures"
            )
        ]

    def __str__(self) -> str:
        return self.sku


class StockLevel(Aggregate):
    """Stock of one product in one warehouse. ``on_hand`` is always the ledger's sum and
    ``reserved`` always the sum of held reservations."""

    warehouse = models.ForeignKey(Warehouse, on_delete=models.PROTECT, related_name="levels")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="levels")
    on_hand = models.BigIntegerField(default=0)
    reserved = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["warehouse", "product"], name="level_once"),
            models.CheckConstraint(condition=Q(on_hand__gte=0), name="on_hand_not_negative"),
            models.CheckConstraint(condition=Q(reserved__gte=0), name="reserved_not_negative"),
            models.CheckConstraint(
                condition=Q(reserved__lte=F("on_hand")), name="nothing_sold_twice"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.product} in {self.warehouse}"

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved


class StockMovement(models.Model):
    """A line of the ledger; never changed, never deleted."""

    class Reason(models.TextChoices):
        RECEIPT = "receipt"
        ADJUSTMENT = "adjustment"
        DISPATCH = "dispatch"
        RETURN = "return"

    id = models.BigAutoField(primary_key=True)
    level = models.ForeignKey(StockLevel, on_delete=models.PROTECT, related_name="movements")
    delta = models.BigIntegerField()
    reason = models.CharField(max_length=12, choices=Reason)
    reference = models.CharField(max_length=120, blank=True)
    actor = models.CharField(max_length=150, blank=True)
    correlation_id = models.CharField(max_length=128, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["level", "reason", "reference"],
                condition=~Q(reference=""),
                name="movement_once_per_reference",
            ),
            models.CheckConstraint(condition=~Q(delta=0), name="movement_moves"),
        ]

    def __str__(self) -> str:
        return f"{self.delta:+d} {self.level} ({self.reason})"


class Allocation(Aggregate):
    """Inventory's own record of an order's demand, with what a shipment of it needs to know.

    A row in state CANCELLED may come before its order does: then nothing is ever reserved.
    """

    class State(models.TextChoices):
        OPEN = "open"
        CANCELLED = "cancelled"
        REJECTED = "rejected"

    order_id = models.UUIDField(primary_key=True)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    destination = models.JSONField(default=dict)
    requested_from = models.DateTimeField(null=True)
    requested_until = models.DateTimeField(null=True)
    placed_at = models.DateTimeField(null=True, db_index=True)
    correlation_id = models.CharField(max_length=128)

    def __str__(self) -> str:
        return f"order {self.order_id}"


class Reservation(models.Model):
    """Units of one stock level that one shipment will take."""

    class State(models.TextChoices):
        HELD = "held"
        COMMITTED = "committed"
        RELEASED = "released"
        RETURNED = "returned"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    shipment_id = models.UUIDField(db_index=True)
    allocation = models.ForeignKey(
        Allocation, on_delete=models.PROTECT, related_name="reservations"
    )
    level = models.ForeignKey(StockLevel, on_delete=models.PROTECT, related_name="reservations")
    quantity = models.PositiveBigIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.HELD)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(quantity__gt=0), name="reservation_has_units")
        ]
        indexes = [
            models.Index(fields=["level"], name="reservation_held", condition=Q(state="held"))
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.level} ({self.state})"


class Backorder(models.Model):
    """Units of an order that wait for stock; first come, first served."""

    id = models.BigAutoField(primary_key=True)
    allocation = models.ForeignKey(Allocation, on_delete=models.PROTECT, related_name="backorders")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="backorders")
    quantity = models.PositiveBigIntegerField()
    placed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["allocation", "product"], name="backorder_once"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="backorder_has_units"),
        ]
        indexes = [models.Index(fields=["product", "placed_at"], name="backorder_queue")]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product} for {self.allocation}"
