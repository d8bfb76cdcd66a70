"""What is done and old goes, in small steps; what is not done stays, however old."""

import os
import threading
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conftest import eventually
from supplychain.events import relay as relays
from supplychain.events.amqp_wire import AmqpWire
from supplychain.events.context import new_id
from supplychain.events.models import InboxEntry, OutboxEvent
from supplychain.events.relay import Relay, trim

pytestmark = pytest.mark.django_db(transaction=True)
MINUTE = timedelta(minutes=1)


def ago(retention, *, past):
    """A moment just past a retention time, or just within it."""
    return timezone.now() - retention + (-MINUTE if past else MINUTE)


def outbox(count=1, **fields):
    rows = [
        OutboxEvent(event_id=new_id(), event_type="lab.tried", producer="lab", subject="thing/a")
        for _ in range(count)
    ]
    made = OutboxEvent.objects.bulk_create(rows)
    keys = [row.pk for row in made]
    OutboxEvent.objects.filter(pk__in=keys).update(**fields)
    return keys


def inbox(handled_at, count=1):
    rows = [
        InboxEntry(consumer="lab.try_it", event_id=new_id(), handled_at=handled_at)
        for _ in range(count)
    ]
    return [row.pk for row in InboxEntry.objects.bulk_create(rows)]


def kept(model):
    return sorted(model.objects.values_list("pk", flat=True))


def test_published_events_go_when_they_are_older_than_their_retention():
    outbox(published_at=ago(settings.OUTBOX_RETENTION, past=True))
    young = outbox(published_at=ago(settings.OUTBOX_RETENTION, past=False))
    assert trim() == 1
    assert kept(OutboxEvent) == young


def test_what_was_never_published_stays_for_ever():
    """Pending, held back after a failure, or parked: somebody still has to do something."""
    long_ago = timezone.now() - timedelta(days=9999)
    waiting = outbox(created_at=long_ago)
    waiting += outbox(created_at=long_ago, not_before=long_ago, attempts=3)
    waiting += outbox(created_at=long_ago, parked_at=long_ago)
    assert trim() == 0
    assert kept(OutboxEvent) == waiting


def test_inbox_entries_have_a_longer_memory_of_their_own():
    inbox(ago(settings.INBOX_RETENTION, past=True))
    young = inbox(ago(settings.INBOX_RETENTION, past=False))
    young += inbox(ago(settings.OUTBOX_RETENTION, past=True))
    assert trim() == 1
    assert kept(InboxEntry) == young
    assert settings.INBOX_RETENTION > settings.OUTBOX_RETENTION


def test_it_goes_in_small_transactions(monkeypatch):
    monkeypatch.setattr(relays, "TRIM_BATCH", 10)
    outbox(35, published_at=ago(settings.OUTBOX_RETENTION, past=True))
    inbox(ago(settings.INBOX_RETENTION, past=True), 20)
    with CaptureQueriesContext(connection) as queries:
        assert trim() == 55
    deletes = [q["sql"] for q in queries if q["sql"].startswith("DELETE")]
    assert len(deletes) == 4 + 2
    assert kept(OutboxEvent) == kept(InboxEntry) == []
    assert trim() == 0


def test_relays_may_trim_at_once(monkeypatch):
    """Each row goes once, and nobody waits for anybody in a circle."""
    monkeypatch.setattr(relays, "TRIM_BATCH", 20)
    outbox(600, published_at=ago(settings.OUTBOX_RETENTION, past=True))
    start, gone = threading.Barrier(4), []

    def work():
        start.wait()
        gone.append(trim())
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(gone), sum(gone)) == (4, 600)
    assert kept(OutboxEvent) == []


def test_a_relay_trims_when_it_has_nothing_else_to_do():
    old = outbox(published_at=ago(settings.OUTBOX_RETENTION, past=True))
    relay = Relay(AmqpWire(os.environ["CELERY_BROKER_URL"]))
    thread = threading.Thread(target=relay.run)
    thread.start()
    try:
        eventually(lambda: not OutboxEvent.objects.filter(pk__in=old).exists())
    finally:
        relay.stop()
        thread.join(10)
    assert not thread.is_alive()
