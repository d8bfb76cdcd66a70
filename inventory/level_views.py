"""The API of single stock levels and of files of them, for staff and authorised systems."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.generics import ListAPIView, get_object_or_404
from rest_framework.parsers import BaseParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from supplychain.api import RecentFirst

from . import access, adjusting, importing, promising
from . import paperwork_serializers as shapes
from .api_access import StaffView, mine
from .models import StockImport, StockImportError, StockLevel
from .serializers import StockOut
from .stock_files import Source, StockFileRefused


class Adjustments(StaffView):
    serializer_class = shapes.AdjustmentIn

    def post(self, request: Request) -> Response:
        """Correct what is on hand, for a reason; 409 when it would take units from orders."""
        change = self.body(shapes.AdjustmentIn)
        return _shown(adjusting.adjust_stock(**change, actor=self.actor))


class Quarantine(StaffView):
    serializer_class = shapes.SetAsideIn

    def post(self, request: Request) -> Response:
        """Set units aside to be looked at: they are no longer on hand."""
        change = self.body(shapes.SetAsideIn)
        return _shown(adjusting.quarantine_stock(**change, actor=self.actor))


class Restock(StaffView):
    serializer_class = shapes.SetAsideIn

    def post(self, request: Request) -> Response:
        """Put units from quarantine back on hand."""
        change = self.body(shapes.SetAsideIn)
        return _shown(adjusting.restock_quarantined(**change, actor=self.actor))


class Scrap(StaffView):
    serializer_class = shapes.ScrapIn

    def post(self, request: Request) -> Response:
        """Write units off, from quarantine or from what is on hand."""
        change = self.body(shapes.ScrapIn)
        return _shown(adjusting.scrap_stock(**change, actor=self.actor))


class Limits(StaffView):
    right = access.LIMITS
    serializer_class = shapes.LimitsIn

    def post(self, request: Request) -> Response:
        """Set what is never promised to orders, and when more is to be ordered."""
        change = self.body(shapes.LimitsIn)
        return _shown(adjusting.set_limits(**change, actor=self.actor))


def _shown(level: StockLevel) -> Response:
    return Response(StockOut(level).data)


# --- files --------------------------------------------------------------------------------


class CsvStream(BaseParser):
    """Gives the body unread."""

    media_type = "text/csv"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return stream


class Import(StaffView):
    right = access.IMPORTS
    serializer_class = shapes.ImportOut
    parser_classes = [CsvStream]
    #: Bytes of a request's body: see BodyLimitMiddleware.
    max_body: ClassVar[int] = importing.LONGEST_FILE

    def get(self, request: Request, reference: str) -> Response:
        """How far it has come."""
        return Response(shapes.ImportOut(get_object_or_404(StockImport, reference=reference)).data)

    @extend_schema(request={"text/csv": OpenApiTypes.BINARY})
    def put(self, request: Request, reference: str) -> Response:
        """Make stock levels what the file says: see docs/stock-csv.md. The same file again does
        what is left to do; another file under this reference: 409. 400: no such file, and
        nothing has changed."""
        if not request.META.get("CONTENT_LENGTH"):
            raise ParseError("The body's length must be given (Content-Length), and not be 0.")
        try:
            done = importing.import_levels(
                source=cast(Source, request.data),
                reference=reference,
                actor=self.actor,
                warehouses=set(mine(request).values_list("code", flat=True)),
                limits=request.user.has_perm(access.LIMITS),
            )
        except StockFileRefused as refusal:
            raise ParseError(str(refusal)) from refusal
        return Response(shapes.ImportOut(done).data)


class ByRow(RecentFirst):
    ordering = "row"


class ImportErrors(StaffView, ListAPIView[StockImportError]):
    serializer_class = shapes.ImportErrorOut
    pagination_class = ByRow

    def get_queryset(self) -> QuerySet[StockImportError]:
        done = get_object_or_404(StockImport, reference=self.kwargs["reference"])
        return StockImportError.objects.filter(of=done)


# --- what can be promised -----------------------------------------------------------------


class Availability(APIView):
    permission_classes = [IsAuthenticated]
    serializer_class = shapes.AvailabilityOut

    @extend_schema(parameters=[shapes.AvailabilityQuery], responses=shapes.AvailabilityOut)
    def get(self, request: Request) -> Response:
        """What can be promised of each product, from where and when, as an order placed now
        would get it. Nothing is held."""
        lists = ("sku", "quantity")
        asked: dict[str, Any] = request.query_params.dict()
        asked |= {name: request.query_params.getlist(name) for name in lists}
        query = shapes.AvailabilityQuery(data=asked)
        query.is_valid(raise_exception=True)
        promised = promising.promise(**query.validated_data)
        days = [line.available_on for line in promised]
        from_stock = {
            source.warehouse
            for line in promised
            for source in line.sources
            if source.comes_from == "stock"
        }
        answer = {
            "complete": all(line.now == line.quantity for line in promised),
            "shipments": len(from_stock),
            "available_on": None if None in days else max(day for day in days if day is not None),
            "lines": promised,
        }
        return Response(shapes.AvailabilityOut(answer).data)
