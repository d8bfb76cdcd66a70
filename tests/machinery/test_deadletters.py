"""Dead letters on a real broker: from the worker to a row and, when the cause is gone, back."""

import os
import threading
import zlib

import pytest
from django.conf import settings
from django.db import connections
from kombu import Connection, Exchange, Producer, Queue

from conftest import eventually
from supplychain.events.amqp_wire import AmqpWire
from supplychain.events.deadletters import redrive, send_redrives
from supplychain.events.envelope import task_body, task_headers
from supplychain.events.ingester import Ingester
from supplychain.events.models import DeadLetter, InboxEntry
from supplychain.events.names import dead_queue
from tests.lab.act import effects, try_things
from tests.lab.models import Thing

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
State = DeadLetter.State
ZIPPED = {"compression": "application/x-gzip"}


def publish(broker, exchange, key, body, headers=None, **properties):
    with broker.channel() as channel:
        Producer(channel).publish(
            body, exchange=exchange, routing_key=key, headers=headers or {}, **properties
        )


def ready(broker, queue):
    """Messages ready in a queue."""
    with broker.channel() as channel:
        return channel.queue_declare(queue, passive=True).message_count


@pytest.fixture
def ingesting(broker):
    """An ingester in a thread of this process."""
    ingester = Ingester(Connection(settings.CELERY_BROKER_URL))

    def run():
        ingester.run()
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    yield ingester
    ingester.should_stop = True
    thread.join(20)
    assert not thread.is_alive()


def test_from_a_hopeless_event_to_a_redrive_in_the_admin(processes, admin_client):
    processes.worker("lab")
    processes.relay()
    processes.ingester()
    sent = try_things({1: "ok"})[0]
    # The cause: the thing that the consumer needs is gone.
    Thing.objects.all().delete()
    eventually(lambda: DeadLetter.objects.exists())
    letter = DeadLetter.objects.get()
    assert (letter.event_id, letter.consumer) == (sent.event_id, "lab.try_it")
    assert (letter.exception, letter.reason) == ("Thing.DoesNotExist", "exhausted")
    assert effects("try_it") == []
    # Not yet fixed: it fails again and opens the same row again.
    decide(admin_client, letter, "hoping")
    eventually(lambda: DeadLetter.objects.get().times_seen == 2)
    assert DeadLetter.objects.get().state == State.OPEN
    Thing.objects.create(name="anvil", event_sequence=1)
    decide(admin_client, letter, "the anvil is back")
    eventually(lambda: effects("try_it") == [1])
    eventually(lambda: DeadLetter.objects.get().state == State.REDRIVEN)
    letter.refresh_from_db()
    assert (letter.resolved_by, letter.note) == ("admin", "the anvil is back")


def decide(client, letter, note):
    data = {"ids": str(letter.pk), "note": note}
    assert client.post("/admin/events/deadletter/redrive/decide/", data).status_code == 302


def test_a_redriven_message_that_is_delivered_twice_is_handled_once(processes, broker):
    processes.relay()
    sent = try_things({1: "hopeless"})[0]
    processes.worker("lab")
    processes.ingester()
    eventually(lambda: DeadLetter.objects.exists())
    letter = DeadLetter.objects.get()
    assert (letter.reason, letter.exception) == ("permanent", "Hopeless")
    # The cause is gone: what was said is now something that works.
    better = sent.model_copy(update={"data": {**sent.data, "behaviour": "ok"}})
    DeadLetter.objects.update(body=task_body(better.to_json()).encode())
    redrive(letter)
    eventually(lambda: DeadLetter.objects.get().state == State.REDRIVEN)
    # As after a crash between the confirm and the commit, and a second operator.
    for _ in range(2):
        DeadLetter.objects.update(state=State.REDRIVING)
        eventually(lambda: DeadLetter.objects.get().state == State.REDRIVEN)
    last = try_things({2: "ok"})[0]
    eventually(lambda: InboxEntry.objects.filter(event_id=last.event_id).exists())
    eventually(lambda: ready(broker, "lab") == 0)
    assert effects("try_it") == [1, 2]


def test_a_redrive_whose_queue_is_gone_is_open_again_and_says_so(broker):
    wire = AmqpWire(settings.CELERY_BROKER_URL)
    gone = DeadLetter.objects.create(**row(1), queue="no_such_queue", state=State.REDRIVING)
    good = DeadLetter.objects.create(**row(2), queue="lab", state=State.REDRIVING)
    assert send_redrives(wire) == 2
    wire.close()
    gone.refresh_from_db()
    good.refresh_from_db()
    assert (gone.state, good.state) == (State.OPEN, State.REDRIVEN)
    assert "no queue is bound" in gone.note
    assert ready(broker, "lab") == 1


def row(number):
    envelope = try_things({number: "ok"})[0]
    return {
        "fingerprint": str(number),
        "event_id": envelope.event_id,
        "body": task_body(envelope.to_json()).encode(),
        "headers": {"task": "lab.tried"},
        "content_type": "application/json",
        "first_seen_at": envelope.timestamp,
        "last_seen_at": envelope.timestamp,
    }


def test_bytes_travel_both_ways_unchanged(broker, ingesting):
    body = bytes(range(256))
    publish(
        broker,
        "dead-letters",
        "lab",
        body,
        content_type="application/x-odd",
        content_encoding="binary",
    )
    eventually(lambda: DeadLetter.objects.exists())
    letter = DeadLetter.objects.get()
    assert bytes(letter.body) == body
    redrive(letter)
    eventually(lambda: DeadLetter.objects.get().state == State.REDRIVEN)
    with broker.channel() as channel:
        back = channel.basic_get("lab", no_ack=True)
    assert (bytes(back.body), back.content_type) == (body, "application/x-odd")


def test_no_message_stops_the_ingester(broker, ingesting):
    odd = {"content_type": "application/json", "content_encoding": "utf-8"}
    envelope = try_things({1: "ok"})[0].model_copy(update={"subject": "s" * 1000})
    headers = task_headers(envelope)
    publish(broker, "dead-letters", "lab", b"[" * 100_000, headers, **odd)
    publish(broker, "dead-letters", "lab", b"\xff\xfe", headers, **odd)
    publish(broker, "dead-letters", "lab", b"zip?", ZIPPED, **odd)
    publish(broker, "dead-letters", "lab", b"x", {**headers, "dead_attempts": "many"}, **odd)
    publish(broker, "dead-letters", "lab", b"y", {"x-death": ["odd"], "a\x00b": "c\x00d"}, **odd)
    publish(broker, "dead-letters", "lab", task_body(envelope.to_json()), headers, **odd)
    eventually(lambda: DeadLetter.objects.count() == 6)
    eventually(lambda: ready(broker, dead_queue("lab")) == 0)
    assert b"zip?" in [bytes(body) for body in DeadLetter.objects.values_list("body", flat=True)]


def test_a_compressed_event_is_handled_and_bytes_that_only_claim_to_be_are_kept(processes, broker):
    odd = {"content_type": "application/json", "content_encoding": "binary"}
    sent = try_things({1: "ok", 2: "hopeless"})
    processes.worker("lab")
    processes.ingester()
    publish(broker, "home", "lab", b"zip?", {**task_headers(sent[0]), **ZIPPED}, **odd)
    for envelope in sent:
        body = zlib.compress(task_body(envelope.to_json()).encode())
        publish(broker, "home", "lab", body, {**task_headers(envelope), **ZIPPED}, **odd)
    eventually(lambda: effects("try_it") == [1])
    eventually(lambda: DeadLetter.objects.count() == 2)
    broken, hopeless = DeadLetter.objects.order_by("exception").reverse()
    assert (broken.exception, bytes(broken.body)) == ("MalformedMessage", b"zip?")
    # What was unpacked is kept and sent again as such.
    assert bytes(hopeless.body) == task_body(sent[1].to_json()).encode()
    assert "compression" not in hopeless.headers


def test_what_the_broker_itself_gives_up_has_its_reason(broker, ingesting):
    publish(broker, "home", "lab", "one", content_type="text/plain", content_encoding="utf-8")
    with broker.channel() as channel:
        eventually(lambda: ready(broker, "lab") == 1)
        channel.basic_reject(channel.basic_get("lab").delivery_tag, requeue=False)
    eventually(lambda: DeadLetter.objects.exists())
    letter = DeadLetter.objects.get()
    assert (letter.queue, letter.consumer, letter.reason) == ("lab", "", "rejected")


def test_what_kills_workers_past_our_own_count_is_stopped_by_the_broker(broker, ingesting):
    """The delivery limit: the safety net behind the quarantine."""
    publish(broker, "home", "lab", "again", content_type="text/plain", content_encoding="utf-8")
    with Connection(settings.CELERY_BROKER_URL) as own, own.channel() as channel:
        eventually(lambda: ready(broker, "lab") == 1)
        while (message := channel.basic_get("lab")) is not None:
            channel.basic_reject(message.delivery_tag, requeue=True)
            eventually(lambda: ready(broker, "lab") == 1 or DeadLetter.objects.exists())
    eventually(lambda: DeadLetter.objects.exists())
    letter = DeadLetter.objects.get()
    assert (letter.reason, letter.queue) == ("delivery_limit", "lab")
    assert letter.attempts == 21


def test_an_ingester_waits_for_its_broker_and_ends_in_time(processes, tmp_path):
    """Told to end while the broker is away, the process ends."""
    away = {**os.environ, "CELERY_BROKER_URL": "amqp://guest@127.0.0.1:1//"}
    processes._environment = {**processes._environment, **away} | {
        "DATABASE_URL": processes._environment["DATABASE_URL"],
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    ingester = processes.start("manage.py", "deadletters", "ingest", ready="The broker is away")
    assert processes.stop(ingester) < 10
    assert ingester.returncode == 0


def test_a_queue_declared_otherwise_is_told_in_a_sentence(processes, broker):
    name = dead_queue("lab")
    with broker.channel() as channel:
        channel.queue_delete(name)
        Queue(name, Exchange("dead-letters", "direct"), name, queue_arguments={"x-max-length": 5})(
            channel
        ).declare()
    try:
        with pytest.raises(AssertionError, match="with other arguments than this") as ended:
            processes.ingester()
        assert "Traceback" not in str(ended.value)
    finally:
        with broker.channel() as channel:
            channel.queue_delete(name)
