"""Plain Celery tasks share a queue and its worker with events."""

import kombu
import pytest

from conftest import eventually
from supplychain.events.models import DeadLetter, OutboxEvent
from supplychain.events.names import dead_queue
from tests.lab.act import effects, try_things
from tests.lab.tasks import hold_until

pytestmark = pytest.mark.django_db(transaction=True)


def test_events_that_wait_behind_a_plain_task_go_on_when_it_ends(processes, broker, tmp_path):
    lab = processes.worker("lab", concurrency=1)
    processes.relay()
    released = tmp_path / "released"
    hold_until.apply_async((str(released),), queue="lab")
    eventually(lambda: "lab.hold_until" in processes.log(lab))
    try_things({1: "ok", 2: "ok"})

    def taken_off_the_queue():
        with broker.channel() as channel:
            found = channel.queue_declare("lab", passive=True)
        return found.message_count == 0 and _published()

    eventually(taken_off_the_queue)
    assert effects("try_it") == []
    released.touch()
    eventually(lambda: effects("try_it") == [1, 2])


def _published():
    return OutboxEvent.objects.exists() and not OutboxEvent.objects.filter(published_at=None)


def test_a_tick_that_expires_is_no_dead_letter(processes, broker):
    """Beat's ticks expire while all pool processes plan; the broker sets them aside."""
    hold_until.apply_async(("/nowhere",), queue="lab", expires=0.2)
    ingester = processes.ingester()
    with broker.channel() as channel:
        garbage = kombu.Producer(channel)
        eventually(lambda: channel.queue_declare("lab", passive=True).message_count == 0)
        garbage.publish("no json", exchange="", routing_key=dead_queue("lab"))
    eventually(DeadLetter.objects.exists)
    processes.stop(ingester)
    assert [letter.consumer for letter in DeadLetter.objects.all()] == [""]
    with broker.channel() as channel:
        found = channel.queue_declare(dead_queue("lab"), passive=True)
    assert found.message_count == 0
