import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid5

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conftest import eventually
from inventory import selectors, services
from inventory.models import Backorder, StockLevel, Warehouse
from orders.events import OrderCancelled, OrderConfirmed, OrderLinesCancelled, OrderPlaced
from routing.events import (
    ShipmentCancelled,
    ShipmentCutRefused,
    ShipmentDispatched,
    ShipmentReduced,
    ShipmentReturned,
)
from supplychain.events.base import event_class
from supplychain.events.consumers import consumer_for, get_consumer
from supplychain.events.context import new_id
from supplychain.events.envelope import Envelope
from supplychain.events.handling import handle
from supplychain.events.models import OutboxEvent
from supplychain.events.testing import message_of

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
#: Code: latitude, longitude. Orders go to York.
PLACES = {"york": (53.96, -1.08), "leeds": (53.80, -1.55), "london": (51.51, -0.13)}


class NoWire:
    """Nothing here may fail, so nothing may be sent on."""

    def publish(self, messages):
        raise AssertionError(f"{len(messages)} events failed: {messages[0].headers}")

    def close(self):
        pass


# --- what there is ------------------------------------------------------------------------


def warehouse(code="york", **fields):
    latitude, longitude = PLACES[code]
    values = {"name": code.title(), "latitude": latitude, "longitude": longitude, **fields}
    return services.register_warehouse(code=code, **values)


def product(*skus, weight="2.5", volume="0.01"):
    services.register_products(
        products=[
            services.ProductData(sku, f"thing {sku}", Decimal(weight), Decimal(volume))
            for sku in skus
        ]
    )


def receive(code="york", reference="", **units):
    """Book in goods, e.g. ``receive("york", A=5)``."""
    place = Warehouse.objects.get(code=code)
    reference = reference or str(new_id())
    return services.receive_stock(
        warehouse=place, lines=list(units.items()), reference=reference, actor="tests"
    )


def stocked(**by_sku):
    """Products and their stock, e.g. ``stocked(A={"york": 5, "leeds": 1}, B={})``."""
    product(*by_sku)
    for code in sorted({code for places in by_sku.values() for code in places}):
        warehouse(code)
        units = {sku: places[code] for sku, places in by_sku.items() if code in places}
        if some := {sku: count for sku, count in units.items() if count}:
            receive(code, **some)
    publish()


# --- what happened elsewhere --------------------------------------------------------------


def order(number) -> UUID:
    return uuid5(UUID(int=0), f"order {number}")


def _sealed(kind, subject, data):
    return Envelope(
        event_id=new_id(),
        event_type=kind.event_type,
        event_version=1,
        timestamp=NOON,
        producer=kind.producer,
        subject=subject,
        sequence=1,
        correlation_id=f"journey of {subject}",
        data=kind(**data).model_dump(mode="json"),
    )


def placed(number, minutes=None, lines=None, priority=0, confirm_by=None, **units):
    """An order for York, e.g. ``placed(1, A=2)``; a later number is a later order."""
    at = NOON + timedelta(minutes=number if minutes is None else minutes)
    place = {"city": "York", "postal_code": "YO1", "country": "GB", "address": "1 Mill Lane"}
    latitude, longitude = PLACES["york"]
    lines = lines or list(units.items())
    return _sealed(
        OrderPlaced,
        f"order/{order(number)}",
        {
            "order_id": order(number),
            "channel": "web",
            "external_id": f"W-{number}",
            "customer": {"name": "Ada O'Neill", "email": "ada@example.org"},
            "ship_to": {**place, "latitude": latitude, "longitude": longitude},
            "lines": [{"sku": s, "quantity": n, "unit_price": "1.00"} for s, n in lines],
            "currency": "GBP",
            "total": "1.00",
            "placed_at": at,
            "priority": priority,
            "confirm_by": confirm_by,
        },
    )


#: The time to confirm an order by.
def in_time():
    return timezone.now() + timedelta(hours=1)


def too_late():
    return timezone.now() - timedelta(hours=1)


def _own(number):
    return {"order_id": order(number), "channel": "web", "external_id": f"W-{number}"}


def confirmed(number):
    said = {**_own(number), "confirmed_at": NOON}
    return _sealed(OrderConfirmed, f"order/{order(number)}", said)


def taken_back(number, before=0, **units):
    """Units of an order's lines, of which as many had been taken back ``before``."""
    lines = [{"sku": s, "quantity": n, "total": n + before} for s, n in units.items()]
    said = {**_own(number), "lines": lines, "reason": ""}
    return _sealed(OrderLinesCancelled, f"order/{order(number)}", said)


def cancelled(number):
    said = {**_own(number), "reason": "changed my mind"}
    return _sealed(OrderCancelled, f"order/{order(number)}", said)


def _shipment(kind, shipment_id, number, **data):
    own = {"shipment_id": shipment_id, "order_id": order(number)}
    return _sealed(kind, f"shipment/{shipment_id}", {**own, **data})


def shipment_cancelled(shipment_id, number):
    return _shipment(ShipmentCancelled, shipment_id, number)


def dispatched(shipment_id, number):
    return _shipment(ShipmentDispatched, shipment_id, number, route_id=new_id(), depot="york")


def returned(shipment_id, number):
    return _shipment(ShipmentReturned, shipment_id, number, depot="york")


def granted(request, number):
    """Routing's answer to a ShipmentCutRequested."""
    return _shipment(ShipmentReduced, request.shipment_id, number, cut_id=request.cut_id)


def refused(request, number, reason="The shipment is dispatched."):
    said = {"cut_id": request.cut_id, "reason": reason}
    return _shipment(ShipmentCutRefused, request.shipment_id, number, **said)


# --- what inventory's worker and the relay do ---------------------------------------------


def consume(*envelopes, wire=None):
    """Hand events of one type to their consumer as inventory's worker would, in one batch."""
    consumer = consumer_for("inventory", envelopes[0].event_type)
    assert consumer is not None
    return handle(consumer, [message_of(e, consumer) for e in envelopes], wire or NoWire())


def publish():
    """Take what the outbox holds, as the relay would; gives the envelopes."""
    rows = OutboxEvent.objects.filter(published_at=None).order_by("id")
    found = [Envelope.model_validate_json(row.envelope) for row in rows]
    OutboxEvent.objects.filter(event_id__in=[e.event_id for e in found]).update(published_at=NOON)
    return found


def follow():
    """Publish to inventory's own consumers, in batches, until nothing more happens."""
    told = []
    while new := publish():
        told += new
        by_consumer: dict[str, list[Envelope]] = {}
        for envelope in new:
            if consumer := consumer_for("inventory", envelope.event_type):
                by_consumer.setdefault(consumer.name, []).append(envelope)
        for name, envelopes in by_consumer.items():
            handle(
                get_consumer(name), [message_of(e, get_consumer(name)) for e in envelopes], NoWire()
            )
    return told


def told(*types):
    """The typed events of these types that were ever emitted, in order."""
    rows = OutboxEvent.objects.order_by("id")
    envelopes = [Envelope.model_validate_json(row.envelope) for row in rows]
    names = {kind.event_type for kind in types}
    return [event_class(e.event_type).read(e) for e in envelopes if e.event_type in names]


def statements(action):
    """How many statements it took; not counted is what is coalesced by time."""
    with CaptureQueriesContext(connection) as captured:
        action()
    return sum(not query["sql"].startswith("NOTIFY") for query in captured)


# --- what came of it ----------------------------------------------------------------------


def levels(sku):
    """{warehouse: (on hand, reserved)}"""
    rows = StockLevel.objects.filter(product__sku=sku).select_related("warehouse")
    return {row.warehouse.code: (row.on_hand, row.reserved) for row in rows}


def waiting():
    """[(order's external number, sku, units)], first in line first; numbers as in ``order()``."""
    numbers = {order(n): n for n in range(1000)}
    rows = Backorder.objects.order_by("placed_at", "pk").values_list(
        "allocation_id", "product__sku", "quantity"
    )
    return [(numbers[pk], sku, units) for pk, sku, units in rows]


def assert_nobody_waits_in_vain():
    """No backorder while stock is available, and the books balance."""
    assert list(selectors.books_off()) == []
    for sku in set(Backorder.objects.values_list("product__sku", flat=True)):
        assert all(on_hand == reserved for on_hand, reserved in levels(sku).values()), sku


def at_once(*actions):
    """Run all at the same time, each in a thread with a connection of its own."""
    start = threading.Barrier(len(actions))
    failures = []

    def run(action):
        try:
            start.wait(30)
            action()
        except BaseException as failure:  # noqa: BLE001 - all are shown by the test
            failures.append(failure)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[action]) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "they wait for each other"
    assert failures == []


def _ask(question):
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()[0]


def _deadlocks():
    """A connection's figures are complete only when it has ended."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    eventually(lambda: _ask(f"SELECT count(*) = 0 {others}"))
    return _ask("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


@pytest.fixture
def deadlocks(transactional_db):
    """How many deadlocks PostgreSQL has had to break since; handling would hide them."""
    before = _deadlocks()
    return lambda: _deadlocks() - before
