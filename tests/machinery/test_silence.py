"""A broker that is there and says nothing, as one does that is out of memory or frozen."""

import os
import select
import signal
import socket
import threading
import time
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings

from conftest import eventually
from supplychain.events.amqp_wire import AmqpWire
from supplychain.events.models import OutboxEvent
from supplychain.events.relay import Relay
from supplychain.events.wire import BrokerUnavailable, Outgoing
from supplychain.native.processes import birth, family
from tests.lab.act import try_things

pytestmark = pytest.mark.django_db(transaction=True)


class Passage(threading.Thread):
    """Passes bytes on between clients and the broker, until it is frozen."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._broker = urlsplit(settings.CELERY_BROKER_URL)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._peers: dict[socket.socket, socket.socket] = {}
        self._frozen = threading.Event()
        port = self._server.getsockname()[1]
        address = f"{self._broker.username}:{self._broker.password}@127.0.0.1:{port}"
        self.url = urlunsplit(self._broker._replace(netloc=address))
        self.start()

    def freeze(self) -> None:
        self._frozen.set()
        self.join()

    def close(self) -> None:
        self.freeze()
        for end in (self._server, *self._peers):
            end.close()

    def run(self) -> None:
        while not self._frozen.is_set():
            ready, _, _ = select.select([self._server, *self._peers], [], [], 0.1)
            for end in ready:
                self._accept() if end is self._server else self._pass_on(end)

    def _accept(self) -> None:
        near, _ = self._server.accept()
        far = socket.create_connection((self._broker.hostname, self._broker.port))
        self._peers |= {near: far, far: near}

    def _pass_on(self, end: socket.socket) -> None:
        data = end.recv(65536) if end in self._peers else b""
        if data:
            self._peers[end].sendall(data)
        elif end in self._peers:
            other = self._peers.pop(end)
            del self._peers[other]
            end.close()
            other.close()


@pytest.fixture
def passage(broker):
    opened = Passage()
    yield opened
    opened.close()


def end_in_time(process) -> None:
    """SIGTERM; ten seconds later nothing of it is left."""
    members = {pid: birth(pid) for pid in family(process.pid)}
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(12)
    eventually(lambda: all(birth(pid) != born for pid, born in members.items()), timeout=2)
    assert time.monotonic() - began < 11


def test_publishing_to_a_silent_broker_ends(passage):
    wire = AmqpWire(passage.url, patience=0.5)
    assert wire.publish([]) == {}
    passage.freeze()
    for _ in range(2):  # with the connection that it had, and with a new one
        with pytest.raises(BrokerUnavailable):
            wire.publish([Outgoing("home", "lab_other", "[]")])


def test_silence_is_no_events_fault(passage):
    wire = AmqpWire(passage.url, patience=0.2)
    assert wire.publish([]) == {}
    passage.freeze()
    try_things({1: "ok"})
    relay = Relay(wire)
    for _ in range(3):
        with pytest.raises(BrokerUnavailable):
            relay.step()
    assert list(OutboxEvent.objects.values_list("attempts", "published_at")) == [(0, None)]


def test_a_worker_ends_although_its_broker_is_silent(processes, passage):
    worker = processes.worker("lab", concurrency=1, CELERY_BROKER_URL=passage.url)
    passage.freeze()
    end_in_time(worker)


def test_a_relay_ends_although_its_broker_is_silent(processes, passage):
    relay = processes.relay(CELERY_BROKER_URL=passage.url)
    try_things({1: "ok"})
    eventually(lambda: not OutboxEvent.objects.filter(published_at=None).exists())
    passage.freeze()
    try_things({2: "ok"})
    end_in_time(relay)


def test_a_worker_ends_although_a_job_is_half_written_to_its_pool(processes, broker):
    worker = processes.worker("lab", concurrency=1)
    [child] = [pid for pid in family(worker.pid) if pid != worker.pid][:1]
    # It reads nothing: a job that is longer than a pipe stays half written.
    os.kill(child, signal.SIGSTOP)
    wire = AmqpWire(settings.CELERY_BROKER_URL)
    wire.publish([Outgoing("home", "lab", "x" * 300_000)])
    wire.close()
    with broker.channel() as channel:
        eventually(lambda: channel.queue_declare("lab", passive=True).message_count == 0)
    threading.Timer(0.5, os.kill, [child, signal.SIGCONT]).start()
    end_in_time(worker)
