"""What lists are narrowed down by; choices are only what somebody may see."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Exists, F, OuterRef, QuerySet
from django.http import HttpRequest

from .. import access
from ..models import Backorder


class ByWarehouse(admin.SimpleListFilter):
    """Of their own warehouses."""

    title, parameter_name = "warehouse", "warehouse"
    path: ClassVar[str] = "warehouse"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        codes = access.warehouses_of(request.user).order_by("code").values_list("code", flat=True)
        return [(code, code) for code in codes]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{f"{self.path}__code": self.value()}) if self.value() else queryset


class BySource(ByWarehouse):
    title, parameter_name, path = "from", "source", "source"


class ByTarget(ByWarehouse):
    title, parameter_name, path = "to", "target", "target"


class ByLevelsWarehouse(ByWarehouse):
    path = "level__warehouse"


_AVAILABLE = F("on_hand") - F("reserved")


class Availability(admin.SimpleListFilter):
    """What somebody should do something about."""

    title, parameter_name = "stock", "availability"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("yes", "available"),
            ("no", "nothing available"),
            ("low", "low: below the reorder point"),
            ("awaited", "orders wait for it"),
            ("quarantined", "in quarantine"),
            ("coming", "in transit"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "yes":
                return queryset.filter(on_hand__gt=F("reserved"))
            case "no":
                return queryset.filter(on_hand=F("reserved"))
            case "low":
                return queryset.filter(reorder_point__gt=_AVAILABLE)
            case "awaited":
                waiting = Backorder.objects.filter(product=OuterRef("product"))
                return queryset.filter(Exists(waiting))
            case "quarantined":
                return queryset.filter(quarantined__gt=0)
            case "coming":
                return queryset.filter(in_transit__gt=0)
        return queryset
