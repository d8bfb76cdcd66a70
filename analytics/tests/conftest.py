from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from orders import events as told
from routing.events import StopDelivered
from supplychain.events.consumers import get_consumer
from supplychain.events.context import new_id
from supplychain.events.envelope import Envelope
from supplychain.events.handling import handle
from supplychain.events.testing import message_of

CONSUMER = "analytics.measure"
START = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
_PLACED = {
    "customer": {"name": "Ada", "email": "ada@example.org"},
    "ship_to": {
        "address": "1 Mill Lane",
        "city": "York",
        "postal_code": "YO1",
        "country": "GB",
        "latitude": 53.96,
        "longitude": -1.08,
    },
    "lines": [
        {"sku": "A", "quantity": 3, "unit_price": "1.00"},
        {"sku": "B", "quantity": 2, "unit_price": "1.00"},
    ],
    "currency": "GBP",
    "total": "5.00",
    "placed_at": START.isoformat(),
}


class NoWire:
    """Nothing here may fail, so nothing may be sent on."""

    def publish(self, messages):
        raise AssertionError(f"{len(messages)} events failed: {messages[0].headers}")

    def close(self):
        pass


def order(number) -> UUID:
    return uuid5(UUID(int=0), f"order {number}")


def event(kind, number, sequence, *, after=0.0, channel="web", **data) -> Envelope:
    """One order's event, ``after`` seconds past START."""
    if kind is told.OrderPlaced:
        data = {**_PLACED, **data}
    own = {"order_id": str(order(number)), "channel": channel, "external_id": f"x{number}"}
    return Envelope(
        event_id=new_id(),
        event_type=kind.event_type,
        event_version=1,
        timestamp=START + timedelta(seconds=after),
        producer="orders",
        subject=f"order/{order(number)}",
        sequence=sequence,
        correlation_id=f"journey {number}",
        data={**own, **data},
    )


def measure(envelopes):
    """Hand events to the consumer as its worker would, in one batch."""
    consumer = get_consumer(CONSUMER)
    assert consumer is not None
    return handle(consumer, [message_of(e, consumer) for e in envelopes], NoWire())


def part(number, letter="a") -> UUID:
    return uuid5(UUID(int=0), f"part {letter} of {number}")


PART = {"shipment_id": "01a210e1-36b1-735b-9fac-22de842dbfc4"}


def promised(number=1, sequence=20, *, after=5.0, opens=0.0, until=60.0, of="a", channel="web"):
    """A window that opens and ends so many seconds after the start."""
    window = {"window_from": opens, "window_until": until}
    said = {name: (START + timedelta(seconds=s)).isoformat() for name, s in window.items()}
    said["shipment_id"] = str(part(number, of))
    return event(told.OrderPromised, number, sequence, after=after, channel=channel, **said)


def handed_over(number=1, *, after, of="a"):
    """Told a while later, as a phone without network does."""
    return Envelope(
        event_id=new_id(),
        event_type=StopDelivered.event_type,
        event_version=1,
        timestamp=START + timedelta(seconds=after + 600),
        producer="routing",
        subject=f"shipment/{part(number, of)}",
        sequence=4,
        correlation_id=f"journey {number}",
        data={
            "shipment_id": str(part(number, of)),
            "order_id": str(order(number)),
            "route_id": str(new_id()),
            "delivered_at": (START + timedelta(seconds=after)).isoformat(),
        },
    )


def retimed(number=1, sequence=21, *, after=35.0, **data):
    said = {"eta": START.isoformat(), "reason": "the vehicle is late", **data}
    return event(told.OrderEtaChanged, number, sequence, after=after, **PART, **said)


def delayed(number=1, sequence=22, *, after=35.0):
    return event(told.OrderDelayed, number, sequence, after=after, **PART, reason="no vehicle")


def journey(number=1, *, channel="web", step=10.0, first=3):
    """Placed, partly reserved, reserved, planned, dispatched, delivered: ``step`` s apart."""
    steps = [
        (told.OrderPlaced, {}),
        (told.OrderPartiallyReserved, {"quantity": 5, "reserved": first}),
        (told.OrderReserved, {"quantity": 5, "reserved": 5}),
        (told.OrderPlanned, {}),
        (told.OrderDispatched, {}),
        (told.OrderDelivered, {}),
    ]
    return [
        event(kind, number, n + 1, after=n * step, channel=channel, **data)
        for n, (kind, data) in enumerate(steps)
    ]
