"""E-mails: one connection, readable texts, failures that stay alone."""

import smtplib
import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import connections
from django.utils import timezone

from notifications import mails, sending
from notifications.messages import TEMPLATES
from notifications.models import DeliveryAttempt, Notification
from notifications.sending import send_due
from orders import events as told

from .conftest import GOODS, came_back, came_in, event, make_due, notify

pytestmark = pytest.mark.django_db(transaction=True)
FLAKY = f"{__name__}.Flaky"
PART = {"shipment_id": "01a210e1-36b1-735b-9fac-22de842dbfc4"}
WINDOW = {
    "window_from": "2026-05-06T01:00:00Z",
    "window_until": "2026-05-06T05:00:00Z",
    "time_zone": "America/Sao_Paulo",
}


class Flaky(EmailBackend):
    """A mail server with moods, counting its connections."""

    opened = 0
    away = False

    def open(self):
        type(self).opened += 1
        if self.away:
            raise ConnectionRefusedError("no mail server here")
        return True

    def send_messages(self, messages):
        if "bad@" in messages[0].to[0]:
            raise smtplib.SMTPRecipientsRefused({messages[0].to[0]: (550, b"no such user")})
        return super().send_messages(messages)


@pytest.fixture
def flaky(settings, monkeypatch):
    settings.EMAIL_BACKEND = FLAKY
    monkeypatch.setattr(Flaky, "opened", 0)
    monkeypatch.setattr(Flaky, "away", False)


def test_a_customer_reads_what_became_of_the_order():
    notify([event(told.OrderPlaced), event(told.OrderPlanned, eta="2026-05-06T23:00:00Z")])
    assert send_due() == 2
    placed, planned = mail.outbox
    assert (placed.subject, placed.to) == ("We have your order W-1", ["ada@example.org"])
    assert "Dear Ada O'Neill," in placed.body
    assert "Your delivery comes on Wednesday 6 May 2026." in planned.body
    row = Notification.objects.get(event_type="orders.order_placed")
    assert placed.extra_headers["Message-ID"] == f"<{row.pk}@localhost>"
    assert (row.state, row.attempts_made, row.claimed_until) == ("sent", 1, None)
    assert row.attempts.get().ok
    assert send_due() == 0


def test_every_event_that_is_mailed_has_a_text():
    reasons = {"reason": "because"}
    lines = [{"sku": "A", "quantity": 1, "total": 1}]
    kinds: dict[type[told.OrderEvent], dict[str, Any]] = {
        told.OrderConfirmed: {"confirmed_at": "2026-05-04T12:00:00Z"},
        told.OrderLinesCancelled: {"lines": lines, **reasons},
        told.OrderLinesKept: {"lines": lines, **reasons},
        told.OrderPartiallyReserved: {"quantity": 3, "reserved": 1},
        told.OrderBackordered: {"quantity": 3},
        told.OrderPromised: {**PART, **WINDOW},
        told.OrderPlanned: {},
        told.OrderEtaChanged: {**PART, "eta": "2026-05-06T10:00:00Z", "reason": "late"},
        told.OrderDelayed: {**PART, **reasons},
        told.OrderDispatched: {},
        told.OrderDelivered: {},
        told.OrderDeliveryFailed: reasons,
        told.OrderReturned: {},
        told.OrderCancelled: reasons,
        told.OrderRejected: reasons,
    }
    notify([event(told.OrderPlaced), *(event(kind, **data) for kind, data in kinds.items())])
    notify([came_in(), came_back()], GOODS)
    send_due()
    assert set(Notification.objects.values_list("event_type", flat=True)) == {
        kind.event_type for kind in TEMPLATES
    }
    assert len({message.subject for message in mail.outbox}) == len(TEMPLATES) == 18
    assert not any("{" in f"{message.subject} {message.body}" for message in mail.outbox)


def said(*envelopes, consumer="notifications.notify"):
    """What the customer reads of events of an order that is known."""
    notify([event(told.OrderPlaced)])
    send_due()
    mail.outbox.clear()
    notify(envelopes, consumer)
    send_due()
    return [message.body.split("\n\n")[1] for message in mail.outbox]


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        (told.OrderCancelled, {"reason": ""}, "Your order was cancelled."),
        (
            told.OrderCancelled,
            {"reason": "not confirmed by 2026-05-04 12:00:00 UTC"},
            "Your order was cancelled: not confirmed by 2026-05-04 12:00:00 UTC.",
        ),
        (
            told.OrderLinesCancelled,
            {
                "lines": [
                    {"sku": "A", "quantity": 2, "total": 5},
                    {"sku": "B", "quantity": 1, "total": 1},
                ],
                "reason": "changed my mind.",
            },
            "This is no longer part of your order: 2 × A, 1 × B.",
        ),
        (
            told.OrderLinesKept,
            {"lines": [{"sku": "A", "quantity": 2, "total": 2}], "reason": "It is dispatched."},
            "It was too late to take this out of your order, it had left us: 2 × A.",
        ),
        (told.OrderRejected, {"reason": "{name}"}, "We can't fulfil your order: {name}."),
    ],
)
def test_a_customer_reads_why_and_what(kind, data, text):
    assert said(event(kind, **data)) == [text]


NIGHT = {**WINDOW, "time_zone": "Asia/Tokyo"}


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        (
            told.OrderPromised,
            {**PART, **NIGHT},
            "Your order comes on Wednesday 6 May 2026 between 10:00 and 14:00.",
        ),
        (
            told.OrderPromised,
            {**PART, **WINDOW, "partial": True},
            "A part of your order comes between Tuesday 5 May 2026 22:00 and "
            "Wednesday 6 May 2026 02:00.",
        ),
        (
            told.OrderPlanned,
            {"eta": "2026-05-06T23:00:00Z", "time_zone": "Asia/Tokyo"},
            "Your delivery comes on Thursday 7 May 2026.",
        ),
        (
            told.OrderPlanned,
            {"eta": "2026-05-06T02:00:00Z", **NIGHT},
            "Your delivery comes on Wednesday 6 May 2026 between 10:00 and 14:00.",
        ),
        (told.OrderPlanned, {}, "Your delivery comes on one of the next days."),
        (
            told.OrderPlanned,
            {"eta": "2026-05-06T23:00:00Z", "time_zone": "Mars/Olympus"},
            "Your delivery comes on Wednesday 6 May 2026.",
        ),
        (
            told.OrderEtaChanged,
            {**PART, "eta": "2026-05-06T02:00:00Z", "told_before": None, "time_zone": "Asia/Tokyo"}
            | {"reason": "late"},
            "Your order now comes on Wednesday 6 May 2026 around 11:00.",
        ),
        (
            told.OrderEtaChanged,
            {**PART, "eta": "2026-05-06T02:00:00Z", **NIGHT, "partial": True, "reason": "late"},
            "A part of your order now comes on Wednesday 6 May 2026 between 10:00 and 14:00.",
        ),
        (
            told.OrderDelayed,
            {**PART, "reason": "its route was never dispatched"},
            "Your order comes later than it should, and we are sorry. "
            "We write again as soon as we know the new time.",
        ),
    ],
)
def test_a_customer_reads_when_by_the_clocks_of_the_depot(kind, data, text):
    assert said(event(kind, **data)) == [text]


def test_a_customer_reads_what_came_in_and_what_came_back():
    assert said(
        came_in(outstanding=[("B", 2)]),
        came_in(),
        came_back(1, ("A", 1, "restock"), ("A", 2, "scrap"), ("B", 1, "quarantine")),
        consumer=GOODS,
    ) == [
        "What you waited for is here: 3 × A, 4 × B. We still wait for 2 × B.",
        "What you waited for is here: 3 × A, 4 × B. Your order is complete.",
        "We have received from you: 3 × A, 1 × B.",
    ]


def test_of_very_many_products_the_first_are_named():
    lines = [{"sku": f"P{n}", "quantity": 1, "total": 1} for n in range(25)]
    [text] = said(event(told.OrderLinesCancelled, lines=lines, reason=""))
    assert text.endswith("1 × P18, 1 × P19, 5 more products.")


def test_an_order_number_can_not_write_headers():
    notify([event(told.OrderPlaced, external_id="W\r\nBcc: all@example.org")])
    send_due()
    assert mail.outbox[0].subject == "We have your order W Bcc: all@example.org"
    assert mail.outbox[0].recipients() == ["ada@example.org"]


def test_one_that_fails_keeps_no_other_back(flaky):
    sent = [
        event(told.OrderPlaced, n, email="bad@x.org" if n == 3 else "a@x.org") for n in range(6)
    ]
    notify(sent)
    assert send_due() == 6
    assert len(mail.outbox) == 5
    assert Flaky.opened == 2  # one for all, and one after the failure
    failed = Notification.objects.get(state="pending")
    attempt = failed.attempts.get()
    assert (attempt.ok, attempt.number) == (False, 1)
    assert "no such user" in attempt.error
    assert timedelta(seconds=7) < failed.due_at - attempt.ended_at <= timedelta(seconds=15)


def test_a_mail_server_that_is_away_costs_no_attempts(flaky, monkeypatch, caplog):
    notify([event(told.OrderPlaced, n) for n in range(3)])
    monkeypatch.setattr(Flaky, "away", True)
    assert send_due() == 0
    assert not DeliveryAttempt.objects.exists()
    assert Notification.objects.filter(due_at__gt=timezone.now(), attempts_made=0).count() == 3
    assert "can't be reached" in caplog.text
    monkeypatch.setattr(Flaky, "away", False)
    make_due()
    assert send_due() == 3


def test_what_overtook_its_order_is_sent_when_the_order_is_known():
    notify([event(told.OrderDispatched, sequence=2)])
    assert send_due() == 1
    assert "not known yet" in DeliveryAttempt.objects.get().error
    notify([event(told.OrderPlaced)])
    make_due()
    send_due()
    assert sorted(m.subject for m in mail.outbox) == [
        "We have your order W-1",
        "Your order W-1 is on its way",
    ]


def test_it_is_given_up_loudly_after_eight_attempts_with_growing_pauses(flaky, caplog):
    notify([event(told.OrderPlaced, email="bad@x.org")])
    pauses = []
    for _ in range(8):
        send_due()
        row = Notification.objects.get()
        pauses.append((row.due_at - timezone.now()).total_seconds())
        make_due()
    assert row.state == "failed"
    assert [a.number for a in row.attempts.all()] == list(range(1, 9))
    assert "given up after 8 attempts" in caplog.text
    assert all(15 * 2**n / 2 - 1 < p <= 15 * 2**n for n, p in enumerate(pauses[:7]))
    assert send_due() == 0


def test_a_sender_that_died_is_succeeded_with_the_same_message_id(monkeypatch):
    notify([event(told.OrderPlaced)])

    def die(*args):
        raise SystemExit

    monkeypatch.setattr(sending, "_record", die)
    with pytest.raises(SystemExit):
        send_due()
    monkeypatch.undo()
    assert send_due() == 0  # the dead one's claim still holds
    Notification.objects.update(claimed_until=timezone.now())
    assert send_due() == 1
    first, second = (m.extra_headers["Message-ID"] for m in mail.outbox)
    assert first == second
    assert Notification.objects.get().state == "sent"


def test_a_sender_that_lost_its_claim_writes_nothing(monkeypatch, caplog):
    notify([event(told.OrderPlaced)])
    send = mails.Mailer.send

    def slowly(self, rows):
        later = timezone.now() + timedelta(seconds=99)
        Notification.objects.update(claimed_until=later)  # another sender has it now
        send(self, rows)

    monkeypatch.setattr(mails.Mailer, "send", slowly)
    send_due()
    row = Notification.objects.get()
    assert (row.state, row.attempts.count()) == ("pending", 0)
    assert "may be sent twice" in caplog.text


def test_what_time_did_not_allow_is_given_back(monkeypatch):
    notify([event(told.OrderPlaced, n) for n in range(5)])
    rows = sending._claim(200)
    assert sending._send(rows, deadline=0.0) == 0
    assert send_due() == 5


def test_senders_at_once_send_each_once():
    notify([event(told.OrderPlaced, n) for n in range(60)])
    start = threading.Barrier(3)

    def work():
        start.wait()
        send_due(limit=7)
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = Counter(message.extra_headers["Message-ID"] for message in mail.outbox)
    assert (len(ids), set(ids.values())) == (60, {1})
    assert DeliveryAttempt.objects.filter(ok=True, number=1).count() == 60
