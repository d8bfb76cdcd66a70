"""Promise: what must survive a crash of the event machinery is a row here."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Aggregate(models.Model):
    """Base of rows that events happen to: numbers its events 1, 2, 3 … without gaps."""

    event_sequence = models.PositiveBigIntegerField(default=0, editable=False)

    class Meta:
        abstract = True

    def advance(self) -> int:
        """The next number, for a service that holds the row's lock and writes the row itself
        (with ``event_sequence`` among the fields it saves)."""
        self.event_sequence += 1
        return self.event_sequence


class OutboxEvent(models.Model):
    """An event waiting to be published, or published and kept for the retention time."""

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField(unique=True)
    event_type = models.CharField(max_length=120)
    producer = models.CharField(max_length=40)
    subject = models.CharField(max_length=200)
    envelope = models.TextField(help_text="canonical JSON")
    created_at = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True, help_text="held back after a failed publish")
    parked_at = models.DateTimeField(null=True, help_text="given up on; see the dead letters")
    last_error = models.TextField(blank=True, default="")

    class Meta:
        verbose_name = "outbox event"
        indexes = [
            # Partial, so that they stay as small as what waits, however long the past is.
            models.Index(
                fields=["id"],
                name="outbox_pending",
                condition=Q(published_at=None, parked_at=None),
            ),
            models.Index(
                fields=["subject", "id"],
                name="outbox_pending_subject",
                condition=Q(published_at=None, parked_at=None),
            ),
            models.Index(
                fields=["published_at"],
                name="outbox_published",
                condition=Q(published_at__isnull=False),
            ),
            models.Index(
                fields=["id"],
                name="outbox_parked",
                condition=Q(parked_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"


class InboxEntry(models.Model):
    """This consumer has handled this event: the other half of exactly-once effects."""

    id = models.BigAutoField(primary_key=True)
    consumer = models.CharField(max_length=100)
    event_id = models.UUIDField()
    handled_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name_plural = "inbox entries"
        constraints = [
            models.UniqueConstraint(fields=["consumer", "event_id"], name="inbox_once"),
        ]

    def __str__(self) -> str:
        return f"{self.consumer} {self.event_id}"


class SuspectDelivery(models.Model):
    """A redelivered message was started and has not ended: its handler may kill workers.

    Counted here and not only by the broker, because a worker's death counts against every
    message that it had prefetched, the innocent with the guilty.
    """

    id = models.BigAutoField(primary_key=True)
    consumer = models.CharField(max_length=100)
    event_id = models.UUIDField()
    starts = models.PositiveSmallIntegerField(default=1)
    last_started_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "suspect deliveries"
        constraints = [
            models.UniqueConstraint(fields=["consumer", "event_id"], name="suspect_once"),
        ]

    def __str__(self) -> str:
        return f"{self.consumer} {self.event_id} started {self.starts}×"


class DeadLetter(models.Model):
    """A message that one consumer could not handle, kept until somebody decides on it."""

    class State(models.TextChoices):
        OPEN = "open"
        #: Asked for; the dead-letter process sends it as soon as the broker takes it.
        REDRIVING = "redriving"
        REDRIVEN = "redriven"
        DISCARDED = "discarded"

    id = models.BigAutoField(primary_key=True)
    #: One row per (queue, consumer, event): a second failure updates the first one's row.
    fingerprint = models.CharField(max_length=64, unique=True)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN, db_index=True)
    queue = models.CharField(max_length=100)
    consumer = models.CharField(max_length=100, blank=True)
    event_id = models.UUIDField(null=True, db_index=True)
    event_type = models.CharField(max_length=120, blank=True)
    subject = models.CharField(max_length=200, blank=True)
    correlation_id = models.CharField(max_length=128, blank=True)
    reason = models.CharField(max_length=40)
    exception = models.CharField(max_length=200, blank=True)
    message = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    attempts = models.PositiveIntegerField(default=0)
    body = models.BinaryField(help_text="exactly as received")
    headers = models.JSONField(default=dict)
    content_type = models.CharField(max_length=100, blank=True)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    times_seen = models.PositiveIntegerField(default=1)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(max_length=150, blank=True)
    note = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-last_seen_at"]
        indexes = [models.Index(fields=["state", "queue", "exception"], name="dead_letter_group")]

    def __str__(self) -> str:
        return f"{self.event_type or 'unreadable message'} at {self.consumer or self.queue}"
