"""Products, warehouses, who works where, and from where orders are sent."""

from __future__ import annotations

import dataclasses
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from supplychain.admin_tools import ModelAdmin

from .. import product_page, ruling, services
from ..file_pages import ImportsFiles
from ..models import Product, RegionExclusion, SourcingRule, Warehouse, WarehouseStaff
from ..resources import ProductResource
from .acting import StaffAdmin


class RegisteredAdmin(StaffAdmin):
    """Saving goes through the service, so that the change is told to everybody."""

    key = ""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [self.key] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # its events and ledger remain: set it inactive


@admin.register(Warehouse)
class WarehouseAdmin(RegisteredAdmin):
    key, places = "code", ("pk",)
    list_display = ["code", "name", "priority", "time_zone", "cut_off", "daily_picks", "active"]
    list_filter = ["active"]
    search_fields = ["code", "name"]
    fieldsets = [
        (None, {"fields": ["code", "name", ("latitude", "longitude"), "active"]}),
        (
            "Picking",
            {"fields": [("time_zone", "cut_off"), ("daily_picks", "count_every_days")]},
        ),
        ("Sourcing", {"fields": ["priority", ("handling_cost", "cost_per_km")]}),
    ]

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
class ProductAdmin(ImportsFiles, RegisteredAdmin):
    key, places = "sku", ()
    resource_classes = [ProductResource]
    import_rights = ("inventory.add_product", "inventory.change_product")
    list_display = ["sku", "name", "weight_kg", "volume_m3", "storage_class", "active"]
    list_filter = ["active", "storage_class"]
    search_fields = ["sku", "name"]
    ordering = ["sku"]
    fieldsets = [
        (
            None,
            {"fields": [("sku", "name"), ("weight_kg", "volume_m3"), ("storage_class", "active")]},
        )
    ]

    change_form_outer_after_template = "inventory/product_page.html"

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        product = self.get_object(request, unquote(object_id))
        stock = product_page.stock_of(product, request.user)
        context = {"product": product, "stock": stock, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def save_model(
        self, request: HttpRequest, obj: Product, form: forms.ModelForm, change: bool
    ) -> None:
        fields = [f.name for f in dataclasses.fields(services.ProductData)]
        data = services.ProductData(**{name: getattr(obj, name) for name in fields})
        services.register_products(products=[data])
        obj.pk = Product.objects.get(sku=obj.sku).pk


@admin.register(WarehouseStaff)
class WarehouseStaffAdmin(ModelAdmin):
    list_display = ["user", "warehouse"]
    list_filter = ["warehouse"]
    search_fields = ["user__username", "warehouse__code"]
    list_select_related = ["user", "warehouse"]
    autocomplete_fields = ["user", "warehouse"]


@admin.register(SourcingRule)
class SourcingRuleAdmin(ModelAdmin):
    list_display = ["__str__", "channel", "policy"]
    list_filter = ["policy"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["channel"] if obj else []

    def save_model(
        self, request: HttpRequest, obj: SourcingRule, form: forms.ModelForm, change: bool
    ) -> None:
        by = request.user.get_username()
        obj.pk = ruling.set_policy(channel=obj.channel, policy=obj.policy, actor=by).pk


@admin.register(RegionExclusion)
class RegionExclusionAdmin(ModelAdmin):
    list_display = ["warehouse", "country", "region", "channel"]
    list_filter = ["warehouse"]
    search_fields = ["=country", "region"]
    list_select_related = ["warehouse"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # delete it and make another

    def save_model(
        self, request: HttpRequest, obj: RegionExclusion, form: forms.ModelForm, change: bool
    ) -> None:
        where = {name: getattr(obj, name) for name in ("warehouse", "country", "region", "channel")}
        obj.pk = ruling.exclude_region(**where, actor=request.user.get_username()).pk

    def delete_model(self, request: HttpRequest, obj: RegionExclusion) -> None:
        ruling.include_region(exclusion=obj, actor=request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[RegionExclusion]) -> None:
        for row in queryset:
            self.delete_model(request, row)
