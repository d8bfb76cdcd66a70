from __future__ import annotations

from django.db import models

#: What the first row has for a previous hash.
GENESIS = "0" * 64


class StoredEvent(models.Model):
    """An event as it was, chained to the one stored before it. Never changed, never deleted:
    database triggers refuse it (migration 0001)."""

    position = models.BigIntegerField(primary_key=True, help_text="1, 2, 3 … without gaps")
    event_id = models.UUIDField(unique=True)
    event_type = models.CharField(max_length=120)
    event_version = models.PositiveSmallIntegerField()
    producer = models.CharField(max_length=40)
    subject = models.CharField(max_length=200)
    sequence = models.PositiveBigIntegerField()
    correlation_id = models.CharField(max_length=128)
    causation_id = models.UUIDField(null=True)
    timestamp = models.DateTimeField()
    recorded_at = models.DateTimeField()
    body = models.TextField(help_text="the envelope's canonical JSON")
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["position"]
        indexes = [
            # Serves a subject's history and, without touching the rows, `audit gaps`.
            models.Index(fields=["subject", "producer", "sequence"], name="stored_subject"),
            models.Index(fields=["correlation_id"], name="stored_journey"),
            models.Index(fields=["event_type", "timestamp"], name="stored_type"),
        ]

    def __str__(self) -> str:
        return f"{self.position} {self.event_type} {self.subject}"


class ChainHead(models.Model):
    """The one row that says where the chain ends; its lock puts writers in a line."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    position = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default=GENESIS)

    def __str__(self) -> str:
        return f"{self.position} {self.hash[:12]}…"
