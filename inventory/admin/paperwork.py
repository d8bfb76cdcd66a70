"""Receipts, transfers, counts and imports, with what staff do to them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest

from supplychain.admin_tools import ReadOnly, ReadOnlyAdmin, ReadOnlyInline, ShallowPaginator

from .. import access, counting, forms, receiving, transferring
from ..models import (
    CountLine,
    CycleCount,
    Receipt,
    ReceiptLine,
    StockImport,
    StockImportError,
    StockLevel,
    Transfer,
    TransferLine,
)
from .acting import Act, StaffAdmin, button
from .filters import BySource, ByTarget, ByWarehouse

#: Products that a form asks about at once; the rest next time.
ASKED_AT_ONCE = 50


def _levels(said: dict[str, Any], *sites: Any) -> QuerySet[StockLevel]:
    skus = [sku for sku, _ in said.get("lines", [])]
    return StockLevel.objects.filter(warehouse__in=sites, product__sku__in=skus)


def _own_places(request: HttpRequest, row: Any) -> dict[str, Any]:
    return {"places": access.warehouses_of(request.user)}


class Lines(ReadOnlyInline):
    """Of a piece of paperwork, page by page."""

    show_change_link = False
    per_page = 50
    hide_title = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("product").order_by("product__sku")


# --- receipts -----------------------------------------------------------------------------


def _missing(request: HttpRequest, row: Receipt) -> dict[str, Any]:
    lines = row.lines.filter(received__lt=F("quantity")).select_related("product")
    return {
        "products": [
            (
                line.product.sku,
                f"{line.quantity} announced, {line.received} came so far.",
                line.quantity - line.received,
            )
            for line in lines.order_by("product__sku")[:ASKED_AT_ONCE]
        ]
    }


def _announced(request: HttpRequest, row: Receipt) -> dict[str, Any]:
    lines = row.lines.order_by("product__sku").values_list("product__sku", "quantity")
    return {
        "initial": {
            "supplier": row.supplier,
            "expected_on": row.expected_on,
            "lines": "\n".join(f"{sku} {units}" for sku, units in lines),
        }
    }


_CHANGE_RECEIPT = "inventory.change_receipt"
_EXPECTED = (Receipt.State.EXPECTED,)
ANNOUNCE = Act(
    "Announce goods",
    "add",
    "inventory.add_receipt",
    forms.AnnounceForm,
    lambda row, by, said: receiving.expect_receipt(actor=by, **said)[0],
    "What a supplier has promised to send. It can be promised to orders for that day.",
    asks=_own_places,
    done="Announced.",
)
ARRIVED = Act(
    "Receive",
    "move_to_inbox",
    access.STOCK,
    forms.ArrivalForm,
    lambda row, by, said: receiving.receive_stock(
        warehouse=row.warehouse, receipt=row, actor=by, **said
    ),
    "What has come of it. Leave empty what has not come; it stays expected.",
    lambda row, said: _levels(said, row.warehouse),
    _missing,
    _EXPECTED,
    done="Received.",
)
CHANGE = Act(
    "Change",
    "edit",
    _CHANGE_RECEIPT,
    forms.ChangeReceiptForm,
    lambda row, by, said: receiving.change_receipt(receipt_id=row.pk, actor=by, **said),
    "What the supplier has announced is different now. What has come stays counted.",
    asks=_announced,
    while_in=_EXPECTED,
    done="Changed.",
)
CLOSE = Act(
    "Wait no longer",
    "done_all",
    _CHANGE_RECEIPT,
    forms.NothingToSayForm,
    lambda row, by, said: receiving.close_receipt(receipt_id=row.pk, actor=by),
    "Nobody waits any longer for what is missing of it.",
    while_in=_EXPECTED,
    done="Closed.",
)
CANCEL_RECEIPT = Act(
    "Cancel receipt",
    "cancel",
    _CHANGE_RECEIPT,
    forms.NothingToSayForm,
    lambda row, by, said: receiving.cancel_receipt(receipt_id=row.pk, actor=by),
    "The goods won't come.",
    while_in=_EXPECTED,
    done="Cancelled.",
    danger=True,
)


class ReceiptLines(Lines):
    model = ReceiptLine


@admin.register(Receipt)
class ReceiptAdmin(ReadOnly, StaffAdmin):
    list_display = ["reference", "warehouse", "supplier", "expected_on", "state", "created_by"]
    list_filter = ["state", ByWarehouse, "expected_on"]
    search_fields = ["reference", "supplier", "=lines__product__sku"]
    list_select_related = ["warehouse"]
    ordering = ["-created_at"]
    paginator = ShallowPaginator
    inlines = [ReceiptLines]
    announce, receive, change_announcement = map(button, (ANNOUNCE, ARRIVED, CHANGE))
    close, cancel = map(button, (CLOSE, CANCEL_RECEIPT))
    actions_list = ["announce"]
    actions_detail = ["receive", "change_announcement", "close", "cancel"]


# --- transfers ----------------------------------------------------------------------------


def _sent(row: Transfer) -> dict[str, Any]:
    skus = row.lines.values_list("product__sku", flat=True)
    return {"lines": [(sku, 0) for sku in skus]}


def _of_both(row: Transfer, said: dict[str, Any]) -> QuerySet[StockLevel]:
    return _levels(_sent(row), row.source, row.target)


def _shipped(request: HttpRequest, row: Transfer) -> dict[str, Any]:
    lines = row.lines.select_related("product").order_by("product__sku")
    return {"products": [(x.product.sku, f"{x.quantity} shipped.", x.quantity) for x in lines]}


def _proposed(request: HttpRequest, row: Transfer) -> dict[str, Any]:
    lines = row.lines.order_by("product__sku").values_list("product__sku", "quantity")
    return {"initial": {"lines": "\n".join(f"{sku} {units}" for sku, units in lines)}}


_CHANGE_TRANSFER = "inventory.change_transfer"
_T = Transfer.State
PROPOSE = Act(
    "Propose a transfer",
    "add",
    "inventory.add_transfer",
    forms.TransferForm,
    lambda row, by, said: transferring.propose_transfer(actor=by, **said),
    "Stock that should go from one warehouse to another. Nothing moves before it is shipped.",
    asks=_own_places,
    done="Proposed.",
)
SHIP = Act(
    "Ship",
    "local_shipping",
    _CHANGE_TRANSFER,
    forms.ShipForm,
    lambda row, by, said: transferring.ship_transfer(transfer_id=row.pk, actor=by, **said),
    "The goods have left. Only what no order has reserved can leave.",
    _of_both,
    while_in=(_T.PROPOSED,),
    at="source",
    done="Shipped.",
)
ARRIVE = Act(
    "Receive",
    "move_to_inbox",
    _CHANGE_TRANSFER,
    forms.TransferArrivalForm,
    lambda row, by, said: transferring.receive_transfer(transfer_id=row.pk, actor=by, **said),
    "What has arrived, of each product; 0 for none. What is missing is booked as lost.",
    _of_both,
    _shipped,
    (_T.IN_TRANSIT,),
    at="target",
    done="Received.",
)
CHANGE_LINES = Act(
    "Change",
    "edit",
    _CHANGE_TRANSFER,
    forms.LinesForm,
    lambda row, by, said: transferring.change_transfer(transfer_id=row.pk, actor=by, **said),
    "Move this instead of what was proposed.",
    asks=_proposed,
    while_in=(_T.PROPOSED,),
    at="source",
    done="Changed.",
)
CALL_OFF = Act(
    "Cancel transfer",
    "cancel",
    _CHANGE_TRANSFER,
    forms.ReasonForm,
    lambda row, by, said: transferring.cancel_transfer(transfer_id=row.pk, actor=by, **said),
    "It won't happen. What is on the way comes back to where it was sent from.",
    _of_both,
    while_in=(_T.PROPOSED, _T.IN_TRANSIT),
    at="source",
    done="Cancelled.",
    danger=True,
)


class TransferLines(Lines):
    model = TransferLine


@admin.register(Transfer)
class TransferAdmin(ReadOnly, StaffAdmin):
    places = ("source", "target")
    list_display = [
        "created_at",
        "source",
        "target",
        "state",
        "expected_on",
        "reason",
        "created_by",
    ]
    list_filter = ["state", BySource, ByTarget]
    search_fields = ["=id", "=lines__product__sku"]
    search_help_text = "Exactly: a SKU, or a transfer's id."
    list_select_related = ["source", "target"]
    ordering = ["-created_at"]
    paginator = ShallowPaginator
    inlines = [TransferLines]
    propose, ship, receive = map(button, (PROPOSE, SHIP, ARRIVE))
    change_lines, cancel = map(button, (CHANGE_LINES, CALL_OFF))
    actions_list = ["propose"]
    actions_detail = ["ship", "receive", "change_lines", "cancel"]


# --- counts -------------------------------------------------------------------------------


def _to_count(request: HttpRequest, row: CycleCount) -> dict[str, Any]:
    """What is not counted yet, or what is looked for (?q=). Nobody is told what to find."""
    lines = row.lines.select_related("level__product")
    term = request.GET.get("q", "").strip()
    found = Q(level__product__sku__icontains=term) | Q(level__product__name__icontains=term)
    lines = lines.filter(found if term else Q(counted_at=None))
    return {
        "products": [
            (line.level.product.sku, _counted(line), None)
            for line in lines.order_by("level__product__sku")[:ASKED_AT_ONCE]
        ]
    }


def _counted(line: CountLine) -> str:
    name = line.level.product.name
    return name if line.counted is None else f"{name}: {line.counted_by} counted {line.counted}."


_CHANGE_COUNT = "inventory.change_cyclecount"
_OPEN = (CycleCount.State.OPEN,)
OPEN_COUNT = Act(
    "Open a count",
    "add",
    "inventory.add_cyclecount",
    forms.OpenCountForm,
    lambda row, by, said: counting.open_count(actor=by, **said),
    "Have shelves counted. Nothing changes before somebody has counted.",
    asks=_own_places,
    done="Opened.",
)
RECORD = Act(
    "Enter what was counted",
    "checklist",
    _CHANGE_COUNT,
    forms.CountForm,
    lambda row, by, said: counting.record_count(count_id=row.pk, actor=by, **said),
    "Fill in what you have counted and leave the rest empty; what is entered is booked.",
    lambda row, said: _levels(said, row.warehouse),
    _to_count,
    _OPEN,
    done="Booked.",
    searchable=True,
)
CLOSE_COUNT = Act(
    "Finish",
    "done_all",
    _CHANGE_COUNT,
    forms.NothingToSayForm,
    lambda row, by, said: counting.close_count(count_id=row.pk, actor=by),
    "The count is over. What was not counted stays due.",
    while_in=_OPEN,
    done="Closed.",
)
CANCEL_COUNT = Act(
    "Cancel count",
    "cancel",
    _CHANGE_COUNT,
    forms.NothingToSayForm,
    lambda row, by, said: counting.cancel_count(count_id=row.pk, actor=by),
    "The count is given up. What was counted stays counted.",
    while_in=_OPEN,
    done="Cancelled.",
    danger=True,
)


class CountLines(Lines):
    model = CountLine
    fields = ["product", "counted", "expected", "counted_by", "counted_at"]
    readonly_fields = ["product"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super(Lines, self).get_queryset(request).select_related("level__product")
        return rows.order_by("level__product__sku")

    @admin.display(description="product")
    def product(self, line: CountLine) -> str:
        return f"{line.level.product.sku} {line.level.product.name}"


@admin.register(CycleCount)
class CycleCountAdmin(ReadOnly, StaffAdmin):
    list_display = ["due_on", "warehouse", "state", "created_by", "created_at", "ended_at"]
    list_filter = ["state", ByWarehouse, "due_on"]
    search_fields = ["=id", "=lines__level__product__sku"]
    search_help_text = "Exactly: a SKU, or a count's id."
    list_select_related = ["warehouse"]
    ordering = ["-created_at"]
    paginator = ShallowPaginator
    inlines = [CountLines]
    open_count, record = map(button, (OPEN_COUNT, RECORD))
    close, cancel = map(button, (CLOSE_COUNT, CANCEL_COUNT))
    actions_list = ["open_count"]
    actions_detail = ["record", "close", "cancel"]


# --- imports ------------------------------------------------------------------------------


class Errors(ReadOnlyInline):
    model = StockImportError
    show_change_link = False
    per_page = 50
    hide_title = True


@admin.register(StockImport)
class StockImportAdmin(ReadOnlyAdmin, StaffAdmin):
    places = ()
    list_display = [
        *("reference", "state", "rows_done", "rows_changed", "rows_wrong"),
        *("started_by", "started_at", "ended_at"),
    ]
    list_filter = ["state"]
    search_fields = ["reference"]
    ordering = ["-pk"]
    inlines = [Errors]

    def get_queryset(self, request: HttpRequest) -> QuerySet[StockImport]:
        """A file may be about any warehouse: who does not work in all sees their own files."""
        rows: QuerySet[StockImport] = super().get_queryset(request)
        if request.user.has_perm(access.EVERYWHERE):
            return rows
        return rows.filter(started_by=request.user.get_username())
