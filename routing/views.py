"""The routing API, for dispatchers and drivers (staff)."""

from __future__ import annotations

import csv
import io
from datetime import date
from typing import Any
from uuid import UUID

from django.db.models import Max, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView, get_object_or_404
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from supplychain.api import Conflict, RecentFirst

from . import alerting, driving, moving, planning, quoting, selectors
from . import serializers as shapes
from .days import day_of
from .models import Alert, Depot, Plan, Route, Stop
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


class RouteFreeze(APIView):
    permission_classes = [IsAdminUser]
    serializer_class = None

    def post(self, request: Request, pk: UUID) -> Response:
        """Planning leaves the route as it is from now on."""
        route = get_object_or_404(Route, pk=pk)
        driving.freeze_route(route_id=route.pk, frozen=True)
        return _detail(route.pk)


class RouteThaw(APIView):
    permission_classes = [IsAdminUser]
    serializer_class = None

    def post(self, request: Request, pk: UUID) -> Response:
        """Planning may change the route again."""
        route = get_object_or_404(Route, pk=pk)
        driving.freeze_route(route_id=route.pk, frozen=False)
        return _detail(route.pk)


class NextStop(APIView):
    permission_classes = [IsAdminUser]
    serializer_class = shapes.StopOut

    @extend_schema(responses={200: shapes.StopOut, 204: None})
    def get(self, request: Request, pk: UUID) -> Response:
        """Where the driver goes next; 204 when nothing is left."""
        stop = selectors.next_stop(get_object_or_404(Route, pk=pk))
        return Response(shapes.StopOut(stop).data) if stop else Response(status=204)


class StopDeliver(APIView):
    permission_classes = [IsAdminUser]
    serializer_class = shapes.DeliverIn

    @extend_schema(responses=RouteDetailOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """The shipment was handed over, to whoever is named."""
        stop = get_object_or_404(Stop, pk=pk)
        body = shapes.DeliverIn(data=request.data)
        body.is_valid(raise_exception=True)
        driving.deliver_stop(stop_id=stop.pk, **body.validated_data)
        return _detail(stop.route_id)


class StopMove(APIView):
    permission_classes = [IsAdminUser]
    serializer_class = shapes.MoveIn

    @extend_schema(responses=shapes.MoveOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Move a stop to a place in another route of its plan, or in its own. 409 says which
        rules that would break; a dry run answers that, and what it costs, and moves nothing."""
        stop = get_object_or_404(Stop, pk=pk)
        body = shapes.MoveIn(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        route = get_object_or_404(Route, pk=asked.pop("route"))
        move = moving.move_stop(stop_id=stop.pk, route_id=route.pk, **asked)
        return Response(shapes.MoveOut(move).data)


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


# --- plans ----------------------------------------------------------------------------------


class NewestPlans(RecentFirst):
    ordering = "-id"


class PlanList(ListAPIView[Plan]):
    """Versions of plans, the newest first."""

    permission_classes = [IsAdminUser]
    serializer_class = shapes.PlanOut
    pagination_class = NewestPlans

    def get_queryset(self) -> QuerySet[Plan]:
        query = shapes.PlanQuery(data=self.request.query_params.dict())
        query.is_valid(raise_exception=True)
        wanted: dict[str, Any] = dict(query.validated_data)
        if "depot" in wanted:
            wanted["depot__code"] = wanted.pop("depot")
        return Plan.objects.select_related("depot").filter(**wanted)


class PlanDetail(APIView):
    permission_classes = [IsAdminUser]
    serializer_class = shapes.PlanDetailOut

    def get(self, request: Request, pk: int) -> Response:
        """A version with its routes, and what it changed in the one before."""
        plan = get_object_or_404(Plan.objects.select_related("depot"), pk=pk)
        before = selectors.previous(plan)
        shown = shapes.PlanOut(plan).data | {
            "routes": plan.routes,
            "previous": before.pk if before else None,
            "cost_before": before.cost if before else None,
            "changes": selectors.differences(plan, before),
        }
        return Response(shown)


class Day(APIView):
    permission_classes = [IsAdminUser]
    serializer_class = shapes.DayOut

    def get(self, request: Request, code: str, day: date) -> Response:
        """A depot's day as it stands: its routes with their stops, and what waits, and why."""
        depot = get_object_or_404(Depot, code=code)
        newest = depot.plans.filter(day=day).aggregate(Max("version"))["version__max"]
        shown = {
            "depot": depot.code,
            "day": day,
            "version": newest or 0,
            "routes": selectors.routes_of(depot, day),
            "unplanned": selectors.unplanned(depot),
        }
        return Response(shapes.DayOut(shown).data)


class Csv(BaseRenderer):
    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, accepted: str | None = None, context: Any = None) -> Any:
        text = io.StringIO()
        csv.writer(text).writerows(data)
        return text.getvalue().encode()


class GeoJson(JSONRenderer):
    media_type = "application/geo+json"
    format = "geojson"


class Download(APIView):
    permission_classes = [IsAdminUser]

    def handle_exception(self, exc: Exception) -> Response:
        """A refusal is answered as everywhere, whatever was asked for."""
        accepted: Any = self.request
        accepted.accepted_renderer = JSONRenderer()
        accepted.accepted_media_type = JSONRenderer.media_type
        return super().handle_exception(exc)


class DayCsv(Download):
    renderer_classes = [Csv, JSONRenderer]

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request, code: str, day: date) -> Response:
        """The stops of a depot's day, a line each."""
        routes = selectors.routes_of(get_object_or_404(Depot, code=code), day)
        named = f'attachment; filename="{code}-{day}.csv"'
        rows = [selectors.COLUMNS, *selectors.stop_rows(routes)]
        return Response(rows, headers={"Content-Disposition": named})


class DayGeoJson(Download):
    renderer_classes = [GeoJson, JSONRenderer]

    @extend_schema(responses={(200, "application/geo+json"): OpenApiTypes.OBJECT})
    def get(self, request: Request, code: str, day: date) -> Response:
        """The routes of a depot's day as lines and their stops as points."""
        routes = selectors.routes_of(get_object_or_404(Depot, code=code), day)
        return Response(selectors.geojson(routes))


# --- promises and alerts --------------------------------------------------------------------


class Promises(APIView):
    permission_classes = [IsAuthenticated]
    serializer_class = shapes.PromiseIn

    @extend_schema(responses=shapes.PromiseOut)
    def post(self, request: Request) -> Response:
        """When it would come if it were ordered now, by the cheapest place in the plan as it
        stands. Nothing is held: the promise itself comes with the order."""
        body = shapes.PromiseIn(data=request.data)
        body.is_valid(raise_exception=True)
        asked = dict(body.validated_data)
        depot = asked.pop("depot", None)
        depots = [depot] if depot else Depot.objects.filter(active=True).order_by("code")
        windows = [(w["opens"], w["closes"]) for w in asked.pop("windows", ())]
        quote = quoting.quote(depots=depots, load=quoting.Load(**asked), windows=windows)
        if quote is None:
            return Response({"promised": False})
        shown = shapes.PromiseOut(
            {
                "promised": True,
                "depot": quote.depot.code,
                "day": day_of(quote.depot, quote.start),
                "window_from": quote.window_from,
                "window_until": quote.window_until,
                "eta": quote.eta,
                "extra_cost": quote.extra_cost,
            }
        )
        return Response(shown.data)


class NewestAlerts(RecentFirst):
    ordering = "-id"


class AlertList(ListAPIView[Alert]):
    """What nobody has said yet that they have seen, the newest first."""

    permission_classes = [IsAdminUser]
    serializer_class = shapes.AlertOut
    pagination_class = NewestAlerts
    queryset = Alert.objects.filter(seen_at=None).select_related("depot")


class AlertSeen(APIView):
    permission_classes = [IsAdminUser]
    serializer_class = None

    @extend_schema(request=None, responses=shapes.AlertOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Somebody knows of it and sees to it."""
        alert = get_object_or_404(Alert, pk=pk)
        seen = alerting.see_alert(alert_id=alert.pk, by=request.user.get_username())
        return Response(shapes.AlertOut(seen).data)
