"""Promise: a message that is due is sent by one sender at a time, tried again with growing
pauses when that fails, and given up on loudly.

At least once: a sender that dies between sending and writing that down sends again when its
claim has run out. The message's id stays the same (Message-ID, webhook-id), so that a receiver
can tell. An endpoint that fails again and again is left alone for a while; its messages wait
and lose no attempts, as all e-mails do while the mail server is away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from supplychain.events import Retry

from .mails import Mailer, MailServerAway
from .models import DeliveryAttempt, Notification, Recipient, WebhookEndpoint
from .results import Result
from .webhooks import BREAKER, Calls

logger = logging.getLogger(__name__)

#: The pauses between the attempts for one notification; the last is after some 30 minutes.
BACK_OFF = Retry(base=15.0, cap=3600.0)
#: The pauses of an endpoint whose circuit is open.
PAUSES = Retry(base=30.0, cap=3600.0, jitter=False)
MAIL_PAUSE = timedelta(seconds=30)
#: Far longer than a round takes: `seconds`, then the time-outs of what has just begun.
CLAIM = timedelta(seconds=120)


def send_due(*, limit: int = 200, seconds: float = 4.0) -> int:
    """Send what is due until nothing is, or the time is up; gives the number of attempts.

    With the last call's time-out it ends within 10 s, as every process must when asked to.
    """
    deadline, made = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        rows = _claim(limit)
        if not rows:
            break
        made += _send(rows, deadline)
    return made


@transaction.atomic
def _claim(limit: int) -> list[Notification]:
    """Rows that no other sender has. A claim's end is its mark: see _still_ours()."""
    now = timezone.now()
    # SQLite has one writer at a time and neither knows nor needs skip_locked.
    skip = connection.features.has_select_for_update_skip_locked
    due = Notification.objects.select_for_update(skip_locked=skip).filter(
        Q(claimed_until=None) | Q(claimed_until__lte=now),
        state=Notification.State.PENDING,
        due_at__lte=now,
    )
    rows = list(due.order_by("due_at", "pk")[:limit])
    until = now + CLAIM
    Notification.objects.filter(pk__in=[row.pk for row in rows]).update(claimed_until=until)
    endpoints = WebhookEndpoint.objects.in_bulk({r.endpoint_id for r in rows if r.endpoint_id})
    for row in rows:
        row.claimed_until = until
        row.endpoint = endpoints[row.endpoint_id] if row.endpoint_id else None
    return rows


def _send(rows: Sequence[Notification], deadline: float) -> int:
    """Webhooks in threads while this one sends the e-mails; gives the number of attempts."""
    now = timezone.now()
    hooks = [row for row in rows if row.endpoint]
    mails = [row for row in rows if not row.endpoint]
    calls = Calls([row for row in hooks if row.endpoint and _open_for(row.endpoint, now)], deadline)
    made = _send_mails(mails, deadline) if mails else 0
    results = calls.results()
    if hooks:
        _record(hooks, results)
    return made + len(results)


def _open_for(endpoint: WebhookEndpoint, now: datetime) -> bool:
    return endpoint.active and not (endpoint.paused_until and endpoint.paused_until > now)


def _send_mails(rows: Sequence[Notification], deadline: float) -> int:
    people = Recipient.objects.in_bulk({row.order_id for row in rows if row.order_id})
    mailer, postpone = Mailer(people, deadline), None
    try:
        mailer.send(rows)
    except MailServerAway as away:
        logger.error("E-mails wait, the mail server can't be reached: %s", away)
        postpone = timezone.now() + MAIL_PAUSE
    _record(rows, mailer.results, postpone)
    return len(mailer.results)


@transaction.atomic
def _record(
    claimed: Sequence[Notification],
    results: dict[UUID, Result],
    postpone: datetime | None = None,
) -> None:
    """One row per attempt, and what follows for the notification and its endpoint.

    Rows without a result are given back, due at ``postpone`` or when their endpoint's pause ends.
    """
    rows = _still_ours(claimed)
    tried = [row for row in rows if row.pk in results]
    endpoints = _judge_endpoints(tried, results)
    attempts = [_attempt(row, results[row.pk]) for row in tried]
    for row in rows:
        row.claimed_until = None
        endpoint = endpoints.get(row.endpoint_id or 0) or row.endpoint
        if row.pk not in results:
            row.due_at = postpone or row.due_at
        if row.state == Notification.State.PENDING and endpoint:
            _heed(row, endpoint)
    DeliveryAttempt.objects.bulk_create(attempts)
    _write(rows)


def _still_ours(claimed: Sequence[Notification]) -> list[Notification]:
    """Lock the rows; those whose claim ran out and went to another sender are left to it."""
    ids = [row.pk for row in claimed]
    held = Notification.objects.select_for_update().filter(
        pk__in=ids, claimed_until=claimed[0].claimed_until
    )
    ours = set(held.order_by("pk").values_list("pk", flat=True))
    if lost := len(ids) - len(ours):
        logger.warning("%d notifications took too long and may be sent twice.", lost)
    return [row for row in claimed if row.pk in ours]


def _attempt(row: Notification, result: Result) -> DeliveryAttempt:
    """The attempt's row; moves the notification on, in memory."""
    row.attempts_made += 1
    if result.ok:
        row.state = Notification.State.SENT
    elif result.final or row.attempts_made >= row.attempts_allowed:
        row.state = Notification.State.FAILED
        logger.error(
            "%s %s given up after %d attempts: %s", row, row.pk, row.attempts_made, result.error
        )
    else:
        row.due_at = result.ended_at + timedelta(seconds=BACK_OFF.delay(row.attempts_made))
    return DeliveryAttempt(
        notification=row,
        number=row.attempts_made,
        started_at=result.started_at,
        ended_at=result.ended_at,
        ok=result.ok,
        status_code=result.status_code,
        error=result.error,
    )


def _heed(row: Notification, endpoint: WebhookEndpoint) -> None:
    """Nothing goes to a disabled endpoint any more, nor to a paused one before its time."""
    if not endpoint.active:
        row.state = Notification.State.FAILED
    elif endpoint.paused_until:
        row.due_at = max(row.due_at, endpoint.paused_until)


def _write(rows: Sequence[Notification]) -> None:
    sent = [row.pk for row in rows if row.state == Notification.State.SENT]
    Notification.objects.filter(pk__in=sent).update(
        state=Notification.State.SENT,
        attempts_made=F("attempts_made") + 1,
        claimed_until=None,
    )
    others = [row for row in rows if row.state != Notification.State.SENT]
    Notification.objects.bulk_update(others, ["state", "attempts_made", "due_at", "claimed_until"])


def _judge_endpoints(
    tried: Sequence[Notification], results: dict[UUID, Result]
) -> dict[int, WebhookEndpoint]:
    """Close, open or keep the circuits of the endpoints that were called, in their calls' order."""
    ids = {row.endpoint_id for row in tried if row.endpoint_id}
    locked = WebhookEndpoint.objects.select_for_update().filter(pk__in=ids).order_by("pk")
    endpoints = {endpoint.pk: endpoint for endpoint in locked} if ids else {}
    for row in sorted(tried, key=lambda row: results[row.pk].started_at):
        if row.endpoint_id:
            _judge(endpoints[row.endpoint_id], results[row.pk])
    WebhookEndpoint.objects.bulk_update(
        endpoints.values(), ["active", "consecutive_failures", "paused_until", "note"]
    )
    for endpoint in endpoints.values():
        if endpoint.paused_until:
            _let_wait(endpoint, endpoint.paused_until)
    return endpoints


def _judge(endpoint: WebhookEndpoint, result: Result) -> None:
    if result.ok:
        endpoint.consecutive_failures, endpoint.paused_until, endpoint.note = 0, None, ""
        return
    endpoint.consecutive_failures += 1
    over = endpoint.consecutive_failures - BREAKER + 1
    if result.final:
        endpoint.active, endpoint.note = False, "Disabled: the receiver answered 410 Gone."
    elif over > 0:
        pause = PAUSES.delay(min(over, 10))
        endpoint.paused_until = result.ended_at + timedelta(seconds=pause)
        note = f"Paused after {endpoint.consecutive_failures} failures: {result.error}"
        endpoint.note = note[:200]
    else:
        return
    logger.warning("%s: %s", endpoint, endpoint.note)


def _let_wait(endpoint: WebhookEndpoint, until: datetime) -> None:
    """All that waits for a paused endpoint at once, so that no round has to pick it up first."""
    Notification.objects.filter(
        endpoint=endpoint,
        state=Notification.State.PENDING,
        claimed_until=None,
        due_at__lt=until,
    ).update(due_at=until)
