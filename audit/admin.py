from __future__ import annotations

import json
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from supplychain.admin_tools import ReadOnlyAdmin, ShallowPaginator
from supplychain.events.base import event_classes

from .models import StoredEvent


class KnownValues(admin.SimpleListFilter):
    """Choices from the event classes and not from a DISTINCT over all rows."""

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[StoredEvent]
    ) -> QuerySet[StoredEvent]:
        value = self.value()
        return queryset.filter(**{str(self.parameter_name): value}) if value else queryset


class ByType(KnownValues):
    title, parameter_name = "type", "event_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(c.event_type, c.event_type) for c in event_classes()]


class ByProducer(KnownValues):
    title, parameter_name = "producer", "producer"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in sorted({c.producer for c in event_classes()})]


@admin.register(StoredEvent)
class StoredEventAdmin(ReadOnlyAdmin):
    list_display = ["position", "timestamp", "event_type", "subject", "sequence", "journey"]
    list_filter = [ByProducer, ByType]
    search_fields = ["subject"]  # shows the box; get_search_results does the search
    search_help_text = "Exactly: an order's, event's or correlation id, or a subject (route/…)."
    ordering = ["-position"]
    sortable_by = ["position"]
    paginator = ShallowPaginator
    fields = [
        "position",
        "event_id",
        "event_type",
        "event_version",
        "producer",
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

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[StoredEvent], search_term: str
    ) -> tuple[QuerySet[StoredEvent], bool]:
        """Whole values only, each by its index; Django's own search folds case, which has none."""
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = Q(subject__in=[term, f"order/{term}"]) | Q(correlation_id=term)
        with suppress(ValueError):  # else it can only be a subject or a free correlation id
            wanted |= Q(event_id=UUID(term))
        return queryset.filter(wanted), False

    @admin.display(description="journey")
    def journey(self, row: StoredEvent) -> str:
        url = reverse("admin:audit_storedevent_changelist")
        query = urlencode({"q": row.correlation_id})
        return format_html('<a href="{}?{}">{}</a>', url, query, row.correlation_id)

    @admin.display(description="envelope")
    def envelope(self, row: StoredEvent) -> str:
        try:
            pretty = json.dumps(json.loads(row.body), indent=2, ensure_ascii=False)
        except ValueError:  # tampered with; `audit verify` says so too
            pretty = row.body
        return format_html("<pre>{}</pre>", pretty)
