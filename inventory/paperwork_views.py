"""The API of receipts, transfers and counts, for staff and authorised systems."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Model, Prefetch, Q, QuerySet
from rest_framework.generics import ListAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from supplychain.api import RecentFirst

from . import counting, receiving, transferring
from . import paperwork_serializers as shapes
from .api_access import StaffView, mine
from .models import CountLine, CycleCount, Receipt, ReceiptLine, Transfer, TransferLine


class NewestFirst(RecentFirst):
    ordering = "-id"  # of UUIDs that sort by time


class ByKey(RecentFirst):
    ordering = "pk"


# --- announced receipts -------------------------------------------------------------------


class ExpectedReceipts(StaffView, ListAPIView[Receipt]):
    serializer_class = shapes.ReceiptOut
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[Receipt]:
        wanted = self.question(shapes.ReceiptQuery)
        if "warehouse" in wanted:
            wanted["warehouse__code"] = wanted.pop("warehouse")
        return _receipts(self.request).filter(**wanted)

    def post(self, request: Request) -> Response:
        """Announce goods: 201; the same again: 200; something else under the reference: 409."""
        row, new = receiving.expect_receipt(**self.body(shapes.ExpectedReceiptIn), actor=self.actor)
        return Response(_receipt(request, row.pk), status=201 if new else 200)


class ExpectedReceipt(StaffView):
    serializer_class = shapes.ReceiptDetailOut

    def get(self, request: Request, pk: UUID) -> Response:
        return Response(_receipt(request, pk))

    def patch(self, request: Request, pk: UUID) -> Response:
        """Change what is announced; lines replace all lines."""
        _one(_receipts(request), pk)
        change = self.body(shapes.ExpectedReceiptChange)
        receiving.change_receipt(receipt_id=pk, **change, actor=self.actor)
        return Response(_receipt(request, pk))


class ExpectedReceiptCancel(StaffView):
    serializer_class = None

    def post(self, request: Request, pk: UUID) -> Response:
        """The goods won't come; 409 when some have."""
        _one(_receipts(request), pk)
        receiving.cancel_receipt(receipt_id=pk, actor=self.actor)
        return Response(_receipt(request, pk))


class ExpectedReceiptClose(StaffView):
    serializer_class = None

    def post(self, request: Request, pk: UUID) -> Response:
        """Wait no longer for what is missing."""
        _one(_receipts(request), pk)
        receiving.close_receipt(receipt_id=pk, actor=self.actor)
        return Response(_receipt(request, pk))


def _receipts(request: Request) -> QuerySet[Receipt]:
    return Receipt.objects.filter(warehouse__in=mine(request)).select_related("warehouse")


def _receipt(request: Request, pk: UUID) -> Any:
    return shapes.ReceiptDetailOut(_with_lines(_receipts(request), pk, ReceiptLine)).data


# --- transfers ----------------------------------------------------------------------------


class Transfers(StaffView, ListAPIView[Transfer]):
    serializer_class = shapes.TransferOut
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[Transfer]:
        wanted = self.question(shapes.TransferQuery)
        for end in {"source", "target"} & set(wanted):
            wanted[f"{end}__code"] = wanted.pop(end)
        return _transfers(self.request, "source", "target").filter(**wanted)

    def post(self, request: Request) -> Response:
        """Propose to move stock; nothing moves yet."""
        row = transferring.propose_transfer(**self.body(shapes.TransferIn), actor=self.actor)
        return Response(_transfer(request, row.pk), status=201)


class OneTransfer(StaffView):
    serializer_class = shapes.TransferDetailOut

    def get(self, request: Request, pk: UUID) -> Response:
        return Response(_transfer(request, pk))

    def patch(self, request: Request, pk: UUID) -> Response:
        """Move these lines instead; only while it is proposed."""
        _one(_transfers(request, "source"), pk)
        lines = self.body(shapes.WithLines)["lines"]
        transferring.change_transfer(transfer_id=pk, lines=lines, actor=self.actor)
        return Response(_transfer(request, pk))


class TransferShip(StaffView):
    serializer_class = shapes.ShipIn

    def post(self, request: Request, pk: UUID) -> Response:
        """The goods have left; 409 when fewer are available than are to be moved."""
        _one(_transfers(request, "source"), pk)
        transferring.ship_transfer(transfer_id=pk, actor=self.actor, **self.body(shapes.ShipIn))
        return Response(_transfer(request, pk))


class TransferReceive(StaffView):
    serializer_class = shapes.ArrivalIn

    def post(self, request: Request, pk: UUID) -> Response:
        """The goods have arrived; what is missing is lost, for a reason that must be given."""
        _one(_transfers(request, "target"), pk)
        transferring.receive_transfer(
            transfer_id=pk, actor=self.actor, **self.body(shapes.ArrivalIn)
        )
        return Response(_transfer(request, pk))


class TransferCancel(StaffView):
    serializer_class = shapes.ReasonIn

    def post(self, request: Request, pk: UUID) -> Response:
        """It won't happen; what is on the way is back at the source."""
        _one(_transfers(request, "source"), pk)
        transferring.cancel_transfer(transfer_id=pk, actor=self.actor, **self.body(shapes.ReasonIn))
        return Response(_transfer(request, pk))


def _transfers(request: Request, *ends: str) -> QuerySet[Transfer]:
    """Those of which one of these ends is theirs."""
    theirs = Q(pk__in=[])
    for end in ends:
        theirs |= Q(**{f"{end}__in": mine(request)})
    return Transfer.objects.filter(theirs).select_related("source", "target")


def _transfer(request: Request, pk: UUID) -> Any:
    row = _with_lines(_transfers(request, "source", "target"), pk, TransferLine)
    return shapes.TransferDetailOut(row).data


# --- counts -------------------------------------------------------------------------------


class Counts(StaffView, ListAPIView[CycleCount]):
    serializer_class = shapes.CountOut
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[CycleCount]:
        wanted = self.question(shapes.CountQuery)
        if "warehouse" in wanted:
            wanted["warehouse__code"] = wanted.pop("warehouse")
        return _counts(self.request).filter(**wanted)

    def post(self, request: Request) -> Response:
        """Have stock levels counted."""
        row = counting.open_count(**self.body(shapes.CountIn), actor=self.actor)
        return Response(shapes.CountOut(row).data, status=201)


class OneCount(StaffView):
    serializer_class = shapes.CountOut

    def get(self, request: Request, pk: UUID) -> Response:
        return Response(shapes.CountOut(_one(_counts(request), pk)).data)


class CountLines(StaffView, ListAPIView[CountLine]):
    serializer_class = shapes.CountLineOut
    pagination_class = ByKey

    def get_queryset(self) -> QuerySet[CountLine]:
        row = _one(_counts(self.request), self.kwargs["pk"])
        return CountLine.objects.filter(count=row).select_related("level__product")

    def post(self, request: Request, pk: UUID) -> Response:
        """Book what was counted; 409 for a line that was counted before, with by whom."""
        row = _one(_counts(request), pk)
        lines = counting.record_count(
            count_id=row.pk, actor=self.actor, **self.body(shapes.RecordIn)
        )
        return Response({"lines": shapes.CountLineOut(lines, many=True).data})


class CountClose(StaffView):
    serializer_class = None

    def post(self, request: Request, pk: UUID) -> Response:
        """The count is over; what was not counted stays due."""
        row = _one(_counts(request), pk)
        return Response(
            shapes.CountOut(counting.close_count(count_id=row.pk, actor=self.actor)).data
        )


class CountCancel(StaffView):
    serializer_class = None

    def post(self, request: Request, pk: UUID) -> Response:
        """Give the count up; what was counted stays counted."""
        row = _one(_counts(request), pk)
        return Response(
            shapes.CountOut(counting.cancel_count(count_id=row.pk, actor=self.actor)).data
        )


def _counts(request: Request) -> QuerySet[CycleCount]:
    return CycleCount.objects.filter(warehouse__in=mine(request)).select_related("warehouse")


def _with_lines(rows: QuerySet[Any], pk: UUID, kind: type[ReceiptLine | TransferLine]) -> Any:
    """With their products, as they were put down."""
    lines = kind._default_manager.select_related("product").order_by("pk")
    return _one(rows.prefetch_related(Prefetch("lines", lines)), pk)


def _one(rows: QuerySet[Any], pk: UUID) -> Any:
    """404 if it isn't theirs to see."""
    row: Model = get_object_or_404(rows, pk=pk)
    return row
