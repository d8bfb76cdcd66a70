"""Promise: what the event machinery has for operators to do stands on the first page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import reverse

from supplychain.home import Task, capped, to_do

from .models import DeadLetter, OutboxEvent


@to_do("Operations")
def dead_letters(user: Any) -> Iterator[Task]:
    if not user.has_perm("events.view_deadletter"):
        return
    letters = reverse("admin:events_deadletter_changelist")
    yield Task(
        "Dead letters",
        capped(DeadLetter.objects.filter(state=DeadLetter.State.OPEN)),
        letters,
        "report",
        "Events that a consumer gave up: find the cause, then redrive.",
        alarm=True,
    )
    outbox = reverse("admin:events_outboxevent_changelist")
    yield Task(
        "Events not published",
        capped(OutboxEvent.objects.filter(published_at=None, parked_at=None)),
        f"{outbox}?stage=pending",
        "outbox",
        "More than a moment's worth: look at the relay and the broker.",
    )
