from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from supplychain.admin_tools import ModelAdmin, ReadOnlyAdmin, ReadOnlyInline, journey_link

from . import changing, selectors
from .models import CatalogueItem, Channel, Order, OrderLine, OrderShipment, StatusChange


class Coming(admin.SimpleListFilter):
    """Whether something stands in the way of their delivery."""

    title, parameter_name = "coming", "coming"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found = [(value, str(label)) for value, label in OrderShipment.Trouble.choices]
        return [("late", "Window has passed"), *found]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        value = self.value()
        if value == "late":
            return selectors.late(queryset)
        return selectors.in_trouble(queryset, value) if value else queryset


class Lines(ReadOnlyInline):
    model = OrderLine
    fields = ["position", "sku", "quantity", "cancelled", "unit_price"]
    readonly_fields = ["cancelled"]
    show_change_link = False


class Shipments(ReadOnlyInline):
    model = OrderShipment
    fields = [
        *("shipment_id", "state", "warehouse", "quantity"),
        *("window_from", "window_until", "eta", "trouble", "reason"),
    ]
    show_change_link = False


class History(ReadOnlyInline):
    model = StatusChange
    fields = ["status", "at", "reason", "cause"]
    show_change_link = False
    verbose_name_plural = "history"


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = [
        "external_id",
        "channel",
        "status",
        "customer_name",
        "city",
        "units",
        "priority",
        "worth",
        "placed_at",
    ]
    list_per_page = 50
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("external_id", "status"),
                    ("channel", "priority"),
                    ("placed_at", "confirm_by"),
                    ("quantity", "reserved_quantity"),
                    ("worth", "outstanding_quantity"),
                    "journey",
                ]
            },
        ),
        ("Customer", {"fields": [("customer_name", "customer_email"), "customer_phone"]}),
        (
            "Deliver to",
            {
                "fields": [
                    ("address", "city"),
                    ("postal_code", "region"),
                    ("country", "coordinates"),
                    ("requested_from", "requested_until"),
                ]
            },
        ),
    ]
    list_filter = ["status", Coming, "channel", "placed_at", "country"]
    search_fields = ["external_id", "customer_email", "customer_name", "=correlation_id", "=id"]
    date_hierarchy = "placed_at"
    list_select_related = ["channel"]
    readonly_fields = ["journey", "outstanding_quantity", "worth", "coordinates"]
    inlines = [Lines, Shipments, History]
    actions = ["cancel"]

    @admin.display(description="reserved", ordering="reserved_quantity")
    def units(self, order: Order) -> str:
        return f"{order.reserved_quantity} of {order.quantity}"

    @admin.display(description="total", ordering="total")
    def worth(self, order: Order) -> str:
        return f"{order.total} {order.currency}"

    @admin.display(description="latitude, longitude")
    def coordinates(self, order: Order) -> str:
        return f"{order.latitude:.5f}, {order.longitude:.5f}"

    @admin.display(description="events of its journey")
    def journey(self, order: Order) -> str:
        return journey_link(order.correlation_id)

    @admin.action(description="Cancel selected orders", permissions=["view"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        if not request.user.has_perm("orders.change_order"):
            self.message_user(request, "You may not change orders.", messages.ERROR)
            return
        done = 0
        for order in queryset:
            try:
                by = request.user.get_username()
                changing.cancel_order(order_id=order.pk, reason="by staff", by=by)
                done += 1
            except changing.OrderNotCancellable as refusal:
                self.message_user(request, f"{order.external_id}: {refusal}", messages.WARNING)
        self.message_user(request, f"{done} orders cancelled.")


@admin.register(Channel)
class ChannelAdmin(ModelAdmin):
    list_display = ["code", "name", "user", "active"]
    list_filter = ["active"]
    search_fields = ["code", "name"]
    autocomplete_fields = ["user"]


@admin.register(CatalogueItem)
class CatalogueItemAdmin(ReadOnlyAdmin):
    list_display = ["sku", "name", "active"]
    list_filter = ["active"]
    search_fields = ["sku", "name"]
