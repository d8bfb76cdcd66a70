import copy
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from inventory import events as stock
from orders import services
from orders.models import CatalogueItem, Channel, Order, OrderLine, StatusChange
from orders.serializers import OrderIn
from routing import events as road
from supplychain.events.consumers import get_consumer
from supplychain.events.context import new_id
from supplychain.events.envelope import Envelope
from supplychain.events.handling import handle
from supplychain.events.models import OutboxEvent
from supplychain.events.testing import message_of

URL = "/api/v1/orders/"
BULK = URL + "bulk/"
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
_BODY: dict[str, Any] = {
    "external_id": "W-1",
    "customer": {"name": "Ada O'Neill", "email": "ada@example.org", "phone": "+44 1904"},
    "ship_to": {
        "address": "1 Mill Lane",
        "city": "York",
        "region": "Yorkshire",
        "postal_code": "YO1",
        "country": "GB",
        "latitude": 53.96,
        "longitude": -1.08,
    },
    "lines": [
        {"sku": "A", "quantity": 3, "unit_price": "1.50"},
        {"sku": "B", "quantity": 1, "unit_price": "10.00"},
    ],
    "currency": "GBP",
}


def body(**fields):
    """A good order body of 4 units; ``lines__0__quantity=5`` changes what lies deeper."""
    made = copy.deepcopy(_BODY)
    for path, value in fields.items():
        holder, last = _find(made, path)
        holder[last] = value
    return made


def without(path):
    """A good body that lacks one field."""
    made = copy.deepcopy(_BODY)
    holder, last = _find(made, path)
    del holder[last]
    return made


def _find(made: Any, path: str) -> tuple[Any, Any]:
    *parents, last = [int(key) if key.isdigit() else key for key in path.split("__")]
    for key in parents:
        made = made[key]
    return made, last


def shop(code="web"):
    """A channel; gives its row and a client with its credential."""
    token = services.create_channel(code=code)
    return Channel.objects.get(code=code), client_with(token)


def client_with(token):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


def client_of(user):
    return client_with(Token.objects.get_or_create(user=user)[0].key)


def stocked(*skus, active=True):
    for sku in skus:
        CatalogueItem.objects.create(sku=sku, name=f"Product {sku}", active=active, sequence=1)


def place(channel, **fields):
    """An order, placed as the API places it."""
    checked = OrderIn(data=body(**fields), context={"orderable": {"A", "B"}})
    checked.is_valid(raise_exception=True)
    placed = services.place_order(
        channel=channel, body=checked.validated_data, correlation_id=f"journey {new_id()}"
    )
    return placed.order


def rows():
    """How many rows there are of all that an order leaves."""
    return [m.objects.count() for m in (Order, OrderLine, StatusChange, OutboxEvent)]


def told(order_id, producer="orders"):
    """The events of an order, oldest first."""
    found = OutboxEvent.objects.filter(subject=f"order/{order_id}", producer=producer)
    return [Envelope.model_validate_json(row.envelope) for row in found.order_by("id")]


def names(order_id):
    return [envelope.event_type.removeprefix("orders.order_") for envelope in told(order_id)]


def statements(action):
    """How many SQL statements it takes; without NOTIFY, which is sent by the clock."""
    with CaptureQueriesContext(connection) as captured:
        action()
    return sum(not query["sql"].startswith("NOTIFY") for query in captured)


# --- what inventory and routing tell ------------------------------------------------------


def parcel(order, number=1) -> UUID:
    return uuid5(order.pk, f"shipment {number}")


def event(kind, *, subject, sequence=1, correlation_id="elsewhere", **data):
    return Envelope(
        event_id=new_id(),
        event_type=kind.event_type,
        event_version=1,
        timestamp=timezone.now(),
        producer=kind.producer,
        subject=subject,
        sequence=sequence,
        correlation_id=correlation_id,
        data=data,
    )


def allocation(kind, order, parcels, *, short=0, sequence=1):
    """Inventory's news: ``parcels`` maps a shipment's number to its units."""
    shipments = [
        {
            "shipment_id": str(parcel(order, number)),
            "warehouse": f"W{number}",
            "lines": [{"sku": "A", "quantity": units}],
            "weight_kg": 1.0,
            "volume_m3": 0.1,
        }
        for number, units in parcels.items()
    ]
    return event(
        kind,
        subject=f"order/{order.pk}",
        sequence=sequence,
        order_id=str(order.pk),
        shipments=shipments,
        outstanding=[{"sku": "A", "quantity": short}] if short else [],
        ship_to={**_BODY["ship_to"], "name": "Ada O'Neill"},
    )


def reserved(order, parcels, *, short=0):
    return allocation(stock.StockReserved, order, parcels, short=short)


def filled(order, parcels, *, short=0, sequence=2):
    return allocation(stock.BackorderFilled, order, parcels, short=short, sequence=sequence)


def short(order):
    return event(
        stock.StockShort,
        subject=f"order/{order.pk}",
        order_id=str(order.pk),
        outstanding=[{"sku": "A", "quantity": order.quantity}],
    )


def refused(order, reason="heavier than any vehicle"):
    return event(
        stock.AllocationRejected,
        subject=f"order/{order.pk}",
        order_id=str(order.pk),
        reason=reason,
    )


_ROUTE = str(new_id())
_WINDOW = {
    "window_from": (NOON - timedelta(hours=2)).isoformat(),
    "window_until": (NOON + timedelta(hours=2)).isoformat(),
    "time_zone": "America/Sao_Paulo",
}
_ROAD: dict[str, tuple[type[road.ShipmentEvent], dict[str, Any]]] = {
    "promised": (
        road.ShipmentPromised,
        {"depot": "W1", "day": "2026-05-04", "eta": NOON.isoformat(), **_WINDOW},
    ),
    "late": (
        road.EtaChanged,
        {
            "route_id": _ROUTE,
            "eta": (NOON + timedelta(hours=3)).isoformat(),
            "told_before": NOON.isoformat(),
            "reason": "the vehicle is late",
            "time_zone": "America/Sao_Paulo",
        },
    ),
    "delayed": (road.ShipmentDelayed, {"depot": "W1", "reason": "its route was never dispatched"}),
    "unplannable": (road.ShipmentUnplannable, {"depot": "W1", "reason": "no vehicle is free"}),
    "planned": (
        road.ShipmentPlanned,
        {
            "route_id": _ROUTE,
            "depot": "W1",
            "vehicle": "V",
            "position": 1,
            "eta": NOON.isoformat(),
        },
    ),
    "dispatched": (road.ShipmentDispatched, {"route_id": _ROUTE, "depot": "W1"}),
    "delivered": (road.StopDelivered, {"route_id": _ROUTE, "delivered_at": NOON.isoformat()}),
    "failed": (
        road.StopFailed,
        {"route_id": _ROUTE, "reason": "nobody in", "attempt": 1, "final": False},
    ),
    "returned": (road.ShipmentReturned, {"depot": "W1"}),
    "cancelled": (road.ShipmentCancelled, {}),
}


def drive(order, *steps, number=1, start=1):
    """Routing's news of one shipment, in the order in which they happened; a step may come as a
    pair with fields of its own."""
    envelopes = []
    for sequence, step in enumerate(steps, start=start):
        name, own = (step, {}) if isinstance(step, str) else step
        kind, data = _ROAD[name]
        data = {**data, **own}
        ids = {"order_id": str(order.pk), "shipment_id": str(parcel(order, number))}
        subject = f"shipment/{parcel(order, number)}"
        envelopes.append(event(kind, subject=subject, sequence=sequence, **ids, **data))
    return envelopes


def product(sku, sequence=1, *, active=True, name="Anvil"):
    return event(
        stock.ProductChanged,
        subject=f"product/{sku}",
        sequence=sequence,
        sku=sku,
        name=name,
        weight_kg=1.0,
        volume_m3=0.1,
        active=active,
    )


class Kept:
    """A wire that keeps what failed and would be sent on."""

    def __init__(self):
        self.sent = []

    def publish(self, messages):
        self.sent += messages
        return {}

    def close(self):
        pass


class NoWire(Kept):
    """Nothing here may fail, so nothing may be sent on."""

    def publish(self, messages):
        raise AssertionError(f"{len(messages)} events failed: {messages[0].headers}")


def consume(envelopes, consumer="orders.advance_orders", wire=None):
    """Hand events to a consumer as its worker would, in one batch."""
    declared = get_consumer(consumer)
    assert declared is not None
    messages = [message_of(envelope, declared) for envelope in envelopes]
    return handle(declared, messages, wire or NoWire())


# --- at once ------------------------------------------------------------------------------


def at_once(*actions):
    """Run each in a thread with its own database connection, all starting together."""
    start = threading.Barrier(len(actions), timeout=30)
    results: list[Any] = [None] * len(actions)

    def run(index, action):
        try:
            start.wait()
            results[index] = action()
        except Exception as failure:  # noqa: BLE001 - the test looks at it
            results[index] = failure
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


@pytest.fixture
def web(db):
    """The channel ``web`` and a catalogue of A and B."""
    stocked("A", "B")
    return shop()


@pytest.fixture
def client(web):
    return web[1]


@pytest.fixture
def channel(web):
    return web[0]


@pytest.fixture
def staff(django_user_model):
    return client_of(django_user_model.objects.create_user("clerk", is_staff=True))
