import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid5

import pytest
from django.utils import timezone

from inventory.events import BackorderFilled, GoodsReturned, StockLow, TransferProposed
from notifications import services
from notifications.models import Notification, StaffContact, WebhookEndpoint
from orders import events as told
from routing.events import StaffAlerted
from supplychain.events.consumers import get_consumer
from supplychain.events.context import new_id
from supplychain.events.envelope import Envelope
from supplychain.events.handling import handle
from supplychain.events.testing import message_of

CONSUMER = "notifications.notify"
GOODS, STAFF = "notifications.notify_of_goods", "notifications.alert_staff"
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
_PLACED: dict[str, Any] = {
    "customer": {"name": "Ada O'Neill", "email": "ada@example.org"},
    "ship_to": {
        "address": "1 Mill Lane",
        "city": "York",
        "postal_code": "YO1",
        "country": "GB",
        "latitude": 53.96,
        "longitude": -1.08,
    },
    "lines": [{"sku": "A", "quantity": 3, "unit_price": "1.00"}],
    "currency": "GBP",
    "total": "3.00",
    "placed_at": NOON.isoformat(),
}


class NoWire:
    """Nothing here may fail, so nothing may be sent on."""

    def publish(self, messages):
        raise AssertionError(f"{len(messages)} events failed: {messages[0].headers}")

    def close(self):
        pass


def order(number) -> UUID:
    return uuid5(UUID(int=0), f"order {number}")


def event(kind, number=1, sequence=1, *, channel="web", email="ada@example.org", **data):
    if kind is told.OrderPlaced:
        data = {**_PLACED, "customer": {**_PLACED["customer"], "email": email}, **data}
    own = {"order_id": str(order(number)), "channel": channel, "external_id": f"W-{number}"}
    return Envelope(
        event_id=new_id(),
        event_type=kind.event_type,
        event_version=1,
        timestamp=timezone.now(),
        producer="orders",
        subject=f"order/{order(number)}",
        sequence=sequence,
        correlation_id=f"journey {number}",
        data={**own, **data},
    )


def elsewhere(kind, subject, /, **data):
    """An event of another domain than orders."""
    return Envelope(
        event_id=new_id(),
        event_type=kind.event_type,
        event_version=1,
        timestamp=timezone.now(),
        producer=kind.producer,
        subject=subject,
        sequence=1,
        correlation_id="elsewhere",
        data=data,
    )


def came_back(number=1, *lines):
    """A customer's return: ``lines`` are of SKU, units, disposition."""
    return elsewhere(
        GoodsReturned,
        f"order/{order(number)}",
        order_id=str(order(number)),
        shipment_id=str(order("parcel")),
        warehouse="mill",
        reference="R 1",
        lines=[{"sku": s, "quantity": n, "disposition": d} for s, n, d in lines]
        or [{"sku": "A", "quantity": 1, "disposition": "restock"}],
    )


def came_in(number=1, *, outstanding=()):
    """A backorder that was filled, by two shipments; ``outstanding`` of SKU and units."""
    parcel = {"warehouse": "mill", "weight_kg": 1.0, "volume_m3": 0.1}
    lines = (
        [{"sku": "A", "quantity": 2}],
        [{"sku": "A", "quantity": 1}, {"sku": "B", "quantity": 4}],
    )
    return elsewhere(
        BackorderFilled,
        f"order/{order(number)}",
        order_id=str(order(number)),
        shipments=[
            {**parcel, "shipment_id": str(order(f"parcel {n}")), "lines": some}
            for n, some in enumerate(lines)
        ],
        outstanding=[{"sku": sku, "quantity": units} for sku, units in outstanding],
        ship_to={**_PLACED["ship_to"], "name": "Ada O'Neill"},
    )


def low(sku="A", warehouse="mill"):
    return elsewhere(
        StockLow,
        f"stock/{warehouse}/{sku}",
        warehouse=warehouse,
        sku=sku,
        available=2,
        reorder_point=5,
    )


def proposed(source="quarry", target="mill", reason="balance", **units):
    return elsewhere(
        TransferProposed,
        f"transfer/{order('transfer')}",
        transfer_id=str(order("transfer")),
        source=source,
        target=target,
        actor="ada",
        lines=[{"sku": sku, "quantity": n} for sku, n in (units or {"A": 3}).items()],
        reason=reason,
    )


def alerted(depot="mill"):
    return elsewhere(
        StaffAlerted,
        f"alert/{order('alert')}",
        alert_id=str(order("alert")),
        depot=depot,
        kind="late",
        about=str(order("route")),
        text="A vehicle is late.",
    )


def notify(envelopes, consumer=CONSUMER, wire=None):
    """Hand events to the consumer as its worker would, in one batch."""
    declared = get_consumer(consumer)
    assert declared is not None
    messages = [message_of(envelope, declared) for envelope in envelopes]
    return handle(declared, messages, wire or NoWire())


def contact(email="ada@mill.example", warehouse="", **fields):
    return StaffContact.objects.create(name="Ada", email=email, warehouse=warehouse, **fields)


def endpoint(url, **fields):
    made = WebhookEndpoint(channel="web", url=url, **fields)
    services.keep_endpoint(endpoint=made)
    return made


def make_due():
    """Let the pauses pass."""
    WebhookEndpoint.objects.update(paused_until=None)
    Notification.objects.filter(state="pending").update(due_at=timezone.now())


class Receiver:
    """A real HTTP server that keeps what it is sent and answers as it is told."""

    def __init__(self):
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.answer = lambda number: 204
        self.answer_headers: dict[str, str] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.calls.append((dict(self.headers), body))
                self.send_response(receiver.answer(len(receiver.calls)))
                for name, value in receiver.answer_headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def do_GET(self):
                raise AssertionError("a redirect was followed")

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    started = Receiver()
    yield started
    started.close()
