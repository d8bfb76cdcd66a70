"""Webhooks, against a real HTTP server: signed, retried, and left alone when it is broken."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from notifications import sending, services, webhooks
from notifications.models import DeliveryAttempt, Notification, WebhookEndpoint
from notifications.sending import send_due
from orders import events as told

from .conftest import endpoint, event, make_due, notify

pytestmark = pytest.mark.django_db(transaction=True)


def reserved(number):
    """An event that is the channel's alone: no e-mail."""
    return event(told.OrderReserved, number, quantity=1, reserved=1)


def states():
    return Counter(Notification.objects.values_list("state", flat=True))


def test_the_call_is_signed_as_standard_webhooks_says(receiver):
    target = endpoint(receiver.url)
    sent = reserved(1)
    notify([sent])
    assert send_due() == 1
    ((headers, body),) = receiver.calls
    headers = {name.lower(): value for name, value in headers.items()}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(target.secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 30
    assert headers["webhook-id"] == str(Notification.objects.get().pk)
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == json.loads(sent.to_json())
    assert states() == {"sent": 1}


def test_the_signature_is_that_of_the_published_example():
    # github.com/standard-webhooks/standard-webhooks, spec, "Signature scheme"
    given = webhooks.sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        b'{"test": 2432232314}',
    )
    assert given == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_failed_call_is_tried_again_under_the_same_id(receiver):
    receiver.answer = lambda number: 500 if number < 3 else 200
    endpoint(receiver.url)
    notify([reserved(1)])
    for _ in range(3):
        send_due()
        make_due()
    assert len({headers["webhook-id"] for headers, _ in receiver.calls}) == 1
    attempts = DeliveryAttempt.objects.order_by("number").values_list("number", "status_code", "ok")
    assert list(attempts) == [(1, 500, False), (2, 500, False), (3, 200, True)]
    assert WebhookEndpoint.objects.get().consecutive_failures == 0


def test_five_failures_in_a_row_open_the_circuit_and_the_rest_waits(receiver):
    receiver.answer = lambda number: 500
    endpoint(receiver.url)
    notify([reserved(n) for n in range(30)])
    assert send_due() == 5
    assert len(receiver.calls) == 5
    target = WebhookEndpoint.objects.get()
    assert target.paused_until is not None
    pause = target.paused_until - timezone.now()
    assert timedelta(seconds=20) < pause <= timedelta(seconds=30)
    assert "Paused after 5 failures: HTTP 500" in target.note
    assert Notification.objects.filter(attempts_made=0).count() == 25
    assert not Notification.objects.filter(due_at__lt=target.paused_until).exists()
    notify([reserved(99)])  # what comes now waits as well
    assert send_due() == 0


def test_when_the_circuit_opens_all_that_waits_is_put_off_at_once(receiver):
    receiver.answer = lambda number: 500
    endpoint(receiver.url)
    notify([reserved(n) for n in range(30)])
    sending._send(sending._claim(6), time.monotonic() + 4)
    assert not Notification.objects.filter(due_at__lte=timezone.now()).exists()


def test_after_the_pause_one_call_probes_and_the_next_pause_is_longer(receiver):
    receiver.answer = lambda number: 500
    endpoint(receiver.url)
    notify([reserved(n) for n in range(10)])
    send_due()
    make_due()
    assert send_due() == 1
    target = WebhookEndpoint.objects.get()
    assert target.paused_until is not None
    pause = target.paused_until - timezone.now()
    assert timedelta(seconds=50) < pause <= timedelta(seconds=60)
    receiver.answer = lambda number: 204
    make_due()
    assert send_due() == 10
    assert states() == {"sent": 10}
    target = WebhookEndpoint.objects.get()
    assert (target.consecutive_failures, target.paused_until, target.note) == (0, None, "")


def test_a_broken_endpoint_holds_up_no_other(receiver, monkeypatch):
    monkeypatch.setattr(webhooks, "TIMEOUT", 0.5)
    endpoint(receiver.url)
    endpoint("http://127.0.0.1:1/nobody-listens")
    broken = endpoint(receiver.url)
    WebhookEndpoint.objects.filter(pk=broken.pk).update(secret="no secret at all")
    notify([reserved(n) for n in range(3)])
    assert send_due() == 9
    assert len(receiver.calls) == 3
    assert states() == {"sent": 3, "pending": 6}
    errors = " ".join(DeliveryAttempt.objects.values_list("error", flat=True))
    assert "ConnectionError" in errors and "whsec_" in errors


def test_an_endpoint_that_hangs_costs_a_round_no_more_than_its_time(receiver, monkeypatch):
    monkeypatch.setattr(webhooks, "TIMEOUT", 0.5)
    wake = threading.Event()
    receiver.answer = lambda number: wake.wait(5) and 204
    endpoint(receiver.url)
    notify([reserved(n) for n in range(20)])
    started = time.monotonic()
    send_due(seconds=0.3)
    wake.set()
    assert time.monotonic() - started < 2
    assert DeliveryAttempt.objects.filter(ok=False).count() == 1
    assert Notification.objects.filter(claimed_until=None).count() == 20


def test_gone_disables_the_endpoint_and_nothing_more_is_sent_there(receiver):
    receiver.answer = lambda number: 410
    endpoint(receiver.url)
    notify([reserved(n) for n in range(4)])
    send_due()
    assert len(receiver.calls) == 1
    assert states() == {"failed": 4}
    target = WebhookEndpoint.objects.get()
    assert not target.active
    assert "410" in target.note
    notify([reserved(9)])
    assert Notification.objects.count() == 4


def test_a_redirect_is_not_followed_and_is_a_failure(receiver):
    receiver.answer = lambda number: 302
    receiver.answer_headers = {"location": receiver.url}
    endpoint(receiver.url)
    notify([reserved(1)])
    send_due()
    assert len(receiver.calls) == 1
    assert DeliveryAttempt.objects.get().error.startswith("HTTP 302")


def test_senders_at_once_call_each_once(receiver):
    endpoint(receiver.url)
    notify([reserved(n) for n in range(40)])
    start = threading.Barrier(3)

    def work():
        start.wait()
        send_due(limit=5)
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = Counter(headers["webhook-id"] for headers, _ in receiver.calls)
    assert (len(ids), set(ids.values())) == (40, {1})
    assert states() == {"sent": 40}


def test_send_again_gives_a_full_number_of_attempts(receiver):
    receiver.answer = lambda number: 500
    endpoint(receiver.url)
    notify([reserved(1)])
    for _ in range(8):
        send_due()
        make_due()
    row = Notification.objects.get()
    assert row.state == "failed"
    assert services.send_again(notification_ids=[row.pk]) == 1
    for _ in range(8):
        send_due()
        make_due()
    row.refresh_from_db()
    assert (row.state, row.attempts.count()) == ("failed", 16)


def test_send_again_leaves_out_what_is_being_sent_or_disabled(receiver):
    target = endpoint(receiver.url)
    notify([reserved(1), reserved(2)])
    ids = list(Notification.objects.values_list("pk", flat=True))
    later = timezone.now() + timedelta(seconds=60)
    Notification.objects.filter(pk=ids[0]).update(claimed_until=later)
    assert services.send_again(notification_ids=ids) == 1
    target.active = False
    services.keep_endpoint(endpoint=target)
    assert services.send_again(notification_ids=ids) == 0
