"""What the lists of routing are narrowed down by, and what the first page counts: one and the
same, so that a figure is what its link lists."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from .models import Alert, Depot, Route, Shipment
from .neglected import neglected

Choices = list[tuple[str, str]]


def overdue(routes: QuerySet[Route]) -> QuerySet[Route]:
    """Those that should have left by now."""
    grace = timezone.now() - timedelta(minutes=settings.DISPATCH_GRACE_MINUTES)
    return routes.filter(state=Route.State.PLANNED, starts_at__lte=grace)


def late_on_the_road(routes: QuerySet[Route]) -> QuerySet[Route]:
    """Those that should be back by now."""
    return routes.filter(state=Route.State.DISPATCHED, ends_at__lte=timezone.now())


def fallen_out(shipments: QuerySet[Shipment]) -> QuerySet[Shipment]:
    """Those without a route that had one, or a promise, as long as nobody has seen the alert."""
    alerts = Alert.objects.filter(kind=Alert.Kind.FELL_OUT, subject_id=OuterRef("pk"), seen_at=None)
    return shipments.filter(Exists(alerts), state=Shipment.State.OPEN)


class Lateness(admin.SimpleListFilter):
    title, parameter_name = "lateness", "late"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("overdue", "should have left"), ("road", "should be back")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Route]) -> QuerySet[Route]:
        match self.value():
            case "overdue":
                return overdue(queryset)
            case "road":
                return late_on_the_road(queryset)
        return queryset


class Trouble(admin.SimpleListFilter):
    title, parameter_name = "trouble", "trouble"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("fell_out", "fell out of the plan"), ("unplannable", "no route could take it")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Shipment]) -> QuerySet[Shipment]:
        match self.value():
            case "fell_out":
                return fallen_out(queryset)
            case "unplannable":
                return queryset.filter(state=Shipment.State.OPEN).exclude(unplannable_reason="")
        return queryset


class Neglected(admin.SimpleListFilter):
    title, parameter_name = "planning", "planning"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("neglected", "nobody plans it")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Depot]) -> QuerySet[Depot]:
        return queryset.filter(pk__in=neglected()) if self.value() else queryset


class Seen(admin.SimpleListFilter):
    title, parameter_name = "seen", "seen"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("no", "not yet"), ("yes", "seen")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        if self.value() is None:
            return queryset
        return queryset.filter(seen_at__isnull=self.value() == "no")
