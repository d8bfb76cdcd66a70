"""Real workers on a real broker: dispatch, retries, garbage, crashes, endings."""

import json
import signal

import pytest
from django.conf import settings
from django.db.models import Max, Min
from kombu import Producer

from conftest import eventually
from supplychain.events.amqp_wire import AmqpWire
from supplychain.events.deadletters import redrive
from supplychain.events.envelope import task_body, task_headers
from supplychain.events.models import DeadLetter, InboxEntry
from supplychain.events.names import dead_queue
from tests.lab.act import effects, try_things
from tests.lab.models import Attempt

pytestmark = pytest.mark.django_db(transaction=True)


def publish(broker, queue, body, headers=None, **properties):
    with broker.channel() as channel:
        Producer(channel).publish(
            body, exchange="home", routing_key=queue, headers=headers or {}, **properties
        )


def test_a_retry_reaches_only_the_queue_that_failed(processes):
    lab = processes.worker("lab")
    processes.worker("lab_other")
    processes.relay()
    try_things({1: "fail:2", 2: "ok"})
    eventually(lambda: effects("try_it") == [1, 2])
    eventually(lambda: effects("count_it") == [1, 2])
    assert effects("watch_it") == [1, 2]
    assert Attempt.objects.filter(number=1).count() == 3
    # The first wait is 0.1 to 0.2 s, the second 0.2 to 0.4 s, spent in the broker.
    span = Attempt.objects.filter(number=1).aggregate(first=Min("at"), last=Max("at"))
    assert (span["last"] - span["first"]).total_seconds() >= 0.3
    assert "lab.try_it" in processes.log(lab)


def test_garbage_is_dead_lettered_with_its_reason_and_the_worker_goes_on(processes, broker):
    processes.worker("lab")
    processes.ingester()
    sent = try_things({1: "ok"})[0]
    headers = task_headers(sent)
    good = task_body(sent.to_json())
    publish(
        broker, "lab", b"\x00\xff not text", content_type="application/x", content_encoding="binary"
    )
    publish(
        broker,
        "lab",
        "no json at all",
        headers,
        content_type="application/json",
        content_encoding="utf-8",
    )
    publish(
        broker,
        "lab",
        b"\xff\xfe",
        headers,
        content_type="application/json",
        content_encoding="utf-8",
    )
    publish(
        broker,
        "lab",
        b"zip?",
        headers,
        compression=None,
        content_type="application/json",
        content_encoding="no-such-code",
    )
    publish(
        broker,
        "lab",
        good,
        {**headers, "task": "lab.nonsense"},
        content_type="application/json",
        content_encoding="utf-8",
    )
    future = sent.model_copy(update={"event_version": 9})
    publish(
        broker,
        "lab",
        task_body(future.to_json()),
        headers,
        content_type="application/json",
        content_encoding="utf-8",
    )
    publish(broker, "lab", good, headers, content_type="application/json", content_encoding="utf-8")
    eventually(lambda: effects("try_it") == [1])
    eventually(lambda: DeadLetter.objects.count() >= 6)
    exceptions = sorted(DeadLetter.objects.values_list("exception", flat=True))
    assert exceptions.count("MalformedMessage") == 4
    assert "Unsubscribed" in exceptions
    assert "UnknownEventVersion" in exceptions
    assert all(DeadLetter.objects.values_list("message", flat=True))
    assert b"\x00\xff not text" in [
        bytes(b) for b in DeadLetter.objects.values_list("body", flat=True)
    ]


def test_exhausted_goes_to_the_dead_letters_and_a_redrive_is_handled_once(processes):
    processes.worker("lab")
    processes.relay()
    processes.ingester()
    try_things({1: "fail:4"})
    eventually(lambda: DeadLetter.objects.exists())
    letter = DeadLetter.objects.get()
    assert (letter.reason, letter.attempts, letter.exception) == ("exhausted", 4, "ValueError")
    assert "failing attempt 4" in letter.message
    assert "consumers.py" in letter.traceback
    redrive(letter, by="test")
    eventually(lambda: effects("try_it") == [1])
    # Once more, as after a crash between publishing and writing the row: a no-op.
    DeadLetter.objects.update(state=DeadLetter.State.OPEN)
    redrive(letter, by="test")
    sent = try_things({2: "ok"})
    eventually(lambda: InboxEntry.objects.filter(event_id=sent[0].event_id).exists())
    eventually(lambda: DeadLetter.objects.get().state == DeadLetter.State.REDRIVEN)
    assert effects("try_it") == [1, 2]


def test_a_message_that_kills_its_worker_is_quarantined_and_no_other(processes):
    processes.worker("lab", concurrency=1)
    processes.relay()
    processes.ingester()
    try_things({n: "kill:99" if n == 5 else "ok" for n in range(10)})
    eventually(lambda: DeadLetter.objects.exists(), timeout=60)
    eventually(lambda: len(effects("try_it")) == 9, timeout=60)
    letter = DeadLetter.objects.get()
    assert (letter.reason, letter.exception) == ("killed_worker", "KillsWorkers")
    assert Attempt.objects.filter(number=5).count() == 4
    assert effects("try_it") == [0, 1, 2, 3, 4, 6, 7, 8, 9]


def test_a_batch_whose_worker_dies_is_handled_again_once(processes):
    processes.relay()
    try_things({n: "batch-kill:1" if n == 30 else "ok" for n in range(60)})
    processes.worker("lab_other")
    eventually(lambda: len(effects("watch_it")) >= 60, timeout=60)
    assert effects("watch_it") == list(range(60))


def test_a_killed_worker_loses_nothing_and_nothing_is_applied_twice(processes):
    processes.relay()
    doomed = processes.worker("lab")
    try_things({n: "ok" for n in range(200)})
    try_things({n: "wait:0.3" for n in range(200, 210)})
    eventually(lambda: Attempt.objects.exists())  # in the middle of a handler
    processes.stop(doomed, signal.SIGKILL)
    processes.worker("lab")
    eventually(lambda: len(effects("try_it")) >= 210, timeout=60)
    assert effects("try_it") == list(range(210))


@pytest.mark.parametrize("seconds", ["0.5", "60"])
def test_a_worker_ends_in_time_on_sigterm_without_losing_work(processes, seconds):
    """A short handler is finished first; one that takes too long is cut off and runs again."""
    processes.relay()
    worker = processes.worker("lab", concurrency=1)
    try_things({1: f"wait:{seconds}", 2: "ok"})
    eventually(lambda: Attempt.objects.exists())
    assert processes.stop(worker) < 12  # 9 by its own clock, when the machine is busy, too
    if seconds == "0.5":
        assert 1 in effects("try_it")
    else:
        Attempt.objects.all().delete()
        assert effects("try_it") == []
    if seconds == "60":
        return  # the message is back in its queue: proven by the kill tests
    processes.worker("lab")
    eventually(lambda: effects("try_it") == [1, 2])


def test_relay_and_ingester_end_at_once_on_sigterm(processes):
    relay, ingester = processes.relay(), processes.ingester()
    assert processes.stop(relay) < 5
    assert processes.stop(ingester) < 5
    assert (relay.returncode, ingester.returncode) == (0, 0)


def test_a_plain_celery_worker_can_read_an_event(broker):
    """Protocol 2: arguments, keyword arguments and embed in a JSON list, task and id as headers."""
    wire = AmqpWire(settings.CELERY_BROKER_URL)
    from supplychain.events.relay import Relay

    sent = try_things({1: "ok"})[0]
    Relay(wire).step()
    wire.close()
    with broker.channel() as channel:
        message = channel.basic_get("lab", no_ack=True)
    args, kwargs, _embed = json.loads(message.body)
    assert message.headers["task"] == "lab.tried"
    assert message.headers["id"] == str(sent.event_id)
    assert message.content_type == "application/json"
    assert message.properties["delivery_mode"] == 2
    assert (args[0]["event_id"], kwargs) == (str(sent.event_id), {})


def test_dead_letter_queues_are_empty_after_ingestion(processes, broker):
    processes.worker("lab")
    processes.ingester()
    publish(broker, "lab", "garbage", content_type="application/json", content_encoding="utf-8")
    eventually(lambda: DeadLetter.objects.exists())
    with broker.channel() as channel:
        eventually(
            lambda: channel.queue_declare(dead_queue("lab"), passive=True).message_count == 0
        )
