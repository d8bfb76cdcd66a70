from django.contrib import admin

from supplychain.admin_tools import ReadOnlyAdmin

from .models import EventCount, OrderFact


@admin.register(OrderFact)
class OrderFactAdmin(ReadOnlyAdmin):
    list_display = ["order_id", "channel", "status", "quantity", "placed_at", "planned_at", "ended_at"]
    list_filter = ["status", "channel", "placed_at"]
    search_fields = ["=order_id"]


@admin.register(EventCount)
class EventCountAdmin(ReadOnlyAdmin):
    list_display = ["hour", "event_type", "count"]
    list_filter = ["event_type"]
    date_hierarchy = "hour"
    ordering = ["-hour", "event_type"]
