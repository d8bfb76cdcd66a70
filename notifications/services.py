"""Promise: every message that is due becomes one row, in the transaction that heard of its
cause; sending it is another matter (sending.py)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from orders.events import OrderEvent, OrderPlaced

from .messages import TEMPLATES
from .models import Notification, Recipient, WebhookEndpoint


@transaction.atomic
def queue_messages(*, events: Sequence[OrderEvent]) -> None:
    """An e-mail for what customers care about, a webhook call for every event of an order."""
    _keep_recipients([event for event in events if isinstance(event, OrderPlaced)])
    endpoints: dict[str, list[WebhookEndpoint]] = defaultdict(list)
    channels = {event.channel for event in events}
    for endpoint in WebhookEndpoint.objects.filter(active=True, channel__in=channels):
        endpoints[endpoint.channel].append(endpoint)
    rows = []
    for event in events:
        if type(event) in TEMPLATES:
            rows.append(_row(event, Notification.Kind.EMAIL, None))
        for endpoint in endpoints[event.channel]:
            rows.append(_row(event, Notification.Kind.WEBHOOK, endpoint))
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


def _row(event: OrderEvent, kind: str, endpoint: WebhookEndpoint | None) -> Notification:
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
    """Make failed or sent notifications due once more, with all their attempts."""
    rows = Notification.objects.filter(pk__in=notification_ids).exclude(
        state=Notification.State.PENDING
    )
    return rows.update(
        state=Notification.State.PENDING,
        attempts_made=0,
        due_at=timezone.now(),
        claimed_until=None,
    )
