from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from supplychain.admin_tools import ReadOnlyAdmin

from .models import EventCount, OrderFact
from .services import STATUSES


class ByStatus(admin.SimpleListFilter):
    """Choices that are known, and not from a DISTINCT over all orders."""

    title, parameter_name = "status", "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status, status.replace("_", " ")) for status in STATUSES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OrderFact]) -> QuerySet[OrderFact]:
        return queryset.filter(status=self.value()) if self.value() else queryset


@admin.register(OrderFact)
class OrderFactAdmin(ReadOnlyAdmin):
    list_display = [
        "order_id",
        "channel",
        "status",
        "quantity",
        "first_reserved",
        "placed_at",
        "promised_until",
        "planned_at",
        "ended_at",
        "broken_at",
    ]
    list_filter = [ByStatus, "placed_at"]
    ordering = ["-placed_at"]
    search_fields = ["channel"]  # shows the box; get_search_results does the search
    search_help_text = "Exactly: an order's id, or a channel."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[OrderFact], search_term: str
    ) -> tuple[QuerySet[OrderFact], bool]:
        """By the indexes; Django's own search folds case, which has none."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(pk=UUID(term)), False
        except ValueError:
            return queryset.filter(channel=term), False


@admin.register(EventCount)
class EventCountAdmin(ReadOnlyAdmin):
    list_display = ["hour", "event_type", "count"]
    list_filter = ["event_type"]
    date_hierarchy = "hour"
    ordering = ["-hour", "event_type"]
