from __future__ import annotations

from datetime import UTC, datetime

from django.db import models


def whole_hour(moment: datetime) -> datetime:
    """The beginning of its hour, UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


class OrderFact(models.Model):
    """What the events have told of one order; any field may come before any other."""

    order_id = models.UUIDField(primary_key=True)
    channel = models.CharField(max_length=40, blank=True)
    status = models.CharField(max_length=20, blank=True, db_index=True)
    status_sequence = models.PositiveBigIntegerField(default=0)
    quantity = models.PositiveBigIntegerField(null=True)
    first_reserved = models.PositiveBigIntegerField(
        null=True, help_text="units that the first allocation reserved"
    )
    placed_at = models.DateTimeField(null=True, db_index=True)
    allocated_at = models.DateTimeField(null=True)
    reserved_at = models.DateTimeField(null=True)
    promised_at = models.DateTimeField(null=True)
    promised_until = models.DateTimeField(null=True, help_text="the end of its last window")
    broken_at = models.DateTimeField(null=True, help_text="when a time that was told first fell")
    planned_at = models.DateTimeField(null=True)
    dispatched_at = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["channel", "placed_at"], name="fact_channel")]

    def __str__(self) -> str:
        return f"{self.order_id} {self.status}"


class ShipmentFact(models.Model):
    """Of one shipment: the window that was promised last, and when it was handed over."""

    shipment_id = models.UUIDField(primary_key=True)
    #: Its row may come after this one.
    order = models.ForeignKey(
        OrderFact, on_delete=models.DO_NOTHING, db_constraint=False, related_name="shipments"
    )
    window_sequence = models.PositiveBigIntegerField(default=0)
    window_from = models.DateTimeField(null=True)
    window_until = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.shipment_id} {self.came}".rstrip()

    @property
    def came(self) -> str:
        """early, in time or late; "" while that is open, or of one that nothing was promised."""
        if not (self.window_from and self.window_until and self.delivered_at):
            return ""
        if self.delivered_at < self.window_from:
            return "early"
        return "late" if self.delivered_at > self.window_until else "in time"


class EventCount(models.Model):
    """How many events of a type there were in an hour (UTC)."""

    event_type = models.CharField(max_length=120)
    hour = models.DateTimeField()
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["event_type", "hour"], name="event_count_once")
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.hour:%Y-%m-%d %H}h: {self.count}"
