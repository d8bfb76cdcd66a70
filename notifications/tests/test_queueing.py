"""The consumer: who is to be told of what."""

import json

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from notifications.models import Notification, Recipient
from orders import events as told
from supplychain.events.models import InboxEntry

from .conftest import endpoint, event, notify, order

pytestmark = pytest.mark.django_db(transaction=True)
URL = "https://shop.example/hook"


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
        (told.OrderDispatched, {}),
        (told.OrderDelivered, {}),
        (told.OrderDeliveryFailed, {"reason": "nobody in"}),
        (told.OrderReturned, {}),
        (told.OrderCancelled, {"reason": "changed my mind"}),
        (told.OrderRejected, {"reason": "no such thing"}),
    ],
)
def test_what_customers_care_about_is_mailed(kind, data):
    notify([event(kind, **data)])
    assert queued() == [("email", kind.event_type)]


def test_being_reserved_is_the_channels_business_alone():
    endpoint(URL)
    notify([event(told.OrderReserved, quantity=3, reserved=3)])
    assert queued() == [("webhook", "orders.order_reserved")]


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
