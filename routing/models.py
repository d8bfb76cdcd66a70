from __future__ import annotations

from datetime import time

from django.db import models
from django.db.models import Q

from supplychain.events.context import new_id
from supplychain.events.models import Aggregate

#: What a vehicle may carry, and how long it may be away.
MAX_KG, MAX_M3, MAX_HOURS = 100_000, 1000, 31 * 24


class Depot(models.Model):
    """Routing's own view of a warehouse."""

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=100)
    latitude = models.FloatField()
    longitude = models.FloatField()
    active = models.BooleanField(default=True)
    sequence = models.PositiveBigIntegerField(default=0, help_text="of the event last applied")

    def __str__(self) -> str:
        return self.code


class Vehicle(models.Model):
    """Makes one tour at a time, from its shift's start to its end at the most."""

    depot = models.ForeignKey(Depot, on_delete=models.PROTECT, related_name="vehicles")
    name = models.CharField(max_length=60)
    capacity_kg = models.FloatField(default=1000)
    capacity_m3 = models.FloatField(default=8)
    shift_start = models.TimeField(default=time(8), help_text="UTC")
    shift_hours = models.FloatField(default=10)
    active = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["depot", "name"], name="vehicle_name"),
            models.CheckConstraint(
                condition=Q(capacity_kg__gt=0, capacity_kg__lte=MAX_KG)
                & Q(capacity_m3__gt=0, capacity_m3__lte=MAX_M3)
                & Q(shift_hours__gt=0, shift_hours__lte=MAX_HOURS),
                name="vehicle_has_room_and_time",
                violation_error_message="A vehicle carries up to 100,000 kg and 1,000 m³, all "
                "above 0, in a shift of at most 31 days.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.depot} {self.name}"


class Shipment(Aggregate):
    """What one depot hands over to one customer."""

    class State(models.TextChoices):
        OPEN = "open"
        PLANNED = "planned"
        DISPATCHED = "dispatched"
        DELIVERED = "delivered"
        RETURNED = "returned"
        CANCELLED = "cancelled"

    shipment_id = models.UUIDField(primary_key=True)
    order_id = models.UUIDField(db_index=True)
    depot = models.ForeignKey(Depot, on_delete=models.PROTECT, related_name="shipments")
    state = models.CharField(max_length=12, choices=State, default=State.OPEN)
    recalled = models.BooleanField(
        default=False, help_text="cancelled after it had left: it must come back"
    )
    customer = models.CharField(max_length=120)
    address = models.CharField(max_length=250)
    latitude = models.FloatField()
    longitude = models.FloatField()
    weight_kg = models.FloatField()
    volume_m3 = models.FloatField()
    requested_from = models.DateTimeField(null=True)
    requested_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="failed deliveries so far")
    unplannable_reason = models.CharField(max_length=300, blank=True)
    correlation_id = models.CharField(max_length=128)
    ready_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(
                fields=["depot", "ready_at"], name="shipment_open", condition=Q(state="open")
            )
        ]

    def __str__(self) -> str:
        return f"{self.shipment_id} ({self.state})"


class OrderStanding(models.Model):
    """Whether an order still stands. Its lock puts a shipment's registration and its order's
    cancellation in a line: whichever comes second sees the first."""

    order_id = models.UUIDField(primary_key=True)
    cancelled = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.order_id} {'cancelled' if self.cancelled else 'stands'}"


class CutAnswer(models.Model):
    """What was answered to who asked for a shipment to leave without a part of it."""

    cut_id = models.UUIDField(primary_key=True)
    shipment = models.ForeignKey(Shipment, on_delete=models.CASCADE, related_name="cuts")
    granted = models.BooleanField()
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.cut_id} {'granted' if self.granted else 'refused'}"


class PlanRun(models.Model):
    """One run of the planner for a depot; at most one is under way."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    depot = models.ForeignKey(Depot, on_delete=models.PROTECT, related_name="runs")
    state = models.CharField(max_length=8, choices=State, default=State.RUNNING)
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField(help_text="after this its process counts as dead")
    ended_at = models.DateTimeField(null=True)
    shipments = models.PositiveIntegerField(default=0)
    planned = models.PositiveIntegerField(default=0)
    unplanned = models.PositiveIntegerField(default=0)
    cut_short = models.BooleanField(default=False, help_text="out of time: the next run goes on")
    solver_seconds = models.FloatField(default=0)
    error = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["depot"], condition=Q(state="running"), name="one_run_per_depot"
            )
        ]
        indexes = [models.Index(fields=["depot", "-id"], name="plan_run_newest")]

    def __str__(self) -> str:
        return f"{self.depot} {self.started_at:%Y-%m-%d %H:%M:%S} ({self.state})"


class Route(Aggregate):
    class State(models.TextChoices):
        PLANNED = "planned"
        DISPATCHED = "dispatched"
        COMPLETED = "completed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    depot = models.ForeignKey(Depot, on_delete=models.PROTECT, related_name="routes")
    run = models.ForeignKey(PlanRun, on_delete=models.PROTECT, related_name="routes")
    vehicle = models.ForeignKey(Vehicle, on_delete=models.PROTECT, related_name="routes")
    day = models.DateField(db_index=True)
    state = models.CharField(max_length=10, choices=State, default=State.PLANNED, db_index=True)
    distance_km = models.FloatField()
    load_kg = models.FloatField()
    load_m3 = models.FloatField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.vehicle} on {self.day}"


class Stop(models.Model):
    class State(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        FAILED = "failed"
        DROPPED = "dropped"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    route = models.ForeignKey(Route, on_delete=models.PROTECT, related_name="stops")
    shipment = models.ForeignKey(Shipment, on_delete=models.PROTECT, related_name="stops")
    position = models.PositiveIntegerField()
    eta = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    ended_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["route", "position"], name="stop_position"),
            models.UniqueConstraint(
                fields=["shipment"], condition=Q(state="pending"), name="one_pending_stop"
            ),
        ]

    def __str__(self) -> str:
        return f"stop {self.position} of {self.route}"
