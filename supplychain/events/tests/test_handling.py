"""handle(): effects once, failures isolated, nothing lost."""

import threading

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from celery.exceptions import Reject
from django.db import connection, connections

from supplychain.events import handling, inbox, tasks
from supplychain.events.consumers import Retry, get_consumer
from supplychain.events.handling import Message, handle, route
from supplychain.events.models import DeadLetter, InboxEntry, OutboxEvent, SuspectDelivery
from supplychain.events.names import DEAD_EXCHANGE, HOME_EXCHANGE
from supplychain.events.testing import deliver, message_of, redeliver
from supplychain.events.wire import BrokerUnavailable
from tests.lab.act import effects, try_things

pytestmark = pytest.mark.django_db(transaction=True)


class Recorder:
    """A wire that keeps what it is given."""

    def __init__(self, broken=False):
        self.sent = []
        self.broken = broken

    def publish(self, messages):
        if self.broken:
            raise BrokerUnavailable
        self.sent += messages
        return {}

    def close(self):
        pass


TRY, WATCH = "lab.try_it", "lab_other.watch_it"


def run(name, envelopes, wire=None, **flags):
    consumer = get_consumer(name)
    wire = wire or Recorder()
    outcome = handle(consumer, [message_of(e, consumer, **flags) for e in envelopes], wire)
    return outcome, wire


def test_the_same_event_twice_has_one_effect():
    sent = try_things({1: "ok"})
    first, _ = run(TRY, sent)
    second, _ = run(TRY, sent)
    assert (first.handled, second.handled, second.duplicates) == (1, 0, 1)
    assert effects("try_it") == [1]


def test_the_same_event_twice_in_one_batch_has_one_effect():
    sent = try_things({1: "ok", 2: "ok"})
    outcome, _ = run(WATCH, [*sent, *sent])
    assert (outcome.handled, outcome.duplicates) == (2, 2)
    assert effects("watch_it") == [1, 2]


def test_workers_with_the_same_event_at_once_have_one_effect():
    sent = try_things({n: "ok" for n in range(20)})
    start = threading.Barrier(4)

    def work():
        start.wait()
        run(WATCH, sent)
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert effects("watch_it") == list(range(20))


def test_inbox_effects_and_new_events_stand_or_fall_together():
    sent = try_things({1: "fail:9"})
    outbox = OutboxEvent.objects.count()
    outcome, wire = run(TRY, sent)
    assert len(outcome.retried) == 1
    assert effects("try_it") == []
    assert not InboxEntry.objects.exists()
    assert OutboxEvent.objects.count() == outbox
    retry = wire.sent[0]
    assert (retry.exchange, retry.routing_key) == (HOME_EXCHANGE, "lab")
    assert retry.headers["retries"] == 1
    assert 0.1 <= retry.delay <= 0.2


def test_one_bad_event_in_a_batch_fails_alone():
    sent = try_things({n: "batch-fail:9" if n == 3 else "ok" for n in range(6)})
    outcome, wire = run(WATCH, sent)
    assert (outcome.handled, len(outcome.retried)) == (5, 1)
    assert effects("watch_it") == [0, 1, 2, 4, 5]
    assert [m.headers["event_id"] for m in wire.sent] == [str(sent[3].event_id)]


def test_a_permanent_error_is_not_tried_again():
    outcome, wire = run(TRY, try_things({1: "hopeless"}))
    assert outcome.dead == ["Hopeless: This can't ever work."]
    assert wire.sent[0].exchange == DEAD_EXCHANGE
    assert wire.sent[0].headers["dead_reason"] == "permanent"
    assert "consumers.py" in wire.sent[0].headers["dead_traceback"]


def test_what_cannot_be_passed_on_is_not_settled():
    with pytest.raises(BrokerUnavailable):
        run(TRY, try_things({1: "hopeless"}), Recorder(broken=True))


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (b"garbage", {}, "MalformedMessage"),
        (b"\xff\xfe\x00", {"task": "lab.tried"}, "MalformedMessage"),
        (b'[["x"],{},{}]', {"task": "lab.tried"}, "MalformedMessage"),
    ],
)
def test_garbage_becomes_a_dead_letter(body, headers, reason):
    wire = Recorder()
    message = Message("lab", body, headers)
    outcome = handle(route("lab", headers), [message], wire)
    assert outcome.dead[0].startswith(reason)
    assert wire.sent[0].body == body


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"event_type": "lab.nonsense"}, "UnknownEventType"),
        ({"event_version": 9}, "UnknownEventVersion"),
        ({"data": {"thing": 5}}, "InvalidEventData"),
    ],
)
def test_what_the_code_does_not_know_becomes_a_dead_letter(changes, error):
    sent = [e.model_copy(update=changes) for e in try_things({1: "ok"})]
    outcome, wire = run(TRY, sent)
    assert outcome.dead[0].startswith(error)
    assert wire.sent[0].headers["dead_reason"] == "unreadable"


def test_deliver_follows_retries_and_dead_letters_to_the_end():
    try_things({1: "ok", 2: "fail:2", 3: "fail:9", 4: "hopeless"})
    done = deliver()
    assert effects("try_it") == [1, 2]
    assert effects("watch_it") == [1, 2, 3, 4]
    assert effects("count_it") == [1, 2]
    assert (done.dead, done.retried) == (2, 2 + 3)
    reasons = dict(DeadLetter.objects.values_list("exception", "reason"))
    assert reasons == {"ValueError": "exhausted", "Hopeless": "permanent"}


def test_redelivery_changes_nothing():
    sent = try_things({1: "ok"})
    deliver()
    done = redeliver(sent[0])
    assert sum(done.handled.values()) == 0
    assert done.duplicates >= 2
    assert effects("try_it") == effects("watch_it") == effects("count_it") == [1]


def test_a_redelivered_message_is_counted_before_it_runs_and_forgotten_after():
    sent = try_things({1: "ok"})
    run(TRY, sent, redelivered=True)
    assert effects("try_it") == [1]
    assert not SuspectDelivery.objects.exists()


def test_a_message_that_never_ended_is_quarantined_and_its_neighbours_are_not():
    poison, neighbour = try_things({1: "ok", 2: "ok"})
    for _ in range(handling.MAX_SUSPECT_STARTS):
        inbox.start_suspect(TRY, poison.event_id)
    outcome, wire = run(TRY, [poison, neighbour], redelivered=True)
    assert effects("try_it") == [2]
    assert wire.sent[0].headers["dead_reason"] == "killed_worker"
    assert len(outcome.dead) == 1


def test_a_lost_connection_is_waited_out_and_costs_no_attempt():
    sent = try_things({1: "ok"})
    connection.connection.close()  # as after a restart of the server
    outcome, wire = run(TRY, sent)
    assert (outcome.handled, wire.sent) == (1, [])


def test_back_off_doubles_up_to_its_cap_and_jitter_only_shortens():
    policy = Retry(attempts=9, base=1, cap=10, jitter=False)
    assert [policy.delay(n) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    jittered = Retry(base=8, cap=100)
    assert all(4 <= jittered.delay(1) <= 8 for _ in range(100))


@pytest.fixture
def no_database():
    """The server is away, and nobody wants to wait for it."""
    port = connection.settings_dict["PORT"]
    handling.shutting_down.set()

    def leave():
        connection.close()
        connection.settings_dict["PORT"] = 1

    def return_():
        connection.settings_dict["PORT"] = port
        connection.close()

    yield leave, return_
    handling.shutting_down.clear()
    return_()


@pytest.mark.parametrize("redelivered", [False, True])
def test_what_no_database_is_there_for_waits_in_the_broker_at_no_attempts_cost(
    no_database, redelivered
):
    leave, return_ = no_database
    sent = try_things({1: "ok", 2: "ok"})
    leave()
    outcome, wire = run(WATCH, sent, redelivered=redelivered)
    return_()
    assert (outcome.handled, len(outcome.retried), outcome.dead) == (0, 2, [])
    assert {(m.exchange, m.routing_key) for m in wire.sent} == {(HOME_EXCHANGE, "lab_other")}
    assert {(m.headers["retries"], m.delay) for m in wire.sent} == {(0, handling.PUT_BACK)}
    run(WATCH, sent)
    assert effects("watch_it") == [1, 2]


class Interrupted(Recorder):
    """Something unforeseen happens in the middle, such as a time limit."""

    def publish(self, messages):
        raise SoftTimeLimitExceeded


def test_whatever_leaves_a_job_unsettled_is_not_acknowledged(monkeypatch):
    sent = try_things({1: "hopeless"})
    monkeypatch.setattr(tasks, "process_wire", Interrupted)
    consumer = get_consumer(TRY)
    with pytest.raises(Reject) as rejected:
        tasks._run(consumer, (message_of(sent[0], consumer).to_json(),))
    assert rejected.value.requeue
