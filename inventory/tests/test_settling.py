"""What becomes of reserved stock: released, committed, returned, each once."""

import pytest

from inventory.events import (
    BackorderFilled,
    StockCommitted,
    StockReleased,
    StockReserved,
    StockReturned,
)
from inventory.models import Reservation, StockMovement
from inventory.selectors import books_off
from supplychain.events.context import new_id
from supplychain.events.models import InboxEntry, OutboxEvent

from .conftest import (
    consume,
    dispatched,
    follow,
    levels,
    placed,
    receive,
    returned,
    shipment_cancelled,
    statements,
    stocked,
    told,
    waiting,
)

pytestmark = pytest.mark.django_db(transaction=True)


class Wire:
    def __init__(self):
        self.sent = []

    def publish(self, messages):
        self.sent += messages
        return {}

    def close(self):
        pass


def reserved(number, **units):
    """An order reserved as one shipment; gives the shipment's id."""
    consume(placed(number, **units))
    return told(StockReserved)[-1].shipments[0].shipment_id


def ledger(reason):
    rows = StockMovement.objects.filter(reason=reason).order_by("pk")
    return [(str(row.level), row.delta, row.reference) for row in rows]


def test_a_shipment_that_never_leaves_gives_its_stock_back():
    stocked(A={"york": 5}, B={"york": 5})
    shipment = reserved(1, A=4, B=1)
    sent = shipment_cancelled(shipment, 1)
    consume(sent)
    assert (levels("A"), levels("B")) == ({"york": (5, 0)}, {"york": (5, 0)})
    assert set(Reservation.objects.values_list("state", flat=True)) == {"released"}
    [event] = told(StockReleased)
    assert (event.shipment_id, event.warehouse, event.skus) == (shipment, "york", {"A", "B"})
    assert (event.envelope.causation_id, event.envelope.sequence) == (sent.event_id, 2)
    assert list(books_off()) == []


def test_released_stock_goes_to_those_who_wait():
    stocked(A={"york": 5})
    shipment = reserved(1, A=4)
    consume(placed(2, A=3))
    assert waiting() == [(2, "A", 2)]
    consume(shipment_cancelled(shipment, 1))
    follow()
    assert waiting() == []
    [filled], [released] = told(BackorderFilled), told(StockReleased)
    assert filled.envelope.causation_id == released.envelope.event_id
    assert levels("A") == {"york": (5, 3)}


def test_a_shipment_that_leaves_is_booked_out():
    stocked(A={"york": 5})
    shipment = reserved(1, A=4)
    consume(dispatched(shipment, 1))
    assert levels("A") == {"york": (1, 0)}
    assert ledger("dispatch") == [("A in york", -4, str(shipment))]
    assert told(StockCommitted)[0].lines[0].quantity == 4
    assert list(books_off()) == []


def test_a_shipment_that_comes_back_is_booked_in_and_given_to_those_who_wait():
    stocked(A={"york": 5})
    shipment = reserved(1, A=4)
    consume(placed(2, A=3))
    consume(dispatched(shipment, 1))
    consume(returned(shipment, 1))
    assert ledger("return") == [("A in york", 4, str(shipment))]
    assert Reservation.objects.get(shipment_id=shipment).state == "returned"
    assert len(told(StockReturned)) == 1
    follow()
    assert levels("A") == {"york": (5, 3)}
    assert waiting() == []
    assert list(books_off()) == []


def test_a_return_that_overtook_its_dispatch_is_tried_again():
    stocked(A={"york": 5})
    shipment = reserved(1, A=4)
    wire = Wire()
    outcome = consume(returned(shipment, 1), wire=wire)
    assert len(outcome.retried) == len(wire.sent) == 1
    assert levels("A") == {"york": (5, 4)}


@pytest.mark.parametrize("kind", [shipment_cancelled, dispatched, returned])
def test_a_shipment_that_is_not_known_is_tried_again(kind):
    outcome = consume(kind(new_id(), 1), wire=Wire())
    assert outcome.retried[0].startswith("UnknownShipment: No reservation for ")


def test_what_was_settled_is_not_settled_otherwise():
    stocked(A={"york": 5})
    first, second = reserved(1, A=1), reserved(2, A=1)
    consume(dispatched(first, 1))
    consume(shipment_cancelled(first, 1))
    consume(shipment_cancelled(second, 2))
    consume(dispatched(second, 2))
    consume(returned(second, 2))
    assert levels("A") == {"york": (4, 0)}
    states = dict(Reservation.objects.values_list("shipment_id", "state"))
    assert states == {first: "committed", second: "released"}


@pytest.mark.parametrize("forgotten", [False, True], ids=["inbox", "inbox trimmed"])
def test_delivered_twice_is_settled_once(forgotten):
    stocked(A={"york": 9})
    gone, kept = reserved(1, A=2), reserved(2, A=3)
    steps = [dispatched(gone, 1), returned(gone, 1), shipment_cancelled(kept, 2)]
    for step in steps:
        consume(step)
    before = levels("A"), OutboxEvent.objects.count(), StockMovement.objects.count()
    if forgotten:
        InboxEntry.objects.all().delete()
    again = [consume(step) for step in steps]
    assert before == (levels("A"), OutboxEvent.objects.count(), StockMovement.objects.count())
    assert sum(outcome.duplicates for outcome in again) == (0 if forgotten else 3)
    assert levels("A") == {"york": (9, 0)}


def test_the_number_of_statements_does_not_grow_with_the_shipments():
    stocked(A={"york": 500})
    consume(*[placed(n, A=1) for n in range(111)])
    shipments = [event.shipments[0].shipment_id for event in told(StockReserved)]
    batches = [shipments[:1], shipments[1:11], shipments[11:]]
    counts = []
    for batch in batches:
        events = [dispatched(shipment, 1) for shipment in batch]
        counts.append(statements(lambda events=events: consume(*events)))
    assert counts[0] == counts[1] == counts[2] <= 20
    assert levels("A") == {"york": (389, 0)}


def test_goods_that_came_in_twice_do_not_fill_twice():
    stocked(A={"york": 0})
    consume(placed(1, A=4), placed(2, A=4))
    receive(reference="note 1", A=4)
    receive(reference="note 1", A=4)
    follow()
    assert waiting() == [(2, "A", 4)]
