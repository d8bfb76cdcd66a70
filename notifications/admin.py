from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from supplychain.admin_tools import ModelAdmin, ReadOnlyAdmin, ReadOnlyInline
from supplychain.events.consumers import consumers

from . import services
from .models import (
    DeliveryAttempt,
    Notification,
    Recipient,
    StaffContact,
    WebhookEndpoint,
    check_secret,
)


class Attempts(ReadOnlyInline):
    model = DeliveryAttempt
    fields = ["number", "started_at", "ended_at", "ok", "status_code", "error"]
    show_change_link = False


class ByEvent(admin.SimpleListFilter):
    """Choices from the event classes, and not from a DISTINCT over all rows."""

    title, parameter_name = "event", "event_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        mine = [c for c in consumers() if c.queue == "notifications"]
        return [(t, t) for t in sorted(t.event_type for c in mine for t in c.event_types)]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Notification]
    ) -> QuerySet[Notification]:
        return queryset.filter(event_type=self.value()) if self.value() else queryset


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    list_display = [
        "created_at",
        "kind",
        "event_type",
        "order_id",
        "to",
        "endpoint",
        "state",
        "attempts_made",
        "due_at",
    ]
    list_filter = ["state", "kind", ByEvent, "endpoint", "created_at"]
    list_select_related = ["endpoint"]
    ordering = ["-id"]  # by time, and there is an index for it
    search_fields = ["order_id"]  # shows the box; get_search_results does the search
    search_help_text = "Exactly: an id (notification, order, event), order number or e-mail address"
    inlines = [Attempts]
    actions = ["send_again"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Notification], search_term: str
    ) -> tuple[QuerySet[Notification], bool]:
        """By the indexes; Django's own search folds case, which has none."""
        term = search_term.strip()
        if not term:
            return queryset, False
        people = Recipient.objects.filter(Q(external_id=term) | Q(email=term))
        wanted = Q(order_id__in=list(people.values_list("pk", flat=True)[:1000]))
        with suppress(ValueError):
            key = UUID(term)
            wanted |= Q(pk=key) | Q(order_id=key) | Q(event_id=key)
        return queryset.filter(wanted), False

    def has_send_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("notifications.change_notification")

    @admin.action(description="Send again", permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Notification]) -> None:
        ids = list(queryset.values_list("pk", flat=True))
        count = services.send_again(notification_ids=ids)
        left = f"; {len(ids) - count} are being sent or disabled" if count < len(ids) else ""
        self.message_user(request, f"{count} notifications are due again{left}.")


class EndpointForm(forms.ModelForm):
    """The secret goes in and never comes out, but for the once when it was made here."""

    new_secret = forms.CharField(
        required=False,
        strip=True,
        max_length=120,
        validators=[check_secret],
        help_text="whsec_…; left empty, a new endpoint gets one and another keeps its own",
    )

    class Meta:
        model = WebhookEndpoint
        fields = ["channel", "url", "active"]


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ModelAdmin):
    form = EndpointForm
    list_display = ["channel", "url", "active", "consecutive_failures", "paused_until", "note"]
    list_filter = ["active"]
    search_fields = ["channel", "url"]
    fields = [
        "channel",
        "url",
        "active",
        "masked_secret",
        "new_secret",
        "consecutive_failures",
        "paused_until",
        "note",
    ]
    readonly_fields = ["masked_secret", "consecutive_failures", "paused_until", "note"]

    @admin.display(description="secret")
    def masked_secret(self, endpoint: WebhookEndpoint) -> str:
        return f"{endpoint.secret[:10]}…" if endpoint.pk else "–"

    def save_model(
        self, request: HttpRequest, obj: WebhookEndpoint, form: forms.ModelForm, change: bool
    ) -> None:
        given = form.cleaned_data["new_secret"]
        obj.secret = given or obj.secret
        services.keep_endpoint(endpoint=obj)
        if not (change or given):
            told = f"Its secret, shown only now: {obj.secret}"
            self.message_user(request, told)


@admin.register(Recipient)
class RecipientAdmin(ReadOnlyAdmin):
    list_display = ["external_id", "channel", "name", "email"]
    ordering = ["-order_id"]
    search_fields = ["external_id"]  # shows the box; get_search_results does the search
    search_help_text = "Exactly: an order number, e-mail address or order's id"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Recipient], search_term: str
    ) -> tuple[QuerySet[Recipient], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = Q(external_id=term) | Q(email=term)
        with suppress(ValueError):
            wanted |= Q(pk=UUID(term))
        return queryset.filter(wanted), False


@admin.register(StaffContact)
class StaffContactAdmin(ModelAdmin):
    list_display = ["name", "email", "warehouse", "active"]
    list_filter = ["active", "warehouse"]
    search_fields = ["name", "email", "warehouse"]
