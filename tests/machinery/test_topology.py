"""The topology on a real broker: declared by anybody, shown, mended, pruned."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from django.core.management import call_command
from kombu import Connection, Exchange, Producer, Queue

from conftest import ROOT
from supplychain.events import topology
from supplychain.events.amqp_wire import AmqpWire
from supplychain.events.base import event_classes
from supplychain.events.consumers import consumers, subscribers
from supplychain.events.wire import Outgoing
from tests.lab.events import Counted, Tried


def manage(*arguments, **environment):
    """manage.py as a user has it: all that is told is exit code and output."""
    settings = {"DJANGO_SETTINGS_MODULE": "tests.settings", "SUPPLYCHAIN_NO_DOTENV": "1"}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **settings, "SECRET_KEY": "test", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def changed(broker):
    """The queue ``lab`` as an earlier version might have declared it."""
    with broker.channel() as channel:
        channel.queue_delete("lab")
        channel.queue_declare("lab", durable=True, auto_delete=False)
    yield broker
    with broker.channel() as channel:
        channel.queue_delete("lab")


def counts(broker):
    """How many messages each work queue holds."""
    with broker.channel() as channel:
        queues = topology.work_queues()
        held = {q: channel.queue_declare(q, passive=True).message_count for q in queues}
    return {queue: count for queue, count in held.items() if count}


def publish(*event_types):
    wire = AmqpWire(os.environ["CELERY_BROKER_URL"])
    try:
        return wire.publish([Outgoing(e.producer, e.event_type, "[]") for e in event_types])
    finally:
        wire.close()


def test_declaring_twice_changes_nothing_and_keeps_messages(broker):
    publish(Counted)
    before = counts(broker)
    assert before["lab_other"] == 1
    assert topology.declare(broker) == topology.declare(broker)
    assert counts(broker) == before


def test_every_event_reaches_each_subscribed_queue_once_and_no_other(broker):
    """Also those that nobody but audit and analytics listens to: none is refused."""
    topology.prune(broker)
    assert publish(*event_classes()) == {}
    expected = Counter(c.queue for e in event_classes() for c in subscribers(e.event_type))
    assert counts(broker) == expected


def test_show_prints_everything_uncut(broker, capsys):
    call_command("topology")
    shown = capsys.readouterr().out
    wanted = topology.topology()
    words = set(shown.split())
    assert words >= {entity.name for entity in (*wanted.exchanges, *wanted.queues)}
    assert words >= {binding.routing_key for binding in wanted.bindings}
    assert words >= {declared.name for declared in consumers()}
    for queue in wanted.queues:
        assert words >= {f"{k}={v}" for k, v in queue.queue_arguments.items()}


# --- other arguments ----------------------------------------------------------------------


def test_a_changed_argument_says_what_to_do_and_shows_no_trace(changed):
    done = manage("topology", "--declare")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    assert "The queue 'lab' is in the broker with other arguments" in done.stderr
    assert "inequivalent arg 'x-dead-letter-" in done.stderr  # which one: in the broker's words
    assert "manage.py topology --recreate lab" in done.stderr


@pytest.mark.parametrize(
    "command",
    [["manage.py", "relay"], ["-m", "celery", "-A", "supplychain", "worker", "-Q", "lab"]],
)
def test_no_process_runs_on_other_arguments(changed, command):
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "SECRET_KEY": "test"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "manage.py topology --recreate lab" in done.stderr + done.stdout


def test_recreate_replaces_an_empty_queue(changed):
    done = manage("topology", "--recreate", "lab")
    assert (done.returncode, done.stderr) == (0, "")
    topology.declare(changed)
    publish(Tried)
    assert counts(changed)["lab"] == 1  # it has its subscription again


def test_recreate_refuses_a_full_queue_and_keeps_its_messages(changed):
    with changed.channel() as channel:
        Producer(channel).publish({"n": 1}, routing_key="lab")
    done = manage("topology", "--recreate", "lab")
    assert done.returncode == 1
    assert "lab holds 1 messages" in done.stderr
    assert "Traceback" not in done.stderr
    with changed.channel() as channel:
        assert channel.basic_get("lab", no_ack=True) is not None


def test_recreate_refuses_a_queue_that_is_consumed_from(changed):
    with Connection(os.environ["CELERY_BROKER_URL"]) as other, other.channel() as channel:
        channel.basic_consume("lab", callback=print)
        with pytest.raises(topology.TopologyConflict, match="has 1 consumers"):
            topology.recreate(changed, "lab")


def test_recreate_leaves_alone_what_does_not_differ(broker):
    publish(Tried)
    topology.recreate(broker, "lab")
    assert counts(broker)["lab"] == 1


def test_recreate_makes_a_queue_that_a_cut_off_run_had_deleted(broker):
    with broker.channel() as channel:
        channel.queue_delete("lab")
    assert manage("topology", "--recreate", "lab").returncode == 0
    publish(Tried)
    assert counts(broker)["lab"] == 1


def test_recreate_replaces_an_exchange_with_all_that_is_bound_to_it(broker):
    with broker.channel() as channel:
        channel.exchange_delete("lab")
        channel.exchange_declare("lab", "fanout", durable=True, auto_delete=False)
    try:
        conflict = manage("topology", "--declare")
        assert conflict.returncode == 1
        assert "The exchange 'lab'" in conflict.stderr
        assert "--recreate lab" in conflict.stderr
        with broker.channel() as channel:
            Producer(channel).publish({"n": 1}, routing_key="lab")
        # The domain's queue has the same name, and nothing is wrong with it.
        assert manage("topology", "--recreate", "lab").returncode == 0
        publish(Counted)
        assert counts(broker) == {"lab": 1, "lab_other": 1, "audit": 1, "analytics": 1}
    finally:
        with broker.channel() as channel:
            channel.exchange_delete("lab")


def test_recreate_knows_only_what_is_ours(broker):
    done = manage("topology", "--recreate", "somebody.elses")
    assert done.returncode == 1
    assert "'somebody.elses' is no queue or exchange of this system" in done.stderr


# --- subscriptions that were given up -----------------------------------------------------


@pytest.fixture
def given_up(broker):
    """``lab`` still gets what only its predecessor subscribed to."""
    with broker.channel() as channel:
        old = Queue("lab", channel=channel)
        for key in (Counted.event_type, "#"):
            old.bind_to(exchange=Exchange("lab", type="topic"), routing_key=key)
    publish(Counted)
    assert counts(broker)["lab"] == 1
    yield broker
    topology.prune(broker)


def test_declaring_a_version_unbinds_what_it_no_longer_subscribes_to(given_up):
    assert manage("topology", "--declare").returncode == 0
    publish(Counted)
    assert counts(given_up) == {"lab": 1, "lab_other": 2, "audit": 2, "analytics": 2}


def test_a_process_that_declares_takes_no_binding_away(given_up):
    """It may be of the version before, and the binding one of the version that comes."""
    topology.declare(given_up)
    publish(Counted)
    assert counts(given_up)["lab"] == 2


# --- no broker ----------------------------------------------------------------------------


def test_a_broker_that_is_away_is_told_in_a_sentence():
    nobody = "amqp://guest:hush@127.0.0.1:9//"
    done = manage("topology", "--declare", "--wait", "1", CELERY_BROKER_URL=nobody)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "can't be reached" in done.stderr
    assert "CELERY_BROKER_URL" in done.stderr
    assert "hush" not in done.stderr


def test_without_a_broker_there_is_nothing_to_declare_in():
    done = manage("topology", "--declare", CELERY_BROKER_URL="memory://")
    assert done.returncode == 1
    assert "CELERY_BROKER_URL is not set" in done.stderr
