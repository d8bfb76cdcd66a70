from __future__ import annotations

from collections.abc import Iterator

from django.utils import timezone
from prometheus_client.metrics_core import Metric

from supplychain.metrics import capped, figures, gauge

from .models import Notification


@figures
def backlog() -> Iterator[Metric]:
    """By the partial index on what is pending."""
    pending = Notification.objects.filter(state=Notification.State.PENDING)
    due = pending.order_by("due_at").values_list("due_at", flat=True).first()
    late = max(0.0, (timezone.now() - due).total_seconds()) if due else 0.0
    yield gauge("supplychain_notifications_pending", "Notifications to send.", capped(pending))
    yield gauge("supplychain_notifications_late_seconds", "How late the latest is.", late)
