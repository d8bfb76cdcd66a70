import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid5

import pytest
from django.utils import timezone

from notifications import services
from notifications.models import Notification, WebhookEndpoint
from orders import events as told
from supplychain.events.consumers import get_consumer
from supplychain.events.context import new_id
from supplychain.events.envelope import Envelope
from supplychain.events.handling import handle
from supplychain.events.testing import message_of

CONSUMER = "notifications.notify"
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


def notify(envelopes):
    """Hand events to the consumer as its worker would, in one batch."""
    consumer = get_consumer(CONSUMER)
    assert consumer is not None
    return handle(consumer, [message_of(e, consumer) for e in envelopes], NoWire())


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
