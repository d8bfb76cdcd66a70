"""Plain Celery tasks share a queue and its worker with events."""

import pytest

from conftest import eventually
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
    from supplychain.events.models import OutboxEvent

    return OutboxEvent.objects.exists() and not OutboxEvent.objects.filter(published_at=None)
