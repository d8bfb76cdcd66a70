from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest

from supplychain.admin_tools import ReadOnlyAdmin

from .models import EventCount, OrderFact, ShipmentFact
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


class HowItCame(admin.SimpleListFilter):
    """As ShipmentFact.came says."""

    title, parameter_name = "came", "came"
    _WHEN = {
        "early": Q(delivered_at__lt=F("window_from")),
        "in time": Q(delivered_at__gte=F("window_from"), delivered_at__lte=F("window_until")),
        "late": Q(delivered_at__gt=F("window_until")),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(how, how) for how in self._WHEN]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[ShipmentFact]
    ) -> QuerySet[ShipmentFact]:
        when = self._WHEN.get(self.value() or "")
        return queryset.filter(when) if when else queryset


@admin.register(ShipmentFact)
class ShipmentFactAdmin(ReadOnlyAdmin):
    list_display = [
        "shipment_id",
        "order_id",
        "window_from",
        "window_until",
        "delivered_at",
        "came",
    ]
    list_filter = [HowItCame, "delivered_at"]
    ordering = ["-delivered_at"]
    search_fields = ["order_id"]  # shows the box; get_search_results does the search
    search_help_text = "Exactly: an order's or a shipment's id."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ShipmentFact], search_term: str
    ) -> tuple[QuerySet[ShipmentFact], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(Q(pk=UUID(term)) | Q(order_id=UUID(term))), False
        except ValueError:
            return queryset.none(), False


@admin.register(EventCount)
class EventCountAdmin(ReadOnlyAdmin):
    list_display = ["hour", "event_type", "count"]
    list_filter = ["event_type"]
    date_hierarchy = "hour"
    ordering = ["-hour", "event_type"]
