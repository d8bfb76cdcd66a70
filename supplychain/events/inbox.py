"""Promise: a consumer's effects happen once per event, however often it is delivered."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import connection
from django.utils import timezone

from .models import InboxEntry, SuspectDelivery


def claim(consumer: str, event_ids: Iterable[UUID]) -> set[UUID]:
    """Write the inbox rows in the caller's transaction; gives the ids that are new.

    A second worker with the same event waits here for the first one's commit. Sorted, so
    that two batches that share events can't deadlock. (ON CONFLICT … RETURNING is spoken by
    PostgreSQL and SQLite alike, but not by Django's bulk_create.)
    """
    ids = sorted(set(event_ids))
    if not ids:
        return set()
    table = connection.ops.quote_name(InboxEntry._meta.db_table)
    field = InboxEntry._meta.get_field("event_id")
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    rows = ", ".join(["(%s, %s, %s)"] * len(ids))
    values = [v for i in ids for v in (consumer, field.get_db_prep_value(i, connection), now)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (consumer, event_id, handled_at) VALUES {rows} "  # noqa: S608
            "ON CONFLICT (consumer, event_id) DO NOTHING RETURNING event_id",
            values,
        )
        return {UUID(str(row[0])) for row in cursor.fetchall()}


def start_suspect(consumer: str, event_id: UUID) -> int:
    """Count the start of a redelivered message, outside of any transaction; gives the count."""
    table = connection.ops.quote_name(SuspectDelivery._meta.db_table)
    field = SuspectDelivery._meta.get_field("event_id")
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} AS s (consumer, event_id, starts, last_started_at) "  # noqa: S608
            "VALUES (%s, %s, 1, %s) ON CONFLICT (consumer, event_id) "
            "DO UPDATE SET starts = s.starts + 1, last_started_at = excluded.last_started_at "
            "RETURNING starts",
            [consumer, field.get_db_prep_value(event_id, connection), now],
        )
        return int(cursor.fetchone()[0])


def clear_suspect(consumer: str, event_id: UUID) -> None:
    SuspectDelivery.objects.filter(consumer=consumer, event_id=event_id).delete()
