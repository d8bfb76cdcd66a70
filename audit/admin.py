from __future__ import annotations

import json

from django.contrib import admin
from django.core.paginator import Paginator
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html

from supplychain.admin_tools import ReadOnlyAdmin

from .models import ChainHead, StoredEvent


class ByPosition(Paginator):
    """Positions have no gaps, so the unfiltered count needs no scan of millions of rows."""

    @cached_property
    def count(self) -> int:
        if getattr(self.object_list, "query", None) and not self.object_list.query.where:
            head = ChainHead.objects.filter(pk=1).first()
            return head.position if head else 0
        return super().count


@admin.register(StoredEvent)
class StoredEventAdmin(ReadOnlyAdmin):
    list_display = ["position", "timestamp", "event_type", "subject", "sequence", "journey"]
    list_filter = ["producer", "event_type"]
    search_fields = ["=subject", "=correlation_id", "=event_id"]
    ordering = ["-position"]
    paginator = ByPosition
    fields = [
        "position",
        "event_id",
        "event_type",
        "event_version",
        "subject",
        "sequence",
        "timestamp",
        "recorded_at",
        "journey",
        "causation_id",
        "envelope",
        "previous_hash",
        "hash",
    ]
    readonly_fields = ["journey", "envelope"]

    @admin.display(description="journey")
    def journey(self, row: StoredEvent) -> str:
        url = reverse("admin:audit_storedevent_changelist")
        return format_html('<a href="{}?q={}">{}</a>', url, row.correlation_id, row.correlation_id)

    @admin.display(description="envelope")
    def envelope(self, row: StoredEvent) -> str:
        return format_html("<pre>{}</pre>", json.dumps(json.loads(row.body), indent=2))
