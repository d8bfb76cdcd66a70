from __future__ import annotations

import base64
import secrets

from django.core.validators import URLValidator
from django.db import models

from supplychain.events.context import new_id


def new_secret() -> str:
    """A Standard Webhooks secret: 24 random bytes, base64, with its prefix."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


class Recipient(models.Model):
    """Whom to tell about an order; from OrderPlaced."""

    order_id = models.UUIDField(primary_key=True)
    channel = models.CharField(max_length=40)
    external_id = models.CharField(max_length=80)
    name = models.CharField(max_length=120)
    email = models.EmailField()

    def __str__(self) -> str:
        return f"{self.external_id} ({self.channel})"


class WebhookEndpoint(models.Model):
    """Where a channel wants to hear of its orders."""

    channel = models.CharField(max_length=40, db_index=True, help_text="the channel's code")
    url = models.URLField(max_length=500, validators=[URLValidator(schemes=["http", "https"])])
    secret = models.CharField(max_length=120, default=new_secret)
    active = models.BooleanField(default=True)
    consecutive_failures = models.PositiveIntegerField(default=0, editable=False)
    paused_until = models.DateTimeField(null=True, blank=True, editable=False)
    note = models.CharField(max_length=200, blank=True, editable=False)

    def __str__(self) -> str:
        return f"{self.channel} → {self.url}"


class Notification(models.Model):
    """One message to one receiver; its id never changes, so a receiver can drop repeats."""

    class Kind(models.TextChoices):
        EMAIL = "email"
        WEBHOOK = "webhook"

    class State(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=8, choices=Kind)
    endpoint = models.ForeignKey(WebhookEndpoint, null=True, on_delete=models.PROTECT)
    order_id = models.UUIDField(db_index=True)
    event_id = models.UUIDField()
    event_type = models.CharField(max_length=120)
    payload = models.TextField(help_text="the event's envelope, JSON")
    state = models.CharField(max_length=8, choices=State, default=State.PENDING)
    attempts_made = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["event_id", "kind", "endpoint"],
                name="notification_once",
                nulls_distinct=False,
            )
        ]
        indexes = [
            models.Index(
                fields=["due_at"], name="notification_due", condition=models.Q(state="pending")
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} on {self.event_type}"


class DeliveryAttempt(models.Model):
    """One try to deliver a notification, as it went."""

    notification = models.ForeignKey(
        Notification, on_delete=models.CASCADE, related_name="attempts"
    )
    number = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    ok = models.BooleanField()
    status_code = models.PositiveSmallIntegerField(null=True)
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"attempt {self.number}: {'delivered' if self.ok else self.error}"
