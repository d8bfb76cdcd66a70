from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from supplychain.admin_tools import ReadOnlyAdmin, ReadOnlyInline

from . import services
from .models import DeliveryAttempt, Notification, Recipient, WebhookEndpoint


class Attempts(ReadOnlyInline):
    model = DeliveryAttempt
    fields = ["number", "started_at", "ended_at", "ok", "status_code", "error"]
    show_change_link = False


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "kind", "event_type", "order_id", "state", "attempts_made", "due_at"]
    list_filter = ["state", "kind", "event_type", "endpoint"]
    search_fields = ["=order_id", "=event_id"]
    date_hierarchy = "created_at"
    inlines = [Attempts]
    actions = ["send_again"]

    @admin.action(description="Send again", permissions=["view"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Notification]) -> None:
        if not request.user.has_perm("notifications.change_notification"):
            self.message_user(request, "You may not send notifications.", messages.ERROR)
            return
        ids = list(queryset.values_list("pk", flat=True))
        count = services.send_again(notification_ids=ids)
        self.message_user(request, f"{count} notifications are due again.")


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(admin.ModelAdmin):
    list_display = ["channel", "url", "active", "consecutive_failures", "paused_until", "note"]
    list_filter = ["active", "channel"]
    search_fields = ["channel", "url"]
    readonly_fields = ["consecutive_failures", "paused_until", "note"]


@admin.register(Recipient)
class RecipientAdmin(ReadOnlyAdmin):
    list_display = ["external_id", "channel", "name", "email"]
    list_filter = ["channel"]
    search_fields = ["=external_id", "=email", "=order_id"]
