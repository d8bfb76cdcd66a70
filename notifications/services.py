"""Promise: every message that is due becomes one row, in the transaction that heard of its
cause; sending it is another matter (sending.py)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from inventory.events import BackorderFilled, GoodsReturned
from orders.events import OrderEvent, OrderPlaced

from .mails import RecipientUnknown
from .messages import is_mailed
from .models import ATTEMPTS, Notification, Recipient, StaffContact, WebhookEndpoint

#: What inventory tells of the goods of one order.
GoodsEvent = BackorderFilled | GoodsReturned


@transaction.atomic
def queue_messages(*, events: Sequence[OrderEvent]) -> None:
    """An e-mail for what customers care about, a webhook call for every event of an order.

    Three statements, however many events. An event that overtook its OrderPlaced is queued all
    the same: the recipient is looked up when the e-mail is sent.
    """
    _keep_recipients([event for event in events if isinstance(event, OrderPlaced)])
    _queue([(event, event.channel) for event in events])


@transaction.atomic
def queue_messages_of_goods(*, events: Sequence[GoodsEvent]) -> None:
    """The same for what inventory tells of an order, which doesn't say whose it is.

    Raises RecipientUnknown: to whom an event that overtook its OrderPlaced goes is not known.
    """
    people = Recipient.objects.in_bulk({event.order_id for event in events})
    if any(event.order_id not in people for event in events):
        raise RecipientUnknown
    _queue([(event, people[event.order_id].channel) for event in events])


def _queue(told: Sequence[tuple[OrderEvent | GoodsEvent, str]]) -> None:
    """Of each event, and the channel whose order it is about."""
    endpoints: dict[str, list[WebhookEndpoint]] = defaultdict(list)
    channels = {channel for _, channel in told}
    for endpoint in WebhookEndpoint.objects.filter(active=True, channel__in=channels):
        endpoints[endpoint.channel].append(endpoint)
    rows = []
    for event, channel in told:
        if is_mailed(event):
            rows.append(_row(event, Notification.Kind.EMAIL, None))
        rows += [_row(event, Notification.Kind.WEBHOOK, e) for e in endpoints[channel]]
    Notification.objects.bulk_create(rows, ignore_conflicts=True)


def _keep_recipients(placed: Sequence[OrderPlaced]) -> None:
    Recipient.objects.bulk_create(
        [
            Recipient(
                order_id=event.order_id,
                channel=event.channel,
                external_id=event.external_id,
                name=event.customer.name,
                email=event.customer.email,
            )
            for event in placed
        ],
        ignore_conflicts=True,
    )


def _row(
    event: OrderEvent | GoodsEvent, kind: str, endpoint: WebhookEndpoint | None
) -> Notification:
    return Notification(
        kind=kind,
        endpoint=endpoint,
        order_id=event.order_id,
        event_id=event.envelope.event_id,
        event_type=event.event_type,
        payload=event.envelope.to_json(),
        due_at=timezone.now(),
    )


@transaction.atomic
def send_again(*, notification_ids: Sequence[UUID]) -> int:
    """Make notifications due now, with a full number of attempts; gives how many.

    Left out are those that a sender has right now and those to a disabled endpoint.
    """
    now = timezone.now()
    rows = Notification.objects.filter(
        Q(claimed_until=None) | Q(claimed_until__lte=now),
        Q(endpoint=None) | Q(endpoint__active=True),
        pk__in=notification_ids,
    )
    return rows.update(
        state=Notification.State.PENDING,
        attempts_allowed=F("attempts_made") + ATTEMPTS,
        due_at=now,
        claimed_until=None,
    )


@transaction.atomic
def keep_contact(*, name: str, email: str, warehouse: str = "") -> None:
    """Let somebody of the staff be told of a warehouse, or of all; once, however often called."""
    StaffContact.objects.get_or_create(email=email, warehouse=warehouse, defaults={"name": name})


@transaction.atomic
def keep_endpoint(*, endpoint: WebhookEndpoint) -> None:
    """Write a new or changed endpoint. Switched on again it starts with a clean slate."""
    locked = WebhookEndpoint.objects.select_for_update().filter(pk=endpoint.pk)
    before = locked.first() if endpoint.pk else None
    if before is None:
        endpoint.save()
        return
    if endpoint.active and not before.active:
        endpoint.consecutive_failures, endpoint.paused_until, endpoint.note = 0, None, ""
    else:  # a sender may have judged it since the form was opened
        endpoint.consecutive_failures = before.consecutive_failures
        endpoint.paused_until, endpoint.note = before.paused_until, before.note
    endpoint.save()
