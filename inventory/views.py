"""The inventory API, for staff and authorised systems."""

from __future__ import annotations

from django.db.models import QuerySet
from rest_framework.generics import ListAPIView
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from supplychain.api import RecentFirst

from . import returning, selectors, services
from .api_access import StaffView
from .models import StockLevel, Warehouse
from .serializers import ReceiptIn, ReturnIn, StockOut, StockQuery, WarehouseOut


class ByKey(RecentFirst):
    ordering = "pk"


class StockList(ListAPIView[StockLevel]):
    permission_classes = [IsAdminUser]
    serializer_class = StockOut
    pagination_class = ByKey

    def get_queryset(self) -> QuerySet[StockLevel]:
        query = StockQuery(data=self.request.query_params.dict())
        query.is_valid(raise_exception=True)
        return selectors.stock(**query.validated_data)


class WarehouseList(ListAPIView[Warehouse]):
    permission_classes = [IsAdminUser]
    serializer_class = WarehouseOut
    pagination_class = ByKey
    queryset = Warehouse.objects.all()


class Receipts(StaffView):
    serializer_class = ReceiptIn

    def post(self, request: Request) -> Response:
        """Book goods in: 201; the same reference again books nothing: 200."""
        booked = services.receive_stock(**self.body(ReceiptIn), actor=self.actor)
        return Response({"lines_booked": booked}, status=201 if booked else 200)


class Returns(APIView):
    permission_classes = [IsAdminUser]
    serializer_class = ReturnIn

    def post(self, request: Request) -> Response:
        """Book in goods that a customer has sent back: 201; the same reference again: 200. 409
        when they don't fit what has left."""
        body = ReturnIn(data=request.data)
        body.is_valid(raise_exception=True)
        booked = returning.take_back(
            shipment_id=body.validated_data["shipment_id"],
            lines=[returning.ReturnLine(**line) for line in body.validated_data["lines"]],
            reference=body.validated_data["reference"],
            actor=request.user.get_username(),
        )
        return Response({"booked": booked}, status=201 if booked else 200)
