"""The consumer: who is to be told of what."""

import json

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from notifications.models import Notification, Recipient, WebhookEndpoint
from orders import events as told
from supplychain.events.base import event_classes
from supplychain.events.consumers import get_consumer
from supplychain.events.models import InboxEntry

from .conftest import GOODS, NOON, came_back, came_in, endpoint, event, notify, order

pytestmark = pytest.mark.django_db(transaction=True)
URL = "https://shop.example/hook"
PART = {"shipment_id": "01a210e1-36b1-735b-9fac-22de842dbfc4"}
LINES = [{"sku": "A", "quantity": 1, "total": 1}]


class Kept:
    """A wire that keeps what failed and would be sent on."""

    def __init__(self):
        self.sent = []

    def publish(self, messages):
        self.sent += messages
        return {}

    def close(self):
        pass


def queued():
    return sorted(Notification.objects.values_list("kind", "event_type"))


def test_placing_an_order_keeps_its_recipient_and_queues_an_e_mail():
    notify([event(told.OrderPlaced)])
    person = Recipient.objects.get(pk=order(1))
    assert (person.external_id, person.channel) == ("W-1", "web")
    assert (person.name, person.email) == ("Ada O'Neill", "ada@example.org")
    assert queued() == [("email", "orders.order_placed")]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (told.OrderPartiallyReserved, {"quantity": 3, "reserved": 1}),
        (told.OrderBackordered, {"quantity": 3}),
        (told.OrderPlanned, {}),
        (told.OrderPromised, {**PART, "window_from": str(NOON), "window_until": str(NOON)}),
        (told.OrderEtaChanged, {**PART, "eta": str(NOON), "reason": "late"}),
        (told.OrderDelayed, {**PART, "reason": "late"}),
        (told.OrderDispatched, {}),
        (told.OrderDelivered, {}),
        (told.OrderDeliveryFailed, {"reason": "nobody in"}),
        (told.OrderReturned, {}),
        (told.OrderCancelled, {"reason": "changed my mind"}),
        (told.OrderRejected, {"reason": "no such thing"}),
        (told.OrderConfirmed, {"confirmed_at": NOON.isoformat()}),
        (told.OrderLinesCancelled, {"lines": LINES, "reason": ""}),
        (told.OrderLinesKept, {"lines": LINES, "reason": "has left"}),
    ],
)
def test_what_customers_care_about_is_mailed(kind, data):
    notify([event(kind, **data)])
    assert queued() == [("email", kind.event_type)]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (told.OrderReserved, {"quantity": 3, "reserved": 3}),
        (told.OrderUnplannable, {**PART, "reason": "no vehicle is free"}),
        (told.OrderPlanned, {"as_promised": True}),
        (told.OrderEtaChanged, {**PART, "eta": str(NOON), "reason": "x", "within_window": True}),
    ],
)
def test_what_customers_know_or_need_not_know_is_the_channels_business_alone(kind, data):
    endpoint(URL)
    notify([event(kind, **data)])
    assert queued() == [("webhook", kind.event_type)]


def test_webhooks_are_for_active_endpoints_of_the_orders_channel():
    mine, second = endpoint(URL), endpoint(URL + "2")
    endpoint(URL + "3", active=False)
    sent = event(told.OrderDispatched)
    notify([sent, event(told.OrderDispatched, 2, channel="elsewhere")])
    hooks = Notification.objects.filter(kind="webhook")
    assert {row.endpoint_id for row in hooks} == {mine.pk, second.pk}
    assert {row.event_id for row in hooks} == {sent.event_id}
    assert json.loads(hooks[0].payload)["data"]["external_id"] == "W-1"


def test_delivered_twice_is_queued_once():
    endpoint(URL)
    sent = [event(told.OrderPlaced), event(told.OrderPlanned, sequence=2)]
    notify(sent)
    outcome = notify(sent)
    assert (outcome.handled, outcome.duplicates) == (0, 2)
    InboxEntry.objects.all().delete()  # even then
    notify(sent)
    assert Notification.objects.count() == 4


def test_every_event_of_an_order_is_told_to_its_channel():
    """A new event of orders that nobody subscribes to is one that no channel hears of."""
    consumer = get_consumer("notifications.notify")
    assert consumer is not None
    of_orders = {kind for kind in event_classes() if issubclass(kind, told.OrderEvent)}
    assert set(consumer.event_types) == of_orders


# --- what inventory tells of an order -----------------------------------------------------


@pytest.mark.parametrize("made", [came_in, came_back])
def test_what_becomes_of_goods_is_told_to_the_customer_and_the_channel(made):
    mine = endpoint(URL)
    WebhookEndpoint.objects.create(channel="elsewhere", url=URL)
    notify([event(told.OrderPlaced), event(told.OrderPlaced, 2, channel="shop")])
    Notification.objects.all().delete()
    sent = [made(1), made(2)]
    notify(sent, GOODS)
    kind = sent[0].event_type
    assert queued() == [("email", kind), ("email", kind), ("webhook", kind)]
    hook = Notification.objects.get(kind="webhook")
    assert (hook.endpoint, hook.order_id) == (mine, order(1))
    assert json.loads(hook.payload)["data"]["order_id"] == str(order(1))


@pytest.mark.parametrize("made", [came_in, came_back])
def test_what_becomes_of_goods_delivered_twice_is_queued_once(made):
    endpoint(URL)
    notify([event(told.OrderPlaced)])
    sent = [made(1)]
    notify(sent, GOODS)
    assert notify(sent, GOODS).duplicates == 1
    InboxEntry.objects.all().delete()  # even then
    notify(sent, GOODS)
    assert Notification.objects.filter(event_id=sent[0].event_id).count() == 2


def test_what_overtook_its_order_waits_until_whose_it_is_is_known():
    endpoint(URL)
    notify([event(told.OrderPlaced)])
    sent, wire = [came_back(1), came_back(2)], Kept()
    outcome = notify(sent, GOODS, wire)
    assert (outcome.handled, len(outcome.retried), len(wire.sent)) == (1, 1, 1)
    notify([event(told.OrderPlaced, 2)])
    assert notify(sent[1:], GOODS).handled == 1
    assert queued().count(("webhook", "inventory.goods_returned")) == 2


@pytest.mark.parametrize("kind", ["email", "webhook"])
def test_the_database_holds_each_message_once(kind):
    endpoint(URL)
    notify([event(told.OrderPlaced)])
    row = Notification.objects.get(kind=kind)
    row.pk = order(7)
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)


def test_a_hundred_events_take_as_many_statements_as_one():
    endpoint(URL)

    def statements(envelopes):
        with CaptureQueriesContext(connection) as captured:
            notify(envelopes)
        return len(captured)

    many = [event(told.OrderPlaced, n) for n in range(2, 102)]
    # Three, the inbox's one, and begin, commit, savepoint and its release.
    assert statements([event(told.OrderPlaced)]) == statements(many) == 8
