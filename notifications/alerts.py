"""Promise: whoever of the staff looks after a warehouse is told what needs a person's eye there;
what comes together comes in one e-mail."""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from inventory.events import StockLow, TransferProposed
from routing.events import StaffAlerted
from supplychain.events import Event

from .models import Notification, StaffContact
from .words import goods

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Alert:
    """What the staff reads of an event, and the warehouses that it is about."""

    title: str
    text: Callable[[Any], str]
    places: Callable[[Any], set[str]]


def _low(event: StockLow) -> str:
    left = f"{event.available} × {event.sku}"
    return (
        f"{event.warehouse}: {left} available, fewer than the reorder point {event.reorder_point}"
    )


def _proposed(event: TransferProposed) -> str:
    what = goods((line.sku, line.quantity) for line in event.lines)
    return f"{event.source} → {event.target}: {what} ({event.reason or event.actor})"


ALERTS: dict[type[Event], Alert] = {
    StockLow: Alert("Stock is low", _low, lambda event: {event.warehouse}),
    TransferProposed: Alert(
        "Transfer proposed", _proposed, lambda event: {event.source, event.target}
    ),
    StaffAlerted: Alert(
        "A depot needs you",
        lambda event: f"{event.depot}: {event.text}",
        lambda event: {event.depot},
    ),
}


@transaction.atomic
def queue_alerts(*, events: Sequence[Event]) -> None:
    """One e-mail for each of the staff whom some of the events concern; two statements."""
    concerned: dict[str, list[Event]] = defaultdict(list)
    contacts = list(_contacts({place for event in events for place in _places(event)}))
    for event in events:
        for email in {c.email for c in contacts if c.warehouse in {"", *_places(event)}}:
            concerned[email].append(event)
    if not contacts:
        logger.warning("Nobody of the staff is told of %d alerts: add a contact.", len(events))
    rows = [_row(email, some) for email, some in sorted(concerned.items())]
    Notification.objects.bulk_create(rows, ignore_conflicts=True)


def _contacts(places: set[str]) -> Iterable[StaffContact]:
    return StaffContact.objects.filter(active=True, warehouse__in=["", *sorted(places)])


def _places(event: Event) -> set[str]:
    return ALERTS[type(event)].places(event)


def _row(email: str, events: Sequence[Event]) -> Notification:
    first = events[0]
    return Notification(
        kind=Notification.Kind.STAFF,
        to=email,
        event_id=first.envelope.event_id,
        event_type=first.event_type,
        payload=json.dumps({"subject": _subject(events), "text": _text(events)}),
        due_at=timezone.now(),
    )


def _subject(events: Sequence[Event]) -> str:
    counts = Counter(ALERTS[type(event)].title for event in events)
    return ", ".join(f"{title} ({n})" if n > 1 else title for title, n in counts.items())


def _text(events: Sequence[Event]) -> str:
    """Under a heading for each kind of event, a line for each event."""
    by_kind: dict[type[Event], list[str]] = defaultdict(list)
    for event in events:
        by_kind[type(event)].append(f"- {ALERTS[type(event)].text(event)}")
    parts = ["\n".join([ALERTS[kind].title, *lines]) for kind, lines in by_kind.items()]
    return "\n\n".join(parts) + "\n"
