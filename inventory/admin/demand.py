"""What orders have reserved, and what they wait for."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from supplychain.admin_tools import (
    ReadOnly,
    ReadOnlyAdmin,
    ReadOnlyInline,
    ShallowPaginator,
    journey_link,
)

from .. import access, forms, releasing
from ..file_pages import ExportsFiles
from ..models import Allocation, Backorder, Cut, Reservation
from ..resources import BackorderResource, ReservationResource
from .acting import Act, StaffAdmin, button
from .filters import ByLevelsWarehouse

RELEASE = Act(
    "Release",
    "lock_open_right",
    access.RELEASES,
    forms.ReleaseForm,
    lambda row, by, said: releasing.release_reservation(reservation_id=row.pk, actor=by, **said),
    "The units can't go to this order. Routing is asked first whether they have left already; "
    "once it has said no, they are free, and the order waits in line for others.",
    while_in=(Reservation.State.HELD,),
    done="Asked for: the units are free as soon as routing has answered.",
    danger=True,
)


def order_link(row: Reservation | Backorder) -> str:
    page = reverse("admin:inventory_allocation_change", args=[row.allocation_id])
    return format_html('<a href="{}" class="journey">{}</a>', page, row.allocation_id)


@admin.register(Reservation)
class ReservationAdmin(ExportsFiles, ReadOnly, StaffAdmin):
    resource_classes = [ReservationResource]
    places = ("level__warehouse",)
    list_display = ["pick_on", "level", "quantity", "state", "order", "expires_at"]
    list_filter = ["state", ByLevelsWarehouse, "pick_on"]
    search_fields = ["=shipment_id", "=allocation__order_id", "=level__product__sku"]
    search_help_text = "Exactly: a SKU, a shipment's id, or an order's id."
    list_select_related = ["level__product", "level__warehouse"]
    ordering = ["-pk"]
    paginator = ShallowPaginator
    readonly_fields = ["asked_back"]
    release = button(RELEASE)
    actions_detail = ["release"]

    @admin.display(description="order")
    def order(self, row: Reservation) -> str:
        return order_link(row)

    @admin.display(description="asked back")
    def asked_back(self, row: Reservation) -> str:
        cuts = Cut.objects.filter(allocation=row.allocation_id, shipment_id=row.shipment_id)
        sku = row.level.product.sku
        told = [
            f"{cut.units[sku]} by {cut.asked_by or 'the customer'}: {cut.get_state_display()}"
            for cut in cuts.order_by("asked_at")
            if sku in cut.units
        ]
        return "; ".join(told) or "–"


class Reservations(ReadOnlyInline):
    model = Reservation
    fields = ["level", "quantity", "state", "pick_on", "shipment_id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Reservation]:
        rows: QuerySet[Reservation] = super().get_queryset(request)
        rows = rows.select_related("level__product", "level__warehouse")
        return access.theirs(request.user, rows, "level__warehouse")


class Backorders(ReadOnlyInline):
    model = Backorder
    fields = ["product", "quantity", "priority", "placed_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("product")


@admin.register(Allocation)
class AllocationAdmin(ReadOnlyAdmin, StaffAdmin):
    """An order as inventory knows it; who works in some warehouses sees those they pick for, and
    those that wait for stock: it may come to them."""

    places = ()
    list_display = ["order_id", "state", "channel", "priority", "placed_at", "confirm_by"]
    list_filter = ["state"]
    search_fields = ["=order_id", "=correlation_id"]
    search_help_text = "Exactly: an order's id, or a correlation id."
    ordering = ["-placed_at"]
    paginator = ShallowPaginator
    inlines = [Reservations, Backorders]
    exclude = ["correlation_id"]
    readonly_fields = ["journey"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Allocation]:
        rows: QuerySet[Allocation] = super().get_queryset(request)
        if request.user.has_perm(access.EVERYWHERE):
            return rows
        mine = access.theirs(request.user, Reservation.objects.all(), "level__warehouse")
        waiting = Backorder.objects.filter(allocation=OuterRef("pk"))
        return rows.filter(Q(pk__in=mine.values("allocation")) | Exists(waiting))

    @admin.display(description="events of its journey")
    def journey(self, allocation: Allocation) -> str:
        return journey_link(allocation.correlation_id)


@admin.register(Backorder)
class BackorderAdmin(ExportsFiles, ReadOnlyAdmin):
    resource_classes = [BackorderResource]
    list_display = ["placed_at", "product", "quantity", "priority", "order"]
    list_filter = ["priority"]
    search_fields = ["=product__sku", "=allocation__order_id"]
    search_help_text = "Exactly: a SKU, or an order's id."
    list_select_related = ["product"]
    ordering = ["-priority", "placed_at"]
    paginator = ShallowPaginator

    @admin.display(description="order")
    def order(self, row: Backorder) -> str:
        return order_link(row)
