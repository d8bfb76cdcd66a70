"""Depots and what drives from them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from supplychain.admin_tools import ModelAdmin, TabularInline

from . import drivers, planning
from .admin_filters import Neglected
from .admin_links import link
from .forms import VehicleForm
from .models import Depot, Vehicle


class _NamesDrivers:
    """Mixin: who may be a vehicle's driver."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "driver":
            kwargs["queryset"] = drivers.all_drivers()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]


class Vehicles(_NamesDrivers, TabularInline):
    """The rest of what a vehicle can do stands on its own page."""

    model = Vehicle
    fk_name = "depot"
    fields = [
        "name",
        "capacity_kg",
        "capacity_m3",
        "shift_start",
        "shift_hours",
        "driver",
        "active",
    ]
    extra = 0
    can_delete = False  # its routes remain: set it inactive
    show_change_link = True


@admin.register(Depot)
class DepotAdmin(ModelAdmin):
    list_display = ["code", "name", "time_zone", "cut_off", "departures", "active", "plan"]
    list_filter = ["active", Neglected]
    search_fields = ["code", "name"]
    fieldsets = [
        (
            "As the warehouse says",
            {
                "fields": [
                    ("code", "name", "active"),
                    ("latitude", "longitude"),
                    ("time_zone", "cut_off"),
                ]
            },
        ),
        ("When vehicles leave", {"fields": ["departures", ("departure_lead", "longest_wait")]}),
        ("Planning", {"fields": [("plan", "plan_asked_at")]}),
    ]
    readonly_fields = [
        *("code", "name", "latitude", "longitude", "active", "time_zone", "cut_off"),
        *("plan", "plan_asked_at"),
    ]
    inlines = [Vehicles]
    actions = ["plan_now"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # depots come from inventory's warehouses

    def has_delete_permission(self, request: HttpRequest, obj: Depot | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Depot, form: Any, change: bool) -> None:
        """Only what was changed: the rest may have come from the warehouse meanwhile."""
        obj.save(update_fields=form.changed_data)

    @admin.display(description="plan")
    def plan(self, depot: Depot) -> str:
        return link(reverse("plan-of-depot", args=[depot.code]), "plan")

    @admin.action(description="Plan now", permissions=["change"])
    def plan_now(self, request: HttpRequest, queryset: QuerySet[Depot]) -> None:
        for depot in queryset:
            run = planning.plan_depot(depot=depot)
            if run is None:
                self.message_user(request, f"{depot}: a run is under way.", messages.WARNING)
            elif run.error:
                self.message_user(request, f"{depot}: {run.error}", messages.ERROR)
            else:
                text = f"{depot}: {run.planned} planned, {run.unplanned} not."
                self.message_user(request, text)


@admin.register(Vehicle)
class VehicleAdmin(_NamesDrivers, ModelAdmin):
    form = VehicleForm
    list_display = [
        *("name", "depot", "capacity_kg", "capacity_m3", "shift_start", "shift_hours"),
        *("carries", "max_stops", "driver", "active"),
    ]
    list_filter = ["active", "depot"]
    search_fields = ["name", "depot__code"]
    list_select_related = ["depot", "driver"]
    ordering = ["depot__code", "name"]
    fieldsets = [
        (None, {"fields": [("depot", "name"), ("driver", "active")]}),
        (
            "What it carries",
            {"fields": ["skills", ("capacity_kg", "capacity_m3"), "capacity_items"]},
        ),
        (
            "Its day",
            {"fields": [("shift_start", "shift_hours"), ("max_stops", "end_depot")]},
        ),
        ("Break", {"fields": ["break_minutes", ("break_earliest", "break_latest")]}),
        ("Costs", {"fields": [("fixed_cost", "cost_per_km", "cost_per_hour")]}),
    ]

    def has_delete_permission(self, request: HttpRequest, obj: Vehicle | None = None) -> bool:
        return False  # its routes remain: set it inactive

    @admin.display(description="can carry")
    def carries(self, vehicle: Vehicle) -> str:
        return ", ".join(vehicle.skills) or "nothing special"
