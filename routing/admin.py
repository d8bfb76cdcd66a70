from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Prefetch, Q, QuerySet, Value
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join

from supplychain.admin_tools import ReadOnlyAdmin, ReadOnlyInline, journey_link

from . import drivers, driving, plan_page, selectors
from . import fleet_admin as fleet_admin
from . import plan_admin as plan_admin
from .admin_filters import Lateness, Trouble
from .admin_links import at_depot, figure, link, link_to, span
from .goods import in_words
from .models import ProofPhoto, Route, Shipment, Stop


def recalled(shipment: Shipment) -> str:
    return "cancelled after it had left: it must come back" if shipment.recalled else "–"


class Visits(ReadOnlyInline):
    """Of a shipment: each route it stood in, and how that ended."""

    model = Stop
    fields = ["route_link", "position", "comes", "state", "ended", "reason", "proof_name"]
    readonly_fields = ["route_link", "comes", "ended"]
    ordering = ["-eta"]
    show_change_link = False
    verbose_name_plural = "stops"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Stop]:
        rows = super().get_queryset(request)
        return rows.select_related("route__vehicle__depot", "route__depot")

    comes = at_depot("eta", "ETA", route="route")
    ended = at_depot("ended_at", "ended", route="route")

    @admin.display(description="route")
    def route_link(self, stop: Stop) -> str:
        return link_to("route", stop.route_id, stop.route)


@admin.register(Shipment)
class ShipmentAdmin(ReadOnlyAdmin):
    list_display = [
        *("customer", "address", "depot", "state", "promise", "asked_for", "attempts"),
        *("unplannable_reason", "ready"),
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
                    ("told", "ready"),
                    ("release", "missed"),
                ]
            },
        ),
        ("Trouble", {"fields": [("attempts", "back", "still_on"), "unplannable_reason"]}),
    ]
    readonly_fields = [
        *("order", "journey", "route", "holds", "needs", "promise", "asked_for"),
        *("told", "ready", "release", "missed", "back", "still_on"),
    ]
    inlines = [Visits]

    told = at_depot("told_eta", "ETA told last")
    ready = at_depot("ready_at", "ready")
    release = at_depot("release_at", "does not leave before")
    missed = at_depot("missed_at", "window missed")

    @admin.display(description="recalled")
    def back(self, shipment: Shipment) -> str:
        return recalled(shipment)

    @admin.display(description="still on")
    def still_on(self, shipment: Shipment) -> str:
        """The vehicle that could not hand it over."""
        route = shipment.carried_by
        return link_to("route", route.pk, str(route)) if route else "–"

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
    fields = ["position", "comes", "state", "to", "goods", "shipment", "back", "ended", "reason"]
    fields += ["proof_name", "photos"]
    readonly_fields = ["comes", "to", "goods", "back", "ended", "photos"]
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Stop]:
        photos = Prefetch("photos", ProofPhoto.objects.defer("image"))
        rows = super().get_queryset(request).prefetch_related(photos)
        return rows.select_related("shipment", "route__vehicle__depot", "route__depot")

    comes = at_depot("eta", "ETA", route="route", day=True)
    ended = at_depot("ended_at", "ended", route="route", day=True)

    @admin.display(description="photos")
    def photos(self, stop: Stop) -> str:
        links = [(reverse("proof-photo", args=[p.pk]), p.number) for p in stop.photos.all()]
        return format_html_join(" ", '<a href="{}" target="_blank">photo {}</a>', links) or "–"

    @admin.display(description="to")
    def to(self, stop: Stop) -> str:
        return f"{stop.shipment.customer}, {stop.shipment.address}"

    @admin.display(description="goods")
    def goods(self, stop: Stop) -> str:
        return in_words(stop.shipment.goods) or f"{stop.shipment.items} items"

    @admin.display(description="recalled")
    def back(self, stop: Stop) -> str:
        return recalled(stop.shipment)


@admin.register(Route)
class RouteAdmin(ReadOnlyAdmin):
    list_display = [
        *("day", "depot", "vehicle", "driven_by", "state", "stop_count", "km", "kg"),
        *("leaves", "back", "held", "plan"),
    ]
    list_filter = ["state", Lateness, "depot", "day", "frozen"]
    search_fields = ["=id", "vehicle__name", "=stops__shipment__order_id"]
    list_select_related = ["depot", "vehicle__depot", "vehicle__driver", "driver"]
    date_hierarchy = "day"
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("depot", "vehicle", "day"),
                    ("state", "stop_count", "driven_by"),
                    ("leaves", "back", "departs"),
                    "pages",
                ]
            },
        ),
        (
            "As planned",
            {"fields": [("km", "kg", "m3", "costs"), ("version", "planned", "run"), "held"]},
        ),
    ]
    readonly_fields = [
        *("stop_count", "driven_by", "leaves", "back", "departs", "pages"),
        *("km", "kg", "m3", "costs", "planned", "held"),
    ]
    inlines = [Stops]
    actions = ["dispatch_routes"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        ended = Count("stops", filter=~Q(stops__state=Stop.State.PENDING))
        rows: QuerySet[Route] = super().get_queryset(request)
        may_drive = Value(request.user.has_perm(drivers.CHANGE))
        return rows.annotate(stop_total=Count("stops"), stop_ended=ended, may_drive=may_drive)

    leaves = at_depot("starts_at", "leaves", day=True)
    back = at_depot("ends_at", "back", day=True)
    departs = at_depot("departs_at", "of the departure")
    planned = at_depot("planned_at", "planned last")
    km, kg = figure("distance_km", "km"), figure("load_kg", "kg", 1)
    m3, costs = figure("load_m3", "m³", 2), figure("cost", "cost", 2)

    @admin.display(description="frozen", ordering="frozen")
    def held(self, route: Route) -> str:
        return "frozen" if route.frozen else "–"

    @admin.display(description="driver")
    def driven_by(self, route: Route) -> str:
        somebody = route.driver or route.vehicle.driver
        return somebody.get_username() if somebody else "–"

    @admin.display(description="pages")
    def pages(self, route: Any) -> str:
        manifest = reverse("plan-manifest", args=[route.depot.code, route.day])
        links = [self.plan(route), link(f"{manifest}?route={route.pk}", "manifest")]
        if route.may_drive:
            links.append(link(reverse("driver-route", args=[route.pk]), "driver's page"))
        return format_html_join(" · ", "{}", ((one,) for one in links))

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
