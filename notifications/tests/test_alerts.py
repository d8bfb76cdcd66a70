"""What the staff is told: who, in how many e-mails, and what they read."""

import pytest
from django.core import mail
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from notifications import services
from notifications.alerts import ALERTS
from notifications.models import Notification, StaffContact
from notifications.sending import send_due
from supplychain.events.consumers import get_consumer
from supplychain.events.models import InboxEntry

from .conftest import STAFF, alerted, contact, low, notify, order, proposed

pytestmark = pytest.mark.django_db(transaction=True)
MILL, QUARRY, ALL = "ada@mill.example", "bob@quarry.example", "eve@all.example"


def alert(*envelopes):
    return notify(envelopes, STAFF)


def told():
    return sorted(Notification.objects.values_list("to", flat=True))


@pytest.fixture
def everybody():
    contact(MILL, "mill")
    contact(QUARRY, "quarry")
    contact(ALL)
    contact("away@mill.example", "mill", active=False)


@pytest.mark.parametrize(
    ("made", "people"),
    [
        (low, [MILL, ALL]),
        (alerted, [MILL, ALL]),
        (proposed, [MILL, QUARRY, ALL]),
        (lambda: low(warehouse="moor"), [ALL]),
    ],
    ids=["low", "alerted", "proposed", "elsewhere"],
)
def test_those_are_told_whose_warehouse_it_is(everybody, made, people):
    alert(made())
    assert told() == sorted(people)


def test_every_kind_of_alert_is_heard():
    consumer = get_consumer(STAFF)
    assert consumer is not None
    assert set(consumer.event_types) == set(ALERTS)


def test_what_comes_together_comes_in_one_e_mail_that_says_it_all(everybody):
    alert(low("A"), proposed(A=3, B=1), low("B"), low("C", "quarry"), alerted())
    assert told() == [MILL, QUARRY, ALL]
    assert send_due() == 3
    [mine] = [message for message in mail.outbox if message.to == [MILL]]
    assert mine.subject == "Stock is low (2), Transfer proposed, A depot needs you"
    assert mine.body == (
        "Stock is low\n"
        "- mill: 2 × A available, fewer than the reorder point 5\n"
        "- mill: 2 × B available, fewer than the reorder point 5\n"
        "\nTransfer proposed\n"
        "- quarry → mill: 3 × A, 1 × B (balance)\n"
        "\nA depot needs you\n"
        "- mill: A vehicle is late.\n"
    )
    assert set(Notification.objects.values_list("state", "kind")) == {("sent", "staff")}


def test_a_transfer_proposed_without_a_reason_names_who_did():
    contact()
    alert(proposed(reason=""))
    send_due()
    assert "3 × A (ada)" in mail.outbox[0].body


def test_one_address_for_two_warehouses_gets_one_e_mail():
    contact(MILL, "mill")
    contact(MILL, "quarry")
    alert(proposed(), low())
    assert told() == [MILL]


def test_delivered_twice_is_told_once(everybody):
    sent = [low("A"), proposed(), alerted()]
    alert(*sent)
    assert alert(*sent).duplicates == 3
    InboxEntry.objects.all().delete()  # even then
    alert(*sent)
    assert told() == [MILL, QUARRY, ALL]


def test_the_database_holds_each_alert_once():
    contact()
    alert(low())
    row = Notification.objects.get()
    row.pk = order(7)
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)


def test_that_nobody_is_told_is_said(caplog):
    alert(low("A"), low("B"))
    assert not Notification.objects.exists()
    assert "Nobody of the staff is told of 2 alerts" in caplog.text


def test_a_contact_is_kept_once():
    for _ in range(2):
        services.keep_contact(name="Ada", email=MILL, warehouse="mill")
    services.keep_contact(name="Ada", email=MILL)
    assert sorted(StaffContact.objects.values_list("warehouse", flat=True)) == ["", "mill"]


def test_many_alerts_take_as_many_statements_as_one(everybody):
    def statements(envelopes):
        with CaptureQueriesContext(connection) as captured:
            alert(*envelopes)
        return len(captured)

    assert statements([low()]) == statements([low(f"P{n}") for n in range(80)])


@pytest.mark.filterwarnings("ignore:No directory at")  # nobody ran collectstatic
def test_the_admin_shows_alerts_and_keeps_contacts(admin_client):
    fields = {"name": "Ada", "email": MILL, "warehouse": "mill", "active": "on"}
    admin_client.post("/admin/notifications/staffcontact/add/", fields)
    alert(low())
    query = "?kind__exact=staff&event_type=inventory.stock_low"
    page = admin_client.get(f"/admin/notifications/notification/{query}")
    [row] = page.context["cl"].result_list
    assert row.to == MILL
    assert MILL in page.content.decode()
