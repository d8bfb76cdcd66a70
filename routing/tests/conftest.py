import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from datetime import time, timedelta
from uuid import UUID, uuid5

import pytest
from django.db import connections, transaction
from django.utils import timezone

from conftest import eventually
from inventory.events import (
    AllocationEvent,
    ShipmentCutRequested,
    StockReserved,
    WarehouseChanged,
)
from orders.events import OrderCancelled
from routing import planning, services
from routing.models import Depot, OrderStanding, Route, Shipment, Stop
from supplychain.events.base import Event
from supplychain.events.consumers import get_consumer
from supplychain.events.context import new_id
from supplychain.events.envelope import Envelope
from supplychain.events.handling import handle
from supplychain.events.models import OutboxEvent
from supplychain.events.testing import message_of

S = Shipment.State


class NoWire:
    """Nothing here may fail, so nothing may be sent on."""

    def publish(self, messages):
        raise AssertionError(f"{len(messages)} events failed: {messages[0].headers}")

    def close(self):
        pass


def order(number) -> UUID:
    return uuid5(UUID(int=0), f"order {number}")


def parcel(number) -> UUID:
    return uuid5(UUID(int=0), f"shipment {number}")


def envelope(kind: type[Event], data, *, sequence=1, subject="order/x", journey="journey"):
    return Envelope(
        event_id=new_id(),
        event_type=kind.event_type,
        event_version=1,
        timestamp=timezone.now(),
        producer=kind.producer,
        subject=subject,
        sequence=sequence,
        correlation_id=journey,
        data=data,
    )


def reserved(
    number=1,
    *,
    depot="mill",
    kg=5.0,
    m3=0.01,
    kind=StockReserved,
    near=0.01,
    goods=(("A", 1),),
    **data,
):
    """An order with one shipment, its customer ``near`` degrees north of the depot."""
    shipment = {
        "shipment_id": str(parcel(number)),
        "warehouse": depot,
        "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in goods],
        "weight_kg": kg,
        "volume_m3": m3,
    }
    to = {
        "name": f"Customer {number}",
        "address": "1 Mill Lane",
        "city": "York",
        "postal_code": "YO1",
        "country": "GB",
        "latitude": 53.96 + near,
        "longitude": -1.08,
    }
    own = {"order_id": str(order(number)), "shipments": [shipment], "outstanding": []}
    return envelope(kind, {**own, "ship_to": to, **data}, journey=f"journey {number}")


def cancelled(number=1):
    own = {"order_id": str(order(number)), "channel": "web", "external_id": f"W-{number}"}
    return envelope(OrderCancelled, {**own, "reason": "changed my mind"}, sequence=3)


def cut(number=1, *, kg=2.0, m3=0.004, empties=False, order_of=None, sku="A", quantity=1):
    """A part of a shipment that was taken back; each call makes another one."""
    said = {
        "cut_id": str(new_id()),
        "shipment_id": str(parcel(number)),
        "order_id": str(order(order_of or number)),
        "lines": [{"sku": sku, "quantity": quantity}],
        "weight_kg": kg,
        "volume_m3": m3,
        "empties": empties,
    }
    return envelope(ShipmentCutRequested, said, sequence=2)


def warehouse(code="mill", *, sequence=1, **data):
    place = {"name": code.title(), "latitude": 53.96, "longitude": -1.08, "active": True}
    return envelope(WarehouseChanged, {"code": code, **place, **data}, sequence=sequence)


_HANDLERS = {
    WarehouseChanged: "routing.keep_depots",
    AllocationEvent: "routing.register_shipments",
    OrderCancelled: "routing.cancel_shipments",
    ShipmentCutRequested: "routing.cut_shipments",
}


def hear(*envelopes, wire=None):
    """Hand events of one kind to their consumer as its worker would, in one batch."""
    event = type(envelopes[0].open())
    name = next(name for kind, name in _HANDLERS.items() if issubclass(event, kind))
    consumer = get_consumer(name)
    assert consumer is not None
    return handle(consumer, [message_of(e, consumer) for e in envelopes], wire or NoWire())


def make_depot(code="mill", *, vehicles=1, kg=1000.0, m3=8.0, hours=10.0) -> Depot:
    """A depot whose vehicles' shift begins at this minute, whatever the time of the test."""
    hear(warehouse(code))
    depot = Depot.objects.get(code=code)
    services.set_fleet(
        depot=depot, vehicles=vehicles, capacity_kg=kg, capacity_m3=m3, shift_hours=hours
    )
    depot.vehicles.update(shift_start=time(timezone.now().hour, timezone.now().minute))
    return depot


def make_shipments(count, *, first=1, **fields):
    numbers = range(first, first + count)
    hear(*(reserved(n, **fields) for n in numbers))
    return [Shipment.objects.get(pk=parcel(n)) for n in numbers]


def settle():
    """Let the burst be over: nothing has come for an hour."""
    Shipment.objects.update(ready_at=timezone.now() - timedelta(hours=1))


def plan(depot):
    """Plan a depot now; no other run may be under way."""
    run = planning.plan_depot(depot=depot)
    assert run is not None
    return run


def planned_route(count=2, **fields) -> Route:
    """A depot with one route of this many stops."""
    depot = make_depot()
    make_shipments(count, **fields)
    run = plan(depot)
    assert run.planned == count, run.error
    return Route.objects.get()


def state(number=1) -> str:
    return Shipment.objects.get(pk=parcel(number)).state


def stop_of(number=1) -> Stop:
    return Stop.objects.filter(shipment_id=parcel(number)).latest("eta", "id")


def told(*, since=0) -> list[str]:
    """Types of the events in the outbox, in order, without their domain."""
    rows = OutboxEvent.objects.filter(producer="routing").order_by("id")
    return [row.event_type.partition(".")[2] for row in rows][since:]


def data_of(event_type: str) -> list[dict]:
    rows = OutboxEvent.objects.filter(event_type=f"routing.{event_type}").order_by("id")
    return [Envelope.model_validate_json(row.envelope).data for row in rows]


def at_once(*actions):
    """Run each in a thread and transaction context of its own; gives results or exceptions."""
    barrier = threading.Barrier(len(actions))

    def run(action):
        try:
            barrier.wait(20)
            return action()
        except Exception as failure:  # noqa: BLE001 - it is the result
            return failure
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


class Holding:
    """A transaction of another connection that does something and stays open until let go."""

    def __init__(self, action):
        self._done, self._go = threading.Event(), threading.Event()
        self._future = self.start(lambda: self._hold(action))
        eventually(lambda: self._done.is_set() or self._future.done())
        if self._future.done():
            self._future.result()

    def _hold(self, action):
        action()
        self._done.set()
        assert self._go.wait(20)

    def let_go(self):
        self._go.set()
        self._future.result(20)

    @staticmethod
    def start(action, *, atomic=True) -> Future:
        """Begin something in a thread with a connection of its own."""

        def run():
            try:
                with transaction.atomic() if atomic else nullcontext():
                    return action()
            finally:
                connections.close_all()

        pool = ThreadPoolExecutor(1)
        future = pool.submit(run)
        pool.shutdown(wait=False)
        return future


def blocked_sessions() -> int:
    """How many sessions wait for a lock in this database."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(cursor.fetchone()[0])


def books_balance():
    """What must hold at any time, whatever ran at once with what."""
    for shipment in Shipment.objects.all():
        pending = shipment.stops.filter(state=Stop.State.PENDING).count()
        assert pending == (shipment.state in (S.PLANNED, S.DISPATCHED)), shipment
        standing = OrderStanding.objects.get(pk=shipment.order_id)
        if standing.cancelled and not shipment.recalled:
            assert shipment.state not in (S.OPEN, S.PLANNED, S.DISPATCHED), shipment
    for subject in OutboxEvent.objects.values_list("subject", flat=True).distinct():
        rows = OutboxEvent.objects.filter(subject=subject, producer="routing").order_by("id")
        numbers = [Envelope.model_validate_json(row.envelope).sequence for row in rows]
        assert numbers == list(range(1, len(numbers) + 1)), (subject, numbers)


@pytest.fixture(autouse=True)
def _little_search(settings):
    """And no promises, but where they are what is tried. A few stops take 0.2 s a day; the rest is
    for a machine that is busy and for runs that begin today and end tomorrow."""
    settings.PLANNING_SOLVE_SECONDS = 2.0
    settings.PROMISE_SECONDS = 0.0


@pytest.fixture
def staff(client, admin_user):
    client.force_login(admin_user)
    return client


@pytest.fixture(scope="module")
def chromium():
    from .browser import CHROMIUM, api

    with pytest.MonkeyPatch.context() as environment, api.sync_playwright() as playwright:
        # Playwright runs a loop in this thread, which Django takes for a sign of async code.
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
