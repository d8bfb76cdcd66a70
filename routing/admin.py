from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from supplychain.admin_tools import ModelAdmin, ReadOnlyAdmin, ReadOnlyInline, TabularInline

from . import driving, plan_page, planning
from .models import Depot, PlanRun, Route, Shipment, Stop, Vehicle


def _link(url: str, text: str) -> str:
    return format_html('<a href="{}" class="journey">{}</a>', url, text)


class Vehicles(TabularInline):
    model = Vehicle
    fk_name = "depot"
    fields = ["name", "capacity_kg", "capacity_m3", "shift_start", "shift_hours", "active"]
    extra = 0
    can_delete = False  # its routes remain: set it inactive


@admin.register(Depot)
class DepotAdmin(ModelAdmin):
    list_display = ["code", "name", "latitude", "longitude", "active", "plan"]
    list_filter = ["active"]
    search_fields = ["code", "name"]
    readonly_fields = [
        *("code", "name", "latitude", "longitude", "active", "time_zone", "cut_off", "sequence")
    ]
    inlines = [Vehicles]
    actions = ["plan_now"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # depots come from inventory's warehouses

    def has_delete_permission(self, request: HttpRequest, obj: Depot | None = None) -> bool:
        return False

    @admin.display(description="plan")
    def plan(self, depot: Depot) -> str:
        return _link(reverse("plan-of-depot", args=[depot.code]), "plan")

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


@admin.register(Shipment)
class ShipmentAdmin(ReadOnlyAdmin):
    list_display = [
        "shipment_id",
        "depot",
        "state",
        "customer",
        "address",
        "weight_kg",
        "volume_m3",
        "recalled",
        "unplannable_reason",
        "ready_at",
    ]
    list_filter = ["state", "depot", "recalled"]
    search_fields = ["=shipment_id", "=order_id", "customer", "=correlation_id"]
    list_select_related = ["depot"]


class Stops(ReadOnlyInline):
    model = Stop
    fields = ["position", "eta", "state", "to", "shipment", "recalled", "ended_at", "reason"]
    readonly_fields = ["to", "recalled"]
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Stop]:
        return super().get_queryset(request).select_related("shipment", "route__vehicle__depot")

    @admin.display(description="to")
    def to(self, stop: Stop) -> str:
        return f"{stop.shipment.customer}, {stop.shipment.address}"

    @admin.display(description="recalled", boolean=True)
    def recalled(self, stop: Stop) -> bool:
        return stop.shipment.recalled


@admin.register(Route)
class RouteAdmin(ReadOnlyAdmin):
    list_display = [
        "day",
        "depot",
        "vehicle",
        "state",
        "stop_count",
        "distance_km",
        "load_kg",
        "starts_at",
        "ends_at",
        "plan",
    ]
    list_filter = ["state", "depot", "day"]
    search_fields = ["=id", "vehicle__name", "=stops__shipment__order_id"]
    list_select_related = ["depot", "vehicle__depot"]
    date_hierarchy = "day"
    inlines = [Stops]
    actions = ["dispatch_routes"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        ended = Count("stops", filter=~Q(stops__state=Stop.State.PENDING))
        rows: QuerySet[Route] = super().get_queryset(request)
        return rows.annotate(stop_total=Count("stops"), stop_ended=ended)

    @admin.display(description="plan")
    def plan(self, route: Route) -> str:
        return _link(plan_page.day_url(route.depot, route.day), "plan")

    @admin.display(description="stops ended")
    def stop_count(self, route: Any) -> str:
        return f"{route.stop_ended} of {route.stop_total}"

    @admin.action(description="Dispatch selected routes", permissions=["view"])
    def dispatch_routes(self, request: HttpRequest, queryset: QuerySet[Route]) -> None:
        if not request.user.has_perm("routing.change_route"):
            self.message_user(request, "You may not dispatch routes.", messages.ERROR)
            return
        done = 0
        for route in queryset:
            try:
                driving.dispatch_route(route_id=route.pk)
                done += 1
            except driving.RouteNotPlanned as refusal:
                self.message_user(request, f"{route}: {refusal}", messages.WARNING)
        self.message_user(request, f"{done} routes dispatched.")


@admin.register(PlanRun)
class PlanRunAdmin(ReadOnlyAdmin):
    list_display = [
        "started_at",
        "depot",
        "state",
        "shipments",
        "planned",
        "unplanned",
        "cut_short",
        "solver_seconds",
        "error",
    ]
    list_filter = ["state", "depot"]
