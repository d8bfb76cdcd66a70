"""The relay on a real PostgreSQL and RabbitMQ."""

import json
import threading
import time
from collections import defaultdict
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection, connections, transaction
from django.utils import timezone
from kombu import Exchange, Queue

from conftest import eventually
from supplychain.events import relay as relays
from supplychain.events import wakeup
from supplychain.events.amqp_wire import AmqpWire
from supplychain.events.consumers import queue_names
from supplychain.events.deadletters import redrive
from supplychain.events.models import DeadLetter, InboxEntry, OutboxEvent
from supplychain.events.relay import Relay, claim, trim
from supplychain.events.wire import Outgoing
from tests.lab.act import try_things

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def wire():
    opened = AmqpWire(settings.CELERY_BROKER_URL)
    yield opened
    opened.close()


def arrived(broker, queue="lab_other"):
    """All envelopes in a queue, in order."""
    found = []
    with broker.channel() as channel:
        while message := channel.basic_get(queue, no_ack=True):
            found.append(json.loads(message.body)[0][0])
    return found


def pending():
    return OutboxEvent.objects.filter(published_at=None).count()


def drain(relay):
    while relay.step():
        pass


def test_every_committed_event_arrives_once_and_in_order(broker, wire):
    for first in range(0, 300, 50):
        try_things({n: "ok" for n in range(first, first + 50)}, thing=f"t{first % 3}")
    drain(Relay(wire, batch=70))
    assert pending() == 0
    by_thing = defaultdict(list)
    for envelope in arrived(broker):
        by_thing[envelope["subject"]].append(envelope["sequence"])
    assert sum(map(len, by_thing.values())) == 300
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_thing.values())


def test_relays_side_by_side_share_the_work_without_double_or_disorder(broker):
    for round_ in range(20):
        for thing in range(10):
            try_things({round_: "ok"}, thing=f"t{thing}")

    def run_one():
        own = AmqpWire(settings.CELERY_BROKER_URL)
        relay = Relay(own, batch=7)
        while pending():
            relay.step()
        published.append(relay.published)
        own.close()
        connections.close_all()

    published: list[int] = []
    threads = [threading.Thread(target=run_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    envelopes = arrived(broker)
    assert sum(published) == len(envelopes) == 200
    by_thing = defaultdict(list)
    for envelope in envelopes:
        by_thing[envelope["subject"]].append(envelope["sequence"])
    assert all(numbers == list(range(1, 21)) for numbers in by_thing.values())


def test_a_row_waits_for_its_predecessor_that_another_relay_holds():
    try_things({1: "ok"}, thing="a")
    try_things({1: "ok"}, thing="b")
    first = OutboxEvent.objects.earliest("pk")
    try_things({2: "ok"}, thing="a")
    held, release = threading.Event(), threading.Event()

    def hold_first():
        with transaction.atomic():
            OutboxEvent.objects.select_for_update().get(pk=first.pk)
            held.set()
            release.wait(20)
        connections.close_all()

    other = threading.Thread(target=hold_first)
    other.start()
    held.wait(20)
    with transaction.atomic():
        assert [row.subject for row in claim(10)] == ["thing/b"]
    release.set()
    other.join()
    with transaction.atomic():
        assert [row.subject for row in claim(10)] == ["thing/a", "thing/b", "thing/a"]


def test_a_poison_row_does_not_block_others_but_its_own_aggregate(broker, wire):
    try_things({1: "ok"}, thing="bad")
    poison = OutboxEvent.objects.get()
    OutboxEvent.objects.update(event_type="€" * 100)  # 300 bytes: no AMQP routing key
    try_things({1: "ok", 2: "ok"}, thing="good")
    try_things({2: "ok"}, thing="bad")
    relay = Relay(wire)
    relay.step()
    assert [e["subject"] for e in arrived(broker)] == ["thing/good", "thing/good"]
    poison.refresh_from_db()
    assert poison.attempts == 1
    assert poison.last_error
    # Its turn comes again and again, until it is parked; then its successor goes.
    for _ in range(relays.PUBLISH_ATTEMPTS):
        OutboxEvent.objects.filter(pk=poison.pk).update(not_before=timezone.now())
        drain(relay)
    poison.refresh_from_db()
    assert poison.parked_at
    assert [e["sequence"] for e in arrived(broker)] == [2]
    letter = DeadLetter.objects.get()
    assert (letter.reason, letter.consumer, letter.event_id) == (
        "unpublishable",
        "relay",
        poison.event_id,
    )
    OutboxEvent.objects.filter(pk=poison.pk).update(event_type="lab.tried")
    redrive(letter, by="test")
    drain(relay)
    assert [e["sequence"] for e in arrived(broker)] == [1]


def test_a_damaged_row_is_refused_without_harm_to_others(broker, wire):
    try_things({1: "ok"}, thing="bad")
    OutboxEvent.objects.update(envelope="{not json")
    try_things({1: "ok"}, thing="good")
    Relay(wire).step()
    assert [e["subject"] for e in arrived(broker)] == ["thing/good"]
    assert "damaged" in OutboxEvent.objects.get(subject="thing/bad").last_error


def test_an_event_nobody_is_bound_to_is_not_dropped(broker, wire):
    with broker.channel() as channel:
        for queue in queue_names():
            bound = Queue(queue, channel=channel)
            for key in ("lab.tried", "#"):
                bound.unbind_from(Exchange("lab", type="topic"), routing_key=key)
    try_things({1: "ok"})
    Relay(wire).step()
    assert "no queue is bound" in OutboxEvent.objects.get(published_at=None).last_error


def test_the_broker_closing_the_channel_names_the_culprit(broker, wire):
    good = Outgoing("lab", "lab.tried", "[]", {})
    refused = wire.publish([good, Outgoing("no.such.exchange", "x", "[]", {}), good, good])
    assert list(refused) == [1]
    assert "no.such.exchange" in refused[1]
    with broker.channel() as channel:
        assert channel.queue_declare("lab", passive=True).message_count >= 3
    assert wire.publish([good]) == {}


def test_a_lost_connection_is_opened_again(broker, wire):
    good = Outgoing("lab", "lab.tried", "[]", {})
    wire.publish([good])
    wire._connection.connection.transport.sock.close()
    with pytest.raises(Exception, match=r".+"):
        wire.publish([good])
    assert wire.publish([good]) == {}


def test_it_wakes_on_commit_and_ends_on_request(broker, wire):
    relay = Relay(wire)
    thread = threading.Thread(target=relay.run)
    thread.start()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    eventually(lambda: thread.is_alive())
    waits = []
    for number in range(5):
        threading.Event().wait(0.1)  # let it fall asleep
        started = time.monotonic()
        try_things({number: "ok"})
        eventually(lambda: not pending(), every=0.002)
        waits.append(time.monotonic() - started)
    relay.stop()
    thread.join(5)
    assert not thread.is_alive()
    # Far below the slow poll: it was the notification that woke it.
    assert sorted(waits)[2] < relays.SLOW_POLL / 2


def test_old_rows_are_trimmed_and_pending_ones_never():
    sent = try_things({1: "ok", 2: "ok", 3: "ok"})
    long_ago = timezone.now() - timedelta(days=400)
    OutboxEvent.objects.update(created_at=long_ago)
    OutboxEvent.objects.filter(event_id=sent[0].event_id).update(published_at=long_ago)
    OutboxEvent.objects.filter(event_id=sent[1].event_id).update(published_at=timezone.now())
    InboxEntry.objects.create(consumer="x", event_id=sent[0].event_id, handled_at=long_ago)
    InboxEntry.objects.create(consumer="x", event_id=sent[1].event_id, handled_at=timezone.now())
    assert trim() == 2
    kept = set(OutboxEvent.objects.values_list("event_id", flat=True))
    assert kept == {sent[1].event_id, sent[2].event_id}


def rows(subjects, **fields):
    OutboxEvent.objects.bulk_create(
        OutboxEvent(
            event_id=uuid4(),
            event_type="lab.tried",
            producer="lab",
            subject=subject,
            envelope="{}",
            **fields,
        )
        for subject in subjects
    )


def test_many_that_are_held_back_hold_up_nobody_else():
    held = [f"thing/{number}" for number in range(2100)]
    rows(held, not_before=timezone.now() + timedelta(hours=1))
    rows(held)
    rows(["thing/innocent"])
    with transaction.atomic():
        assert [row.subject for row in claim(1000)] == ["thing/innocent"]


def test_a_commit_shortly_after_an_announced_one_is_found_without_the_slow_poll(monkeypatch):
    """It is not announced itself (GAP), so the relay must linger after any announcement."""
    monkeypatch.setattr(wakeup, "GAP", 60.0)
    monkeypatch.setattr(relays, "LINGER", 2.0)
    monkeypatch.setattr(relays, "SLOW_POLL", 60.0)
    relay = Relay(Accepting())
    looks = iter(range(100))
    look = relay.step

    def step():
        number = next(looks)
        if number == 0:
            wakeup._last_sent = -1000.0
            in_a_thread(lambda: try_things({1: "ok"}))  # announced while the relay is busy
        found = look()
        if number == 2:
            in_a_thread(lambda: try_things({2: "ok"}))  # not announced
        return found

    relay.step = step
    thread = threading.Thread(target=lambda: (relay.run(), connections.close_all()))
    thread.start()
    try:
        eventually(lambda: OutboxEvent.objects.filter(published_at__isnull=False).count() == 2)
    finally:
        relay.stop()
        thread.join(10)


class Accepting:
    """A wire to a broker that takes everything."""

    def publish(self, messages):
        return {}

    def close(self):
        pass


def in_a_thread(action):
    def run():
        action()
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
