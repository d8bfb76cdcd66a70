"""The routing API, for dispatchers and drivers (staff)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.generics import ListAPIView, RetrieveAPIView, get_object_or_404
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from supplychain.api import Conflict, RecentFirst

from . import driving, planning
from .models import Depot, Route, Stop
from .serializers import FailIn, PlanRunOut, RouteDetailOut, RouteOut, RouteQuery


class NewestRoutes(RecentFirst):
    ordering = "-id"


class RouteList(ListAPIView[Route]):
    permission_classes = [IsAdminUser]
    serializer_class = RouteOut
    pagination_class = NewestRoutes

    def get_queryset(self) -> QuerySet[Route]:
        query = RouteQuery(data=self.request.query_params.dict())
        query.is_valid(raise_exception=True)
        wanted: dict[str, Any] = dict(query.validated_data)
        if "depot" in wanted:
            wanted["depot__code"] = wanted.pop("depot")
        return Route.objects.select_related("depot", "vehicle").filter(**wanted)


class RouteDetail(RetrieveAPIView[Route]):
    permission_classes = [IsAdminUser]
    serializer_class = RouteDetailOut
    queryset = Route.objects.select_related("depot", "vehicle").prefetch_related("stops__shipment")


def _detail(route_id: UUID) -> Response:
    return Response(RouteDetailOut(RouteDetail.queryset.all().get(pk=route_id)).data)


class RouteDispatch(APIView):
    permission_classes = [IsAdminUser]
    serializer_class = None

    def post(self, request: Request, pk: UUID) -> Response:
        """The vehicle leaves; from now on the route no longer changes."""
        route = get_object_or_404(Route, pk=pk)
        driving.dispatch_route(route_id=route.pk)
        return _detail(route.pk)


class StopDeliver(APIView):
    permission_classes = [IsAdminUser]
    serializer_class = None

    def post(self, request: Request, pk: UUID) -> Response:
        """The shipment was handed over."""
        stop = get_object_or_404(Stop, pk=pk)
        driving.deliver_stop(stop_id=stop.pk)
        return _detail(stop.route_id)


class StopFail(APIView):
    permission_classes = [IsAdminUser]
    serializer_class = FailIn

    def post(self, request: Request, pk: UUID) -> Response:
        """The shipment could not be handed over."""
        stop = get_object_or_404(Stop, pk=pk)
        body = FailIn(data=request.data)
        body.is_valid(raise_exception=True)
        driving.fail_stop(stop_id=stop.pk, reason=body.validated_data["reason"])
        return _detail(stop.route_id)


class DepotPlan(APIView):
    permission_classes = [IsAdminUser]
    serializer_class = None

    def post(self, request: Request, code: str) -> Response:
        """Plan what is open at a depot now; 409 while a plan run is under way."""
        run = planning.plan_depot(depot=get_object_or_404(Depot, code=code))
        if run is None:
            raise Conflict("A plan run of this depot is under way; try again when it has ended.")
        return Response(PlanRunOut(run).data)
