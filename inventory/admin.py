from __future__ import annotations

import dataclasses
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from supplychain.admin_tools import ReadOnlyAdmin, ReadOnlyInline

from . import services
from .forms import AdjustForm, ReceiveForm
from .models import (
    Allocation,
    Backorder,
    Product,
    Reservation,
    StockLevel,
    StockMovement,
    Warehouse,
)


class RegisteredAdmin(admin.ModelAdmin):
    """Saving goes through the service, so that the change is told to everybody."""

    key = ""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [self.key] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # its events and ledger remain: set it inactive


@admin.register(Warehouse)
class WarehouseAdmin(RegisteredAdmin):
    key = "code"
    list_display = ["code", "name", "priority", "time_zone", "cut_off", "daily_picks", "active"]
    list_filter = ["active"]
    search_fields = ["code", "name"]

    def save_model(
        self, request: HttpRequest, obj: Warehouse, form: forms.ModelForm, change: bool
    ) -> None:
        own = ["code", "name", "latitude", "longitude", "active"]
        rules = {f.name: getattr(obj, f.name) for f in dataclasses.fields(services.WarehouseRules)}
        saved = services.register_warehouse(
            **{name: getattr(obj, name) for name in own}, rules=services.WarehouseRules(**rules)
        )
        obj.pk = saved.pk


@admin.register(Product)
class ProductAdmin(RegisteredAdmin):
    key = "sku"
    list_display = ["sku", "name", "weight_kg", "volume_m3", "storage_class", "active"]
    list_filter = ["active", "storage_class"]
    search_fields = ["sku", "name"]

    def save_model(
        self, request: HttpRequest, obj: Product, form: forms.ModelForm, change: bool
    ) -> None:
        fields = [f.name for f in dataclasses.fields(services.ProductData)]
        data = services.ProductData(**{name: getattr(obj, name) for name in fields})
        services.register_products(products=[data])
        obj.pk = Product.objects.get(sku=obj.sku).pk


class InStock(admin.SimpleListFilter):
    title = "availability"
    parameter_name = "availability"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "available"), ("no", "nothing available")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "yes":
            return queryset.filter(on_hand__gt=F("reserved"))
        return queryset.filter(on_hand=F("reserved")) if self.value() == "no" else queryset


class Ledger(ReadOnlyInline):
    model = StockMovement
    fields = ["at", "delta", "reason", "reference", "actor", "correlation_id"]
    readonly_fields = ["at"]
    ordering = ["-pk"]
    verbose_name_plural = "ledger"
    show_change_link = False


@admin.register(StockLevel)
class StockLevelAdmin(ReadOnlyAdmin):
    list_display = ["product", "warehouse", "on_hand", "reserved", "free", "adjust_link"]
    list_filter = ["warehouse", InStock]
    search_fields = ["product__sku", "product__name"]
    list_select_related = ["product", "warehouse"]
    inlines = [Ledger]
    change_list_template = "inventory/levels.html"

    @admin.display(description="available", ordering=F("on_hand") - F("reserved"))
    def free(self, level: StockLevel) -> int:
        return level.available

    @admin.display(description="")
    def adjust_link(self, level: StockLevel) -> str:
        return format_html(
            '<a href="{}">Adjust</a>', reverse("admin:inventory_adjust", args=[level.pk])
        )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("receive/", view(self.receive), name="inventory_receive"),
            path("<int:pk>/adjust/", view(self.adjust), name="inventory_adjust"),
            *super().get_urls(),
        ]

    def receive(self, request: HttpRequest) -> HttpResponse:
        self._may_change(request)
        form = ReceiveForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            booked = services.receive_stock(
                warehouse=form.cleaned_data["warehouse"],
                lines=[(form.cleaned_data["sku"].sku, form.cleaned_data["quantity"])],
                reference=form.cleaned_data["reference"],
                actor=request.user.get_username(),
            )
            text = "Received." if booked else "This reference was booked before; nothing changed."
            self.message_user(request, text, messages.SUCCESS if booked else messages.WARNING)
            return HttpResponseRedirect(reverse("admin:inventory_stocklevel_changelist"))
        return self._form(request, "Receive stock", form)

    def adjust(self, request: HttpRequest, pk: int) -> HttpResponse:
        self._may_change(request)
        level = get_object_or_404(StockLevel.objects.select_related("product", "warehouse"), pk=pk)
        form = AdjustForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                services.adjust_stock(
                    level_id=pk, actor=request.user.get_username(), **form.cleaned_data
                )
            except services.InvalidStockChange as refusal:
                form.add_error("delta", str(refusal))
            else:
                self.message_user(request, f"{level} adjusted.")
                return HttpResponseRedirect(reverse("admin:inventory_stocklevel_changelist"))
        title = f"Adjust {level}: {level.on_hand} on hand, {level.reserved} reserved"
        return self._form(request, title, form)

    def _may_change(self, request: HttpRequest) -> None:
        if not request.user.has_perm("inventory.change_stocklevel"):
            raise PermissionDenied

    def _form(self, request: HttpRequest, title: str, form: forms.Form) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "title": title, "form": form}
        return render(request, "inventory/stock_form.html", {**context, "opts": self.opts})


@admin.register(StockMovement)
class StockMovementAdmin(ReadOnlyAdmin):
    list_display = ["at", "level", "delta", "reason", "reference", "actor"]
    list_filter = ["reason", "level__warehouse", "at"]
    search_fields = ["=level__product__sku", "=reference", "actor", "=correlation_id"]
    list_select_related = ["level__product", "level__warehouse"]


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "level", "quantity", "state", "shipment_id", "allocation"]
    list_filter = ["state", "level__warehouse"]
    search_fields = ["=shipment_id", "=allocation__order_id", "=level__product__sku"]
    list_select_related = ["level__product", "level__warehouse", "allocation"]


class Reservations(ReadOnlyInline):
    model = Reservation
    fields = ["level", "quantity", "state", "shipment_id"]


class Backorders(ReadOnlyInline):
    model = Backorder


@admin.register(Allocation)
class AllocationAdmin(ReadOnlyAdmin):
    list_display = ["order_id", "state", "placed_at", "correlation_id"]
    list_filter = ["state"]
    search_fields = ["=order_id", "=correlation_id"]
    inlines = [Reservations, Backorders]


@admin.register(Backorder)
class BackorderAdmin(ReadOnlyAdmin):
    list_display = ["placed_at", "product", "quantity", "allocation"]
    search_fields = ["=product__sku", "=allocation__order_id"]
    list_select_related = ["product", "allocation"]
