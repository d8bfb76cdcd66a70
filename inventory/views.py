"""The inventory API, for staff and authorised systems."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from supplychain.api import RecentFirst

from . import access, releasing, returning, selectors, services
from .api_access import StaffView, mine
from .models import Reservation, StockLevel, Warehouse
from .serializers import (
    ReceiptIn,
    ReleaseIn,
    ReservationOut,
    ReturnIn,
    StockOut,
    StockQuery,
    WarehouseOut,
)


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


class Reservations(StaffView, ListAPIView[Reservation]):
    """What is reserved and has not left."""

    serializer_class = ReservationOut
    pagination_class = ByKey

    def get_queryset(self) -> QuerySet[Reservation]:
        held = selectors.held_reservations(**self.question(StockQuery))
        return held.filter(level__warehouse__in=mine(self.request))


class ReservationRelease(StaffView):
    serializer_class = ReleaseIn
    right = access.RELEASES

    def post(self, request: Request, pk: UUID) -> Response:
        """Ask for the units of a reservation back: 202. They are free, and the order waits again,
        when routing has said that they have not left."""
        theirs = Reservation.objects.filter(level__warehouse__in=mine(request))
        row = get_object_or_404(theirs, pk=pk)
        cut = releasing.release_reservation(
            reservation_id=row.pk, **self.body(ReleaseIn), actor=self.actor
        )
        return Response({"id": cut.pk, "state": cut.state}, status=202)


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
