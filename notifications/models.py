from __future__ import annotations

import base64
import binascii
import secrets

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.db import models
from django.db.models import Q

from supplychain.events.context import new_id

#: After this many failed attempts a notification is given up.
ATTEMPTS = 8


def new_secret() -> str:
    """A Standard Webhooks secret: 24 random bytes, base64, with its prefix."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def secret_key(secret: str) -> bytes:
    """The key's bytes; raises ValidationError."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ValidationError("Must be whsec_ and 24 to 64 bytes in base64.")
    return key


def check_secret(secret: str) -> None:
    """Validator of forms and models."""
    secret_key(secret)


class Recipient(models.Model):
    """Whom to tell about an order; from OrderPlaced."""

    order_id = models.UUIDField(primary_key=True)
    channel = models.CharField(max_length=40)
    external_id = models.CharField(max_length=80, db_index=True)
    name = models.CharField(max_length=120)
    email = models.EmailField(db_index=True)

    def __str__(self) -> str:
        return f"{self.external_id} ({self.channel})"


class StaffContact(models.Model):
    """Who of the staff is told what needs a person's eye, and of which warehouse."""

    name = models.CharField(max_length=120)
    email = models.EmailField()
    warehouse = models.CharField(
        max_length=40, blank=True, help_text="the warehouse's (depot's) code; empty: all of them"
    )
    active = models.BooleanField(default=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["email", "warehouse"], name="contact_once")]

    def __str__(self) -> str:
        return f"{self.name} ({self.warehouse or 'all warehouses'})"


class WebhookEndpoint(models.Model):
    """Where a channel wants to hear of its orders."""

    channel = models.CharField(max_length=40, db_index=True, help_text="the channel's code")
    url = models.CharField(max_length=500, validators=[URLValidator(schemes=["http", "https"])])
    secret = models.CharField(max_length=120, default=new_secret, validators=[check_secret])
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
        STAFF = "staff"

    class State(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=8, choices=Kind)
    endpoint = models.ForeignKey(
        WebhookEndpoint, null=True, on_delete=models.PROTECT, db_index=False
    )
    to = models.EmailField(blank=True, help_text="of the staff; empty: the order's recipient")
    order_id = models.UUIDField(null=True, db_index=True)
    event_id = models.UUIDField(help_text="for staff, who get several in one: of the first")
    event_type = models.CharField(max_length=120)
    payload = models.TextField(help_text="the event's envelope, JSON; for staff subject and text")
    state = models.CharField(max_length=8, choices=State, default=State.PENDING)
    attempts_made = models.PositiveSmallIntegerField(default=0)
    attempts_allowed = models.PositiveSmallIntegerField(default=ATTEMPTS)
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField()
    claimed_until = models.DateTimeField(
        null=True, help_text="a sender has it; run out, the sender died"
    )

    class Meta:
        constraints = [
            # Several, because a null endpoint is never equal to another in SQLite.
            models.UniqueConstraint(
                fields=["event_id"], name="email_once", condition=Q(endpoint=None, to="")
            ),
            models.UniqueConstraint(
                fields=["event_id", "to"], name="staff_alert_once", condition=~Q(to="")
            ),
            models.UniqueConstraint(
                fields=["event_id", "endpoint"],
                name="webhook_once",
                condition=Q(endpoint__isnull=False),
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="notification_due", condition=Q(state="pending")),
            models.Index(
                fields=["endpoint"],
                name="notification_waiting",
                condition=Q(state="pending", endpoint__isnull=False),
            ),
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

    class Meta:
        ordering = ["notification", "number"]
        constraints = [
            models.UniqueConstraint(fields=["notification", "number"], name="attempt_once")
        ]

    def __str__(self) -> str:
        return f"attempt {self.number}: {'delivered' if self.ok else self.error}"
