"""Stock levels with what staff do to them, and the ledger."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from supplychain.admin_tools import ReadOnly, ReadOnlyAdmin, ShallowPaginator, journey_link

from .. import access, adjusting, correcting, forms, receiving
from ..file_pages import ExportsFiles, ImportsFiles
from ..models import Reservation, StockLevel, StockMovement
from ..resources import LevelResource, MovementResource
from .acting import Act, StaffAdmin, button, figures_of
from .filters import Availability, ByLevelsWarehouse, ByWarehouse

#: Lines that a level's page shows; the rest is a click away.
NEWEST = 25


def _this(level: StockLevel, said: dict[str, Any]) -> QuerySet[StockLevel]:
    return StockLevel.objects.filter(pk=level.pk)


def _limits_now(request: HttpRequest, level: StockLevel) -> dict[str, Any]:
    now = {"safety_stock": level.safety_stock, "reorder_point": level.reorder_point}
    return {"initial": now}


ADJUST = Act(
    "Adjust",
    "edit",
    access.STOCK,
    forms.AdjustForm,
    lambda level, by, said: adjusting.adjust_stock(level_id=level.pk, actor=by, **said),
    "What is on hand differs from the books, and you know by how much. If you have counted "
    "the shelf, use a count instead.",
    _this,
    done="Adjusted.",
)
QUARANTINE = Act(
    "Quarantine",
    "gpp_maybe",
    access.STOCK,
    forms.SetAsideForm,
    lambda level, by, said: adjusting.quarantine_stock(level_id=level.pk, actor=by, **said),
    "Units are set aside until somebody has looked at them; meanwhile no order gets them.",
    _this,
    done="Set aside.",
)
RESTOCK = Act(
    "Restock",
    "verified",
    access.STOCK,
    forms.RestockForm,
    lambda level, by, said: adjusting.restock_quarantined(level_id=level.pk, actor=by, **said),
    "Units from quarantine are good: they are on hand again, and go to orders that wait.",
    _this,
    done="On hand again.",
)
SCRAP = Act(
    "Scrap",
    "delete",
    access.STOCK,
    forms.ScrapForm,
    lambda level, by, said: adjusting.scrap_stock(level_id=level.pk, actor=by, **said),
    "Units are written off for good.",
    _this,
    done="Scrapped.",
    danger=True,
)
LIMITS = Act(
    "Set limits",
    "tune",
    access.LIMITS,
    forms.LimitsForm,
    lambda level, by, said: adjusting.set_limits(level_id=level.pk, actor=by, **said),
    "What is kept back from orders, and when more is ordered.",
    _this,
    _limits_now,
    done="Limits set.",
)
CORRECT = Act(
    "Correct the books",
    "healing",
    access.CORRECTIONS,
    forms.CorrectForm,
    lambda level, by, said: correcting.correct_stock(level_id=level.pk, actor=by, **said),
    "For a level that contradicts its ledger or its reservations (`manage.py stock verify` "
    "lists those). What is wrong is put right, and the correction stands in the ledger.",
    _this,
    done="Corrected.",
)
RECEIVE = Act(
    "Receive goods",
    "move_to_inbox",
    access.STOCK,
    forms.ReceiveForm,
    lambda row, by, said: receiving.receive_stock(actor=by, **said),
    "Goods that nobody has announced. If they are announced, open the inbound receipt instead.",
    lambda row, said: StockLevel.objects.filter(
        warehouse=said["warehouse"], product__sku__in=[sku for sku, _ in said["lines"]]
    ),
    lambda request, row: {"places": access.warehouses_of(request.user)},
    done="Received.",
)


@admin.register(StockLevel)
class StockLevelAdmin(ImportsFiles, ReadOnly, StaffAdmin):
    resource_classes = [LevelResource]
    import_rights = (access.IMPORTS,)
    list_display = [
        *("product", "name", "warehouse", "on_hand", "reserved", "free", "kept_for", "elsewhere"),
    ]
    list_filter = [ByWarehouse, Availability, "product__storage_class"]
    search_fields = ["product__sku", "product__name"]
    search_help_text = "A SKU or a product's name, or a part of it."
    list_select_related = ["product", "warehouse"]
    ordering = ["product__sku", "warehouse__code"]
    paginator = ShallowPaginator
    fieldsets = [(None, {"fields": [("sku", "warehouse"), ("counted_at", "is_low")]})]
    readonly_fields = ["sku", "counted_at", "is_low"]
    change_form_outer_before_template = "inventory/figures.html"
    change_form_outer_after_template = "inventory/level.html"
    actions = ["count_them", "move_them"]

    adjust, quarantine, restock, scrap = map(button, (ADJUST, QUARANTINE, RESTOCK, SCRAP))
    limits, correct, receive = map(button, (LIMITS, CORRECT, RECEIVE))
    actions_list = ["receive"]
    actions_row = ["adjust", "quarantine", "limits"]
    actions_detail = [
        "adjust",
        "quarantine",
        "limits",
        {"title": "More", "items": ["restock", "scrap", "correct"]},
    ]

    @admin.display(description="available", ordering=F("on_hand") - F("reserved"))
    def free(self, level: StockLevel) -> int:
        return level.available

    @admin.display(description="name", ordering="product__name")
    def name(self, level: StockLevel) -> str:
        return level.product.name

    @admin.display(description="safety, reorder", ordering="reorder_point")
    def kept_for(self, level: StockLevel) -> str:
        limits = (level.safety_stock, level.reorder_point)
        return f"{limits[0]}, {limits[1]}" if any(limits) else "–"

    @admin.display(description="not on hand", ordering=F("in_transit") + F("quarantined"))
    def elsewhere(self, level: StockLevel) -> str:
        told = {"in quarantine": level.quarantined, "in transit": level.in_transit}
        return ", ".join(f"{units} {where}" for where, units in told.items() if units) or "–"

    @admin.display(description="low")
    def is_low(self, level: StockLevel) -> str:
        low = level.available < level.reorder_point
        return "yes: fewer are available than the reorder point" if low else "no"

    @admin.display(description="product")
    def sku(self, level: StockLevel) -> str:
        url = reverse("admin:inventory_product_change", args=[level.product_id])
        return format_html(
            '<a href="{}" class="journey">{}</a> {}', url, level.product, level.product.name
        )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """With its newest movements and what is reserved of it; a stranger's is not read."""
        level = self.get_object(request, unquote(object_id))
        held = Reservation.objects.filter(level=level, state=Reservation.State.HELD)
        context = {
            "figures": figures_of(level),
            "movements": level.movements.order_by("-pk")[:NEWEST],
            "held": held.order_by("pick_on", "created_at")[:NEWEST],
            **(extra_context or {}),
        }
        return super().change_view(request, object_id, form_url, context)

    # --- several at once ------------------------------------------------------------------

    def has_count_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("inventory.add_cyclecount")

    def has_move_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("inventory.add_transfer")

    @admin.action(description="Count…", permissions=["count"])
    def count_them(self, request: HttpRequest, queryset: QuerySet[StockLevel]) -> Any:
        filled = {"which": "some", "skus": "\n"}
        return self._go_on(request, queryset, "cyclecount_open_count", "warehouse", filled, "{}")

    @admin.action(description="Transfer…", permissions=["move"])
    def move_them(self, request: HttpRequest, queryset: QuerySet[StockLevel]) -> Any:
        filled = {"lines": "\n"}
        return self._go_on(request, queryset, "transfer_propose", "source", filled, "{} 1")

    def _go_on(
        self,
        request: HttpRequest,
        queryset: QuerySet[StockLevel],
        page: str,
        place: str,
        filled: dict[str, str],
        line: str,
    ) -> HttpResponse | None:
        """To the page that asks for the rest, with the chosen products filled in."""
        levels = list(queryset.select_related("product")[: forms.MOST_LINES])
        sites = {level.warehouse_id for level in levels}
        if len(sites) != 1:
            self.message_user(request, "Choose levels of one warehouse.", messages.WARNING)
            return None
        text = "\n".join(line.format(level.product.sku) for level in levels)
        query = {name: text if value == "\n" else value for name, value in filled.items()}
        query[place] = str(sites.pop())
        return HttpResponseRedirect(f"{reverse(f'admin:inventory_{page}')}?{urlencode(query)}")


@admin.register(StockMovement)
class StockMovementAdmin(ExportsFiles, ReadOnlyAdmin, StaffAdmin):
    resource_classes = [MovementResource]
    places = ("level__warehouse",)
    list_display = ["at", "level", "units", "reason", "bucket", "reference", "note", "actor"]
    list_filter = ["reason", "bucket", ByLevelsWarehouse, "at"]
    search_fields = ["=level__product__sku", "=reference", "=actor", "=correlation_id"]
    search_help_text = "Exactly: a SKU, a reference, somebody's name, or a correlation id."
    list_select_related = ["level__product", "level__warehouse"]
    ordering = ["-pk"]
    paginator = ShallowPaginator
    exclude = ["correlation_id"]
    readonly_fields = ["journey"]

    @admin.display(description="units", ordering="delta")
    def units(self, movement: StockMovement) -> str:
        return f"{movement.delta:+,}"

    @admin.display(description="events of its journey")
    def journey(self, movement: StockMovement) -> str:
        return journey_link(movement.correlation_id)
