"""Promise: a message that is due is sent by one sender at a time, tried again with growing
pauses when that fails, and given up on loudly.

At least once: a sender that dies between sending and writing that down sends again when its
claim has run out. The message's id stays the same (Message-ID, webhook-id), so that a receiver
can tell. An endpoint that fails again and again is left alone for a while; its messages wait
and lose no attempts.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import requests
from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from supplychain.events.base import event_class

from .messages import write
from .models import DeliveryAttempt, Notification, Recipient, WebhookEndpoint

logger = logging.getLogger(__name__)

ATTEMPTS = 8
#: Seconds; the n-th pause is BASE * 2**n with jitter, at most CAP.
BASE, CAP = 5.0, 3600.0
CLAIM = timedelta(seconds=120)
WEBHOOK_TIMEOUT = 5.0
#: This many failures in a row open an endpoint's circuit.
BREAKER = 5
GONE = 410


@dataclass(frozen=True)
class Result:
    """How an attempt went; ``postponed`` is none: the endpoint's circuit is open."""

    ok: bool
    started_at: datetime
    error: str = ""
    status_code: int | None = None
    postponed: datetime | None = None


def send_due(*, limit: int = 200, seconds: float = 10.0) -> int:
    """Send what is due until nothing is, or the time is up; gives the number of attempts."""
    deadline, made = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        rows = _claim(limit)
        if not rows:
            break
        results = {**_send_mails(rows), **_call_webhooks(rows)}
        _record(rows, results)
        made += sum(1 for result in results.values() if not result.postponed)
    return made


def _claim(limit: int) -> list[Notification]:
    """Rows that no other sender has: the conditional UPDATE decides between two of them."""
    now = timezone.now()
    due = Notification.objects.filter(
        Q(claimed_until=None) | Q(claimed_until__lt=now),
        state=Notification.State.PENDING,
        due_at__lte=now,
    )
    wanted = list(due.order_by("due_at").values_list("pk", flat=True)[:limit])
    # A claim is told apart by its end, to the microsecond and a random bit more.
    until = now + CLAIM + timedelta(microseconds=random.randrange(1_000_000))  # noqa: S311
    due.filter(pk__in=wanted).update(claimed_until=until)
    mine = Notification.objects.filter(pk__in=wanted, claimed_until=until)
    return list(mine.select_related("endpoint").order_by("due_at"))


def _send_mails(rows: Sequence[Notification]) -> dict[UUID, Result]:
    """All over one connection; one that fails doesn't keep the others."""
    mails = [row for row in rows if row.kind == Notification.Kind.EMAIL]
    if not mails:
        return {}
    ids = {row.order_id for row in mails}
    people = {p.order_id: p for p in Recipient.objects.filter(pk__in=ids)}
    started = timezone.now()
    try:
        connection = get_connection()
        connection.open()
    except Exception as failure:  # noqa: BLE001 - it is each message's result
        return {row.pk: Result(False, started, _words(failure)) for row in mails}
    results = {}
    for row in mails:
        started = timezone.now()
        try:
            _compose(row, people.get(row.order_id), connection).send()
            results[row.pk] = Result(True, started)
        except Exception as failure:  # noqa: BLE001 - it is this message's result
            results[row.pk] = Result(False, started, _words(failure))
    connection.close()
    return results


def _compose(row: Notification, person: Recipient | None, connection: object) -> EmailMessage:
    if person is None:
        raise LookupError("The order's recipient is not known yet; its OrderPlaced is on its way.")
    data = json.loads(row.payload)["data"]
    subject, text = write(event_class(row.event_type), person.name, person.external_id, data)
    host = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip(">")
    headers = {"Message-ID": f"<{row.pk}@{host}>"}
    return EmailMessage(subject, text, to=[person.email], headers=headers, connection=connection)


def _call_webhooks(rows: Sequence[Notification]) -> dict[UUID, Result]:
    results = {}
    with requests.Session() as session:
        for row in rows:
            if row.kind != Notification.Kind.WEBHOOK:
                continue
            assert row.endpoint is not None
            pause = row.endpoint.paused_until
            if pause and pause > timezone.now():
                results[row.pk] = Result(False, timezone.now(), postponed=pause)
                continue
            results[row.pk] = result = _call(session, row, row.endpoint)
            _judge(row.endpoint, result)
    return results


def _call(session: requests.Session, row: Notification, endpoint: WebhookEndpoint) -> Result:
    """One signed POST (Standard Webhooks: webhook-id, webhook-timestamp, webhook-signature)."""
    started = timezone.now()
    body = row.payload.encode()
    stamp = str(int(started.timestamp()))
    headers = {
        "content-type": "application/json",
        "webhook-id": str(row.pk),
        "webhook-timestamp": stamp,
        "webhook-signature": sign(endpoint.secret, str(row.pk), stamp, body),
    }
    try:
        answer = session.post(
            endpoint.url, data=body, headers=headers, timeout=WEBHOOK_TIMEOUT, allow_redirects=False
        )
    except requests.RequestException as failure:
        return Result(False, started, _words(failure))
    if answer.ok:
        return Result(True, started, status_code=answer.status_code)
    return Result(False, started, f"HTTP {answer.status_code}", answer.status_code)


def sign(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """https://www.standardwebhooks.com: HMAC-SHA256 over ``id.timestamp.body``."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _judge(endpoint: WebhookEndpoint, result: Result) -> None:
    """Close, open or keep the endpoint's circuit. Rows of one batch share the endpoint's state."""
    rows = WebhookEndpoint.objects.filter(pk=endpoint.pk)
    if result.ok:
        if endpoint.consecutive_failures:
            rows.update(consecutive_failures=0, paused_until=None, note="")
        endpoint.consecutive_failures, endpoint.paused_until = 0, None
        return
    if result.status_code == GONE:
        rows.update(active=False, note="The receiver answered 410 Gone.")
    rows.update(consecutive_failures=F("consecutive_failures") + 1)
    endpoint.refresh_from_db()
    over = endpoint.consecutive_failures - BREAKER
    if over >= 0:
        pause = min(CAP, 30.0 * 2.0 ** min(over, 10))
        endpoint.paused_until = timezone.now() + timedelta(seconds=pause)
        note = f"Paused after {endpoint.consecutive_failures} failures: {result.error}"
        rows.update(paused_until=endpoint.paused_until, note=note[:200])
        logger.warning("%s: %s", endpoint, note)


@transaction.atomic
def _record(rows: Sequence[Notification], results: dict[UUID, Result]) -> None:
    """One row per attempt, and what follows for the notification."""
    now, attempts = timezone.now(), []
    for row in rows:
        result = results[row.pk]
        row.claimed_until = None
        if result.postponed:
            row.due_at = result.postponed
            continue
        row.attempts_made += 1
        attempts.append(
            DeliveryAttempt(
                notification=row,
                number=row.attempts_made,
                started_at=result.started_at,
                ended_at=now,
                ok=result.ok,
                status_code=result.status_code,
                error=result.error,
            )
        )
        _after_attempt(row, result, now)
    Notification.objects.bulk_update(
        rows, ["state", "attempts_made", "due_at", "claimed_until"], batch_size=200
    )
    DeliveryAttempt.objects.bulk_create(attempts)


def _after_attempt(row: Notification, result: Result, now: datetime) -> None:
    if result.ok:
        row.state = Notification.State.SENT
    elif row.attempts_made >= ATTEMPTS or result.status_code == GONE:
        row.state = Notification.State.FAILED
        logger.error("%s given up after %d attempts: %s", row, row.attempts_made, result.error)
    else:
        pause = min(CAP, BASE * 2.0**row.attempts_made) * random.uniform(0.5, 1.0)  # noqa: S311
        row.due_at = now + timedelta(seconds=pause)


def _words(failure: Exception) -> str:
    return f"{type(failure).__name__}: {failure}"[:500]
