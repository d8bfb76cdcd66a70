from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Prefetch, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join

from supplychain.admin_tools import ReadOnlyAdmin, ReadOnlyInline, journey_link

from . import driving, plan_page, selectors
from . import fleet_admin as fleet_admin
from . import plan_admin as plan_admin
from .admin_filters import Lateness, Trouble
from .admin_links import link, link_to, span
from .goods import in_words
from .models import ProofPhoto, Route, Shipment, Stop


class Visits(ReadOnlyInline):
    """Of a shipment: each route it stood in, and how that ended."""

    model = Stop
    fields = ["route_link", "position", "eta", "state", "ended_at", "reason", "proof_name"]
    readonly_fields = ["route_link"]
    ordering = ["-eta"]
    show_change_link = False
    verbose_name_plural = "stops"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Stop]:
        return super().get_queryset(request).select_related("route__vehicle__depot")

    @admin.display(description="route")
    def route_link(self, stop: Stop) -> str:
        return link_to("route", stop.route_id, stop.route)


@admin.register(Shipment)
class ShipmentAdmin(ReadOnlyAdmin):
    list_display = [
        *("customer", "address", "depot", "state", "promise", "asked_for", "attempts"),
        *("unplannable_reason", "ready_at"),
    ]
    list_filter = ["state", Trouble, "depot", "recalled"]
    search_fields = ["=shipment_id", "=order_id", "customer", "=correlation_id"]
    list_select_related = ["depot"]
    fieldsets = [
        (None, {"fields": [("shipment_id", "state"), ("depot", "order"), ("journey", "route")]}),
        (
            "To",
            {"fields": [("customer", "address"), ("latitude", "longitude")]},
        ),
        (
            "Load",
            {"fields": [("weight_kg", "volume_m3", "items"), "holds", ("priority", "needs")]},
        ),
        (
            "When",
            {
                "fields": [
                    ("promise", "asked_for"),
                    ("told_eta", "ready_at"),
                    ("release_at", "missed_at"),
                ]
            },
        ),
        ("Trouble", {"fields": [("attempts", "recalled"), "unplannable_reason"]}),
    ]
    readonly_fields = ["order", "journey", "route", "holds", "needs", "promise", "asked_for"]
    inlines = [Visits]

    @admin.display(description="order")
    def order(self, shipment: Shipment) -> str:
        url = reverse("admin:orders_order_change", args=[shipment.order_id])
        return link(url, str(shipment.order_id))

    @admin.display(description="events of its journey")
    def journey(self, shipment: Shipment) -> str:
        return journey_link(shipment.correlation_id)

    @admin.display(description="stands in")
    def route(self, shipment: Shipment) -> str:
        stop = selectors.pending_stop(shipment)
        if stop is None:
            return "–"
        return link_to("route", stop.route_id, f"{stop.route}, stop {stop.position}")

    @admin.display(description="goods")
    def holds(self, shipment: Shipment) -> str:
        return in_words(shipment.goods) or "not known by SKU"

    @admin.display(description="needs of its vehicle")
    def needs(self, shipment: Shipment) -> str:
        return ", ".join(shipment.skills) or "nothing special"

    @admin.display(description="promised", ordering="promised_from")
    def promise(self, shipment: Shipment) -> str:
        return span(shipment.depot, shipment.promised_from, shipment.promised_until)

    @admin.display(description="asked for", ordering="requested_until")
    def asked_for(self, shipment: Shipment) -> str:
        return span(shipment.depot, shipment.requested_from, shipment.requested_until)


class Stops(ReadOnlyInline):
    model = Stop
    fields = ["position", "eta", "state", "to", "shipment", "recalled", "ended_at", "reason"]
    fields += ["proof_name", "photos"]
    readonly_fields = ["to", "recalled", "photos"]
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Stop]:
        photos = Prefetch("photos", ProofPhoto.objects.defer("image"))
        rows = super().get_queryset(request).select_related("shipment", "route__vehicle__depot")
        return rows.prefetch_related(photos)

    @admin.display(description="photos")
    def photos(self, stop: Stop) -> str:
        links = [(reverse("proof-photo", args=[p.pk]), p.number) for p in stop.photos.all()]
        return format_html_join(" ", '<a href="{}" target="_blank">photo {}</a>', links) or "–"

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
        "frozen",
        "version",
        "plan",
    ]
    list_filter = ["state", Lateness, "depot", "day", "frozen"]
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
        return link(plan_page.day_url(route.depot, route.day), "plan")

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
