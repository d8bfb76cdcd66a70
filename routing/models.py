from __future__ import annotations

from contextlib import suppress
from datetime import time
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from supplychain.events.context import new_id
from supplychain.events.models import Aggregate

from .clock import must_be_departures, times_of, written

#: What a vehicle may carry, and how long it may be away.
MAX_KG, MAX_M3, MAX_HOURS = 100_000, 1000, 31 * 24
#: What goods may need of a vehicle; all others need nothing.
SKILLS = ("chilled", "frozen", "hazardous")
#: Photos that prove how a stop ended.
MAX_PHOTOS = 3


def all_skills() -> list[str]:
    return list(SKILLS)


class Depot(models.Model):
    """Routing's own view of a warehouse."""

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=100)
    latitude = models.FloatField()
    longitude = models.FloatField()
    active = models.BooleanField(default=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    cut_off = models.TimeField(
        null=True, blank=True, help_text="local time; what comes later leaves the next day"
    )
    departures = models.CharField(
        max_length=200,
        blank=True,
        validators=[must_be_departures],
        help_text="local times at which vehicles leave, as 08:00, 10:00, 12:00; each departure "
        "is planned by itself. Empty: one plan a day",
    )
    departure_lead = models.PositiveSmallIntegerField(
        default=30,
        validators=[MaxValueValidator(12 * 60)],
        help_text="minutes before a departure at which it is decided what goes",
    )
    longest_wait = models.PositiveSmallIntegerField(
        default=24,
        validators=[MinValueValidator(1), MaxValueValidator(14 * 24)],
        help_text="hours for which a shipment may wait for a departure that suits better",
    )
    sequence = models.PositiveBigIntegerField(default=0, help_text="of the event last applied")
    plan_asked_at = models.DateTimeField(null=True, help_text="when somebody asked for a plan last")

    def __str__(self) -> str:
        return self.code

    def clean(self) -> None:
        """What is wrong with the departures, their field says."""
        with suppress(ValidationError):
            self.departures = written(times_of(self.departures))

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


class Vehicle(models.Model):
    """Makes one tour at a time, from its shift's start to its end at the most.

    Costs, in any one currency: per tour, per km, per hour of the tour.
    """

    depot = models.ForeignKey(Depot, on_delete=models.PROTECT, related_name="vehicles")
    name = models.CharField(max_length=60)
    capacity_kg = models.FloatField(default=1000)
    capacity_m3 = models.FloatField(default=8)
    capacity_items = models.PositiveIntegerField(null=True, blank=True, help_text="units")
    shift_start = models.TimeField(default=time(8), help_text="the depot's local time")
    shift_hours = models.FloatField(default=10)
    fixed_cost = models.FloatField(default=15, help_text="of a tour")
    cost_per_km = models.FloatField(default=0.4)
    cost_per_hour = models.FloatField(default=25)
    skills = models.JSONField(default=all_skills, blank=True, help_text="what it can carry")
    max_stops = models.PositiveIntegerField(null=True, blank=True)
    break_minutes = models.PositiveSmallIntegerField(default=0, help_text="0: no break")
    break_earliest = models.TimeField(null=True, blank=True, help_text="when it may begin, local")
    break_latest = models.TimeField(null=True, blank=True)
    end_depot = models.ForeignKey(
        Depot,
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        help_text="where its tours end; empty: where they begin",
    )
    driver = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        related_name="+",
        null=True,
        blank=True,
        help_text="drives its routes, unless one is given to somebody else",
    )
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
            models.CheckConstraint(
                condition=Q(fixed_cost__gte=0, fixed_cost__lte=1e6)
                & Q(cost_per_km__gte=0, cost_per_km__lte=1e6)
                & Q(cost_per_hour__gte=0, cost_per_hour__lte=1e6),
                name="vehicle_costs",
                violation_error_message="A vehicle's costs are from 0 to 1,000,000.",
            ),
            models.CheckConstraint(
                condition=Q(break_minutes=0)
                | Q(break_earliest__isnull=False, break_latest__isnull=False),
                name="vehicle_break_has_its_time",
                violation_error_message="Say from when to when the break may begin.",
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
    items = models.PositiveIntegerField(default=0, help_text="units")
    goods = models.JSONField(
        default=list,
        db_default=[],
        help_text="SKU and quantity of each; empty: only the units are known",
    )
    priority = models.PositiveSmallIntegerField(default=0, help_text="0 to 9, the highest first")
    skills = models.JSONField(default=list, help_text="what its vehicle must be able to carry")
    requested_from = models.DateTimeField(null=True)
    requested_until = models.DateTimeField(null=True)
    release_at = models.DateTimeField(null=True, help_text="it does not leave before")
    carried_by = models.ForeignKey(
        "Route",
        on_delete=models.PROTECT,
        related_name="carries",
        null=True,
        help_text="whose vehicle still has it, after a delivery that failed",
    )
    missed_at = models.DateTimeField(null=True, help_text="its window was over before any attempt")
    promised_from = models.DateTimeField(null=True)
    promised_until = models.DateTimeField(null=True)
    #: Where in the plan the promise was made: the next run starts from it.
    promised_day = models.DateField(null=True)
    promised_vehicle = models.ForeignKey(
        Vehicle, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    promised_departs_at = models.DateTimeField(null=True, help_text="of a depot with departures")
    promised_eta = models.DateTimeField(null=True, help_text="its place among the planned times")
    told_eta = models.DateTimeField(null=True, help_text="the last one that was told")
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
    """One run of the planner for a depot and the days ahead; at most one is under way."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    depot = models.ForeignKey(Depot, on_delete=models.PROTECT, related_name="runs")
    state = models.CharField(max_length=8, choices=State, default=State.RUNNING)
    trigger = models.CharField(max_length=20, default="by hand", help_text="what started it")
    departs_at = models.DateTimeField(null=True, help_text="the departure that it decided")
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField(help_text="after this its process counts as dead")
    ended_at = models.DateTimeField(null=True)
    shipments = models.PositiveIntegerField(default=0)
    planned = models.PositiveIntegerField(default=0)
    unplanned = models.PositiveIntegerField(default=0)
    moved = models.PositiveIntegerField(default=0, help_text="had stood in another route")
    fell_out = models.PositiveIntegerField(default=0, help_text="had stood in a route")
    cut_short = models.BooleanField(default=False, help_text="out of time: the next run goes on")
    solver_seconds = models.FloatField(default=0)
    error = models.TextField(blank=True)
    died = models.BooleanField(default=False, db_default=False, help_text="with its process")
    in_vain = models.BooleanField(
        default=False, db_default=False, help_text="a plan that no longer held still does not"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["depot"], condition=Q(state="running"), name="one_run_per_depot"
            )
        ]
        indexes = [models.Index(fields=["depot", "-id"], name="plan_run_newest")]

    def __str__(self) -> str:
        return f"{self.depot} {self.started_at:%Y-%m-%d %H:%M:%S} ({self.state})"


class Plan(models.Model):
    """A version of a depot's plan for a day, kept to compare with; the newest is the current one.

    Its routes are what could still be changed when it was made.
    """

    depot = models.ForeignKey(Depot, on_delete=models.PROTECT, related_name="plans")
    day = models.DateField()
    departs_at = models.DateTimeField(null=True, help_text="empty: of the day as a whole")
    version = models.PositiveIntegerField()
    run = models.ForeignKey(PlanRun, on_delete=models.PROTECT, null=True, related_name="plans")
    why = models.CharField(max_length=200, help_text="what made it")
    made_at = models.DateTimeField()
    cost = models.FloatField()
    distance_km = models.FloatField()
    stops = models.PositiveIntegerField()
    #: [{"route", "vehicle", "cost", "distance_km", "stops": [{"shipment", "eta"}]}]
    routes = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["depot", "day", "version"], name="plan_version")
        ]

    def __str__(self) -> str:
        return f"{self.depot} on {self.day}, version {self.version}"


class Route(Aggregate):
    class State(models.TextChoices):
        PLANNED = "planned"
        DISPATCHED = "dispatched"
        COMPLETED = "completed"
        WITHDRAWN = "withdrawn"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    depot = models.ForeignKey(Depot, on_delete=models.PROTECT, related_name="routes")
    run = models.ForeignKey(PlanRun, on_delete=models.PROTECT, related_name="routes")
    vehicle = models.ForeignKey(Vehicle, on_delete=models.PROTECT, related_name="routes")
    driver = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        related_name="+",
        null=True,
        blank=True,
        help_text="empty: the vehicle's",
    )
    day = models.DateField(db_index=True)
    departs_at = models.DateTimeField(
        null=True, help_text="the departure it was planned for; it may start later"
    )
    state = models.CharField(max_length=10, choices=State, default=State.PLANNED, db_index=True)
    frozen = models.BooleanField(default=False, help_text="planning leaves it as it is")
    version = models.PositiveIntegerField(default=1, help_text="of the plan that changed it last")
    planned_at = models.DateTimeField(
        default=timezone.now, help_text="when planning last looked at it"
    )
    cost = models.FloatField(default=0)
    distance_km = models.FloatField()
    load_kg = models.FloatField()
    load_m3 = models.FloatField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    planned_ends_at = models.DateTimeField(null=True, help_text="empty: as it ends")

    class Meta:
        permissions = [
            ("drive_route", "Can drive own routes"),
            ("start_route", "Can leave the depot with own routes"),
        ]
        indexes = [
            models.Index(
                fields=["ends_at"], name="route_on_its_way", condition=Q(state="dispatched")
            )
        ]

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
    planned_eta = models.DateTimeField(null=True, help_text="empty: the ETA is as planned")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    ended_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=300, blank=True)
    proof_name = models.CharField(max_length=120, blank=True, help_text="who took it")
    reference = models.UUIDField(null=True, help_text="of the answer that ended it, if it had one")

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


class ProofPhoto(models.Model):
    """How a stop ended, as the driver saw it; kept for PROOF_DAYS. See ADR 0009."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    stop = models.ForeignKey(Stop, on_delete=models.CASCADE, related_name="photos")
    number = models.PositiveSmallIntegerField()
    image = models.BinaryField(help_text="a JPEG")
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    kept_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["stop", "number"], name="proof_photo_number"),
            models.CheckConstraint(
                condition=Q(number__gte=1, number__lte=MAX_PHOTOS), name="proof_photos_few"
            ),
        ]

    def __str__(self) -> str:
        return f"photo {self.number} of {self.stop}"


class Alert(Aggregate):
    """What a dispatcher must know of, until somebody says that they do."""

    class Kind(models.TextChoices):
        NOT_DISPATCHED = "route not dispatched"
        WINDOW_MISSED = "window missed"
        FELL_OUT = "fell out of the plan"
        UNPLANNABLE = "can't be planned"
        NOT_COMPLETED = "route not completed"
        PLANNING_FAILS = "planning fails"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    depot = models.ForeignKey(Depot, on_delete=models.PROTECT, related_name="alerts")
    kind = models.CharField(max_length=24, choices=Kind)
    subject_id = models.UUIDField(help_text="the route, shipment or depot")
    text = models.CharField(max_length=300)
    at = models.DateTimeField()
    seen_at = models.DateTimeField(null=True)
    seen_by = models.CharField(max_length=150, blank=True)

    class Meta:
        constraints = [
            # What is known is not told again, however often the planner comes across it.
            models.UniqueConstraint(
                fields=["kind", "subject_id"], condition=Q(seen_at=None), name="one_unseen_alert"
            )
        ]

    def __str__(self) -> str:
        return self.text
