"""The inventory API, for staff and authorised systems."""

from __future__ import annotations

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from supplychain.api import RecentFirst

from . import returning, selectors, services
from .api_access import StaffView, mine
from .models import Reservation, StockLevel, Warehouse
from .serializers import ReceiptIn, ReturnIn, StockOut, StockQuery, WarehouseOut


class ByKey(RecentFirst):
    ordering = "pk"


class StockList(StaffView, ListAPIView[StockLevel]):
    serializer_class = StockOut
    pagination_class = ByKey

    def get_queryset(self) -> QuerySet[StockLevel]:
        levels = selectors.stock(**self.question(StockQuery))
        return levels.filter(warehouse__in=mine(self.request))


class WarehouseList(StaffView, ListAPIView[Warehouse]):
    serializer_class = WarehouseOut
    pagination_class = ByKey

    def get_queryset(self) -> QuerySet[Warehouse]:
        return mine(self.request)


class Receipts(StaffView):
    serializer_class = ReceiptIn

    def post(self, request: Request) -> Response:
        """Book goods in: 201; the same reference again books nothing: 200."""
        booked = services.receive_stock(**self.body(ReceiptIn), actor=self.actor)
        return Response({"lines_booked": booked}, status=201 if booked else 200)


class Returns(StaffView):
    serializer_class = ReturnIn

    def post(self, request: Request) -> Response:
        """Book in goods that a customer has sent back: 201; the same reference again: 200. 409
        when they don't fit what has left."""
        body = self.body(ReturnIn)
        elsewhere = Reservation.objects.filter(shipment_id=body["shipment_id"])
        if elsewhere.exclude(level__warehouse__in=mine(request)).exists():
            raise NotFound
        lines = [returning.ReturnLine(**line) for line in body.pop("lines")]
        booked = returning.take_back(**body, lines=lines, actor=self.actor)
        return Response({"booked": booked}, status=201 if booked else 200)
