"""Workers are killed, the broker is killed and the database is stopped while orders come in:
afterwards nothing is lost, nothing is applied twice, and the books balance."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from django.db import InterfaceError, OperationalError, connection, connections

from conftest import eventually
from inventory.models import Reservation
from orders.intake import accept
from orders.models import Channel, Order, Status
from routing.models import Shipment
from supplychain.events.consumers import queue_names
from supplychain.events.models import InboxEntry
from supplychain.native.processes import family, send
from supplychain.native.servers import FOLDER_VARIABLE
from supplychain.operations import books
from supplychain.operations.bench.world import furnish

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(1200)]
ORDERS = 600
DOMAINS = ["orders", "inventory", "routing", "notifications", "audit", "analytics"]


class Shop(threading.Thread):
    """A channel that places its orders, a third at each call of ``open()``, and, as one should,
    sends an order again whenever it got no answer."""

    def __init__(self, channel: Channel, bodies: list[dict]) -> None:
        super().__init__(name="shop", daemon=True)
        self._channel, self._bodies = channel, bodies
        self._open = threading.Semaphore(0)
        self.closed = threading.Event()
        self.repeated = 0

    def open(self) -> None:
        self._open.release()

    def run(self) -> None:
        try:
            for number, body in enumerate(self._bodies):
                if number % (ORDERS // 3) == 0:
                    self._open.acquire()
                while not (self.closed.is_set() or self._place(body)):
                    connection.close()
                    self.repeated += 1
                    self.closed.wait(0.2)
        finally:
            connections.close_all()

    def _place(self, body: dict) -> bool:
        try:
            [result] = accept(channel=self._channel, bodies=[body])
        except (OperationalError, InterfaceError):
            return False
        assert not result.errors
        return True


@pytest.fixture
def shop():
    opened = Shop(*furnish(ORDERS))
    opened.start()
    yield opened
    opened.closed.set()
    for _ in range(3):
        opened.open()
    opened.join(30)


@pytest.fixture
def servers():
    """Does something to ``postgres`` and ``rabbit``; in a process of its own, since they outlive
    the one that starts them."""

    def act(what: str) -> None:
        code = (
            f"from supplychain.native import servers; postgres, rabbit = servers.attach(); {what}"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=300)

    if FOLDER_VARIABLE not in os.environ:
        pytest.skip("needs servers that it may kill: run it without DATABASE_URL of your own")
    yield act
    act("postgres.start(); rabbit.start()")


def surely(value):
    """A value from the database, None while that is away."""
    try:
        return value()
    except (OperationalError, InterfaceError):
        connection.close()
        return None


def kill(worker) -> None:
    """SIGKILL to all its processes, while they are at work."""
    send(family(worker.pid), signal.SIGKILL)
    worker.wait(10)


def done(orders: int) -> bool:
    allocated = Order.objects.exclude(status=Status.PLACED)
    return allocated.count() == orders and books.is_quiet()


def test_whatever_dies_nothing_is_lost_and_nothing_applied_twice(processes, servers, shop):
    assert set(DOMAINS) <= set(queue_names())
    workers = {name: processes.worker(name) for name in DOMAINS}
    relay = processes.relay()
    processes.ingester()

    shop.open()
    eventually(lambda: InboxEntry.objects.filter(consumer="inventory.reserve_stock").count() > 20)
    for name in ("inventory", "orders", "routing", "audit"):
        kill(workers[name])
        workers[name] = processes.worker(name)
    kill(relay)
    processes.relay()
    eventually(lambda: done(ORDERS // 3), timeout=300)

    shop.open()
    eventually(lambda: Order.objects.count() > ORDERS // 3 + 20)
    servers("rabbit.kill(); rabbit.start()")
    eventually(lambda: done(2 * ORDERS // 3), timeout=300)

    shop.open()
    eventually(lambda: Order.objects.count() > 2 * ORDERS // 3 + 20)
    servers("postgres.stop()")
    eventually(lambda: shop.repeated > 5)
    servers("postgres.start()")
    eventually(lambda: surely(lambda: done(ORDERS)), timeout=300)

    assert shop.repeated, "the shop never noticed that the database was away"
    assert books.faults(finished=False) == []
    held = Reservation.objects.values("shipment_id").distinct()
    assert Shipment.objects.count() == held.count()
