"""The in-process broker: the same ways as the real one's, within this process."""

import threading
import uuid

import pytest
from kombu import Connection, Exchange, Queue

from conftest import eventually
from supplychain.events.memory_wire import MemoryWire
from supplychain.events.names import HOME_EXCHANGE, delay_name
from supplychain.events.wire import Outgoing

URL = "memory://localhost/"


@pytest.fixture
def queues():
    """Two queues with homes, bound to one topic; new ones, since the broker is the process's."""
    name = uuid.uuid4().hex
    topic = Exchange(f"t-{name}", type="topic")
    with Connection(URL) as connection, connection.channel() as channel:
        made = []
        for number in (1, 2):
            home = Exchange(HOME_EXCHANGE, type="direct")
            queue = Queue(f"{name}-{number}", home, routing_key=f"{name}-{number}")(channel)
            queue.declare()
            topic(channel).declare()
            queue.bind_to(topic, routing_key="lab.tried")
            made.append(queue)
        yield made
        for queue in made:
            queue.delete()


@pytest.fixture
def wire():
    return MemoryWire(URL)


def to_topic(queues, **headers):
    exchange = f"t-{queues[0].name.partition('-')[0]}"
    return Outgoing(exchange, "lab.tried", '["x"]', headers)


def to_home(queue, body="[]", delay=0.0):
    exchange = delay_name(512) if delay else HOME_EXCHANGE
    return Outgoing(exchange, queue.name, body, {}, delay=delay)


def test_an_event_reaches_every_bound_queue(wire, queues):
    assert wire.publish([to_topic(queues, task="lab.tried")]) == {}
    assert [queue.get().body for queue in queues] == [b'["x"]', b'["x"]']
    assert [queue.get() for queue in queues] == [None, None]


def test_each_message_has_headers_of_its_own(wire, queues):
    """What one sender or message does to its headers, no other sees."""
    sent = to_topic(queues, task="lab.tried")
    wire.publish([sent, sent])
    sent.headers["task"] = "changed by the sender"
    first, second = queues[0].get(), queues[0].get()
    first.headers["task"] = "changed by a worker"
    assert second.headers["task"] == "lab.tried"


def test_home_reaches_one_queue_alone(wire, queues):
    wire.publish([to_home(queues[0])])
    assert queues[0].get() is not None
    assert queues[1].get() is None


def test_bytes_and_text_arrive_as_they_are(wire, queues):
    wire.publish([Outgoing(HOME_EXCHANGE, queues[0].name, b"\x00\xff", {}, "application/x")])
    wire.publish([to_home(queues[0], '"São Paulo"')])
    raw, text = queues[0].get(), queues[0].get()
    assert (raw.body, raw.content_type) == (b"\x00\xff", "application/x")
    assert text.payload == "São Paulo"


def test_what_is_delayed_waits_and_then_goes_to_its_queue_alone(wire, queues):
    wire.publish([to_home(queues[0], delay=0.2)])
    assert queues[0].get() is None
    assert len(wire.delays) == 1
    eventually(lambda: len(wire.delays) == 0, every=0.01)
    assert queues[0].get() is not None
    assert queues[1].get() is None


def test_delays_end_in_their_order_and_not_in_that_of_their_sending(wire, queues):
    wire.publish([to_home(queues[0], '"late"', 0.3), to_home(queues[0], '"soon"', 0.1)])
    eventually(lambda: len(wire.delays) == 0, every=0.01)
    assert [queues[0].get().payload for _ in range(2)] == ["soon", "late"]


def test_one_that_is_due_earlier_wakes_the_line(wire, queues):
    wire.publish([to_home(queues[0], delay=500)])
    eventually(wire.delays._changed._waiters.__len__, every=0.01)  # it has gone to sleep
    wire.publish([to_home(queues[0], delay=0.1)])
    eventually(lambda: len(wire.delays) == 1, timeout=10, every=0.01)
    assert queues[0].get() is not None


def test_a_waiting_message_is_counted_until_it_is_in_its_queue(wire, queues):
    """So that whoever asks whether all is done never misses one in between."""
    counted = []
    straight = wire.send

    def send(message):
        counted.append(len(wire.delays._heap))
        straight(message)

    wire.send = send
    wire.publish([to_home(queues[0], delay=0.05)])
    eventually(lambda: queues[0].get(), every=0.01)
    assert counted == [1]


def test_threads_may_share_it(wire, queues):
    def work():
        for _ in range(100):
            wire.publish([to_topic(queues)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for queue in queues:
        assert sum(1 for _ in iter(queue.get, None)) == 400
