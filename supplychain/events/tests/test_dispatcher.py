"""The batching dispatcher by itself: what is taken from a queue goes on to the pool."""

from types import SimpleNamespace

import pytest
from celery.worker import state
from kombu.asynchronous import Hub

from supplychain.celery import app
from supplychain.events.worker import EventConsumer, Job


class Recording(EventConsumer):
    """Up to the pool, which is not there."""

    def __init__(self, hub: Hub) -> None:
        pool = SimpleNamespace(num_processes=2, flush=None, is_green=False)
        controller = SimpleNamespace(use_eventloop=True, semaphore=None)
        super().__init__(print, app=app, hub=hub, pool=pool, timer=hub.timer, controller=controller)
        self.jobs: list[Job] = []

    def _submit(self, job):
        self.jobs.append(job)


@pytest.fixture
def hub():
    loop = Hub()
    yield loop
    loop.close()


@pytest.fixture
def dispatcher(hub):
    yield Recording(hub)
    state.reserved_requests.clear()
    state.active_requests.clear()


def arrive(dispatcher, event_type="lab.tried", queue="lab_other"):
    message = SimpleNamespace(
        body=b"{}", delivery_info={}, content_type="application/json", headers={}, errors=None
    )
    dispatcher._take(queue, message, {"task": event_type})


def turn(hub):
    """One turn of the event loop, as far as scheduled calls go."""
    for call in hub._pop_ready():
        call()


def test_what_arrives_together_goes_together(dispatcher, hub):
    for _ in range(3):
        arrive(dispatcher)
    turn(hub)
    assert [(job.headers["task"], len(job._members)) for job in dispatcher.jobs] == [
        ("lab_other.watch_it", 3)
    ]


def test_each_consumer_gets_its_own(dispatcher, hub):
    arrive(dispatcher, "lab.tried")
    arrive(dispatcher, "lab.counted")
    arrive(dispatcher, "lab.tried")
    turn(hub)
    found = {job.headers["task"]: len(job._members) for job in dispatcher.jobs}
    assert found == {"lab_other.watch_it": 2, "lab_other.count_it": 1}


def test_a_batch_is_no_larger_than_its_consumer_takes(dispatcher, hub):
    for _ in range(120):
        arrive(dispatcher)
    turn(hub)
    assert [len(job._members) for job in dispatcher.jobs] == [50, 50, 20]


class Running:
    """A request that Celery counts as being at work in the pool."""

    id = "running"


def test_what_ran_on_a_lost_connection_keeps_no_slot(dispatcher, hub):
    """Celery empties the pool's books then, and such a request may never report its end."""
    lost = [Running(), Running()]
    for request in lost:
        state.reserved_requests.add(request)
        state.active_requests.add(request)
    arrive(dispatcher)
    turn(hub)
    assert dispatcher.jobs == []
    hub.reset()
    dispatcher.on_close()
    arrive(dispatcher)
    turn(hub)
    assert len(dispatcher.jobs) == 1


def test_what_a_lost_connection_had_brought_is_left_to_the_new_one(dispatcher, hub):
    busy = [Running(), Running()]
    for request in busy:
        state.reserved_requests.add(request)
    arrive(dispatcher)
    dispatcher.on_close()
    turn(hub)
    assert dispatcher.jobs == []


def test_in_process_events_do_not_wait_behind_a_plain_task(dispatcher):
    """It may be the last in its queue: then nothing comes that would close their batch."""
    ran = []
    dispatcher.hub, dispatcher.initial_prefetch_count = None, 100
    dispatcher.strategies = {"routing.plan_due_depots": lambda *_: ran.append(dispatcher.jobs[:])}
    dispatcher.connection = SimpleNamespace(default_channel=SimpleNamespace(_size=lambda _: 1))
    arrive(dispatcher)
    assert dispatcher.jobs == []
    tick = SimpleNamespace(
        headers={"task": "routing.plan_due_depots", "id": "1"},
        delivery_info={},
        ack_log_error=print,
        reject_log_error=print,
    )
    dispatcher.create_task_handler()(tick)
    [before] = ran
    assert [job.headers["task"] for job in before] == ["lab_other.watch_it"]
