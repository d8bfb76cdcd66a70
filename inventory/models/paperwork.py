"""Promise: what is on its way in, on its way between warehouses, to be counted or being imported
is on record, with who asked for it and how far it has come."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from supplychain.events.context import new_id
from supplychain.events.models import Aggregate

from .places import Product, Warehouse
from .stock import StockLevel


class Receipt(Aggregate):
    """Goods that a supplier has announced; ``expected_on`` is the warehouse's local day."""

    class State(models.TextChoices):
        EXPECTED = "expected"
        RECEIVED = "received"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    warehouse = models.ForeignKey(Warehouse, on_delete=models.PROTECT, related_name="receipts")
    reference = models.CharField(max_length=100, help_text="purchase order or advice note")
    supplier = models.CharField(max_length=120, blank=True)
    expected_on = models.DateField()
    state = models.CharField(max_length=10, choices=State, default=State.EXPECTED)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["warehouse", "reference"], name="receipt_once"),
        ]
        indexes = [
            models.Index(
                fields=["expected_on"], name="receipt_expected", condition=Q(state="expected")
            )
        ]

    def __str__(self) -> str:
        return f"{self.reference} for {self.warehouse}"


class ReceiptLine(models.Model):
    receipt = models.ForeignKey(Receipt, on_delete=models.PROTECT, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="inbound")
    quantity = models.PositiveBigIntegerField(help_text="units announced")
    received = models.PositiveBigIntegerField(default=0, help_text="units booked in so far")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["receipt", "product"], name="receipt_line_once"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="receipt_line_has_units"),
        ]
        indexes = [
            models.Index(
                fields=["product"],
                name="receipt_line_due",
                condition=Q(received__lt=F("quantity")),
            )
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product} ({self.received} received)"


class Transfer(Aggregate):
    """Stock that moves from one warehouse to another; on the way it is the target's in transit."""

    class State(models.TextChoices):
        PROPOSED = "proposed"
        IN_TRANSIT = "in_transit"
        RECEIVED = "received"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.ForeignKey(Warehouse, on_delete=models.PROTECT, related_name="transfers_out")
    target = models.ForeignKey(Warehouse, on_delete=models.PROTECT, related_name="transfers_in")
    state = models.CharField(max_length=10, choices=State, default=State.PROPOSED)
    reason = models.CharField(max_length=200, blank=True)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    shipped_at = models.DateTimeField(null=True, editable=False)
    expected_on = models.DateField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(source=F("target")), name="transfer_goes_somewhere")
        ]
        indexes = [
            models.Index(
                fields=["target"],
                name="transfer_open",
                condition=Q(state__in=["proposed", "in_transit"]),
            )
        ]

    def __str__(self) -> str:
        return f"{self.source} → {self.target} ({self.state})"


class TransferLine(models.Model):
    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="transfer_lines")
    quantity = models.PositiveBigIntegerField()
    received = models.PositiveBigIntegerField(default=0, help_text="the rest was lost on the way")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["transfer", "product"], name="transfer_line_once"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="transfer_line_has_units"),
            models.CheckConstraint(
                condition=Q(received__lte=F("quantity")), name="no_more_received_than_shipped"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product}"


class CycleCount(Aggregate):
    """Some of a warehouse's stock levels, to be counted until ``due_on`` (local day)."""

    class State(models.TextChoices):
        OPEN = "open"
        CLOSED = "closed"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    warehouse = models.ForeignKey(Warehouse, on_delete=models.PROTECT, related_name="counts")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    due_on = models.DateField()
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["due_on"], name="count_open", condition=Q(state="open")),
        ]

    def __str__(self) -> str:
        return f"count in {self.warehouse} due {self.due_on}"


class CountLine(models.Model):
    """One level of a count; ``expected`` is what was on hand by the books when it was counted."""

    count = models.ForeignKey(CycleCount, on_delete=models.PROTECT, related_name="lines")
    level = models.ForeignKey(StockLevel, on_delete=models.PROTECT, related_name="count_lines")
    expected = models.BigIntegerField(null=True)
    counted = models.PositiveBigIntegerField(null=True)
    counted_by = models.CharField(max_length=150, blank=True)
    counted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["count", "level"], name="count_line_once"),
        ]

    def __str__(self) -> str:
        return f"{self.level} in {self.count}"


class StockImport(models.Model):
    """A file of stock levels on its way into the books; what is done is never done again."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        REFUSED = "refused"

    reference = models.CharField(max_length=100, unique=True)
    digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the file")
    state = models.CharField(max_length=8, choices=State, default=State.RUNNING)
    rows_done = models.PositiveIntegerField(default=0, help_text="rows of the file behind us")
    rows_changed = models.PositiveIntegerField(default=0)
    rows_wrong = models.PositiveIntegerField(default=0)
    started_by = models.CharField(max_length=150)
    started_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)
    refusal = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"{self.reference} ({self.state})"


class StockImportError(models.Model):
    """A row that was not taken, and why; ``row`` counts the file's lines from 1."""

    of = models.ForeignKey(StockImport, on_delete=models.CASCADE, related_name="errors")
    row = models.PositiveIntegerField()
    reason = models.CharField(max_length=300)

    class Meta:
        ordering = ["row"]
        constraints = [
            models.UniqueConstraint(fields=["of", "row"], name="import_error_once"),
        ]

    def __str__(self) -> str:
        return f"row {self.row}: {self.reason}"
