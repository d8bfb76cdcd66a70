"""The routing API, for dispatchers and drivers (staff)."""

from __future__ import annotations

import csv
import io
from datetime import date
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView, get_object_or_404
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from supplychain.api import RecentFirst, refuse_longer
from supplychain.parsers import StrictJSONParser

from . import alerting, asking, drivers, driving, moving, planning, quoting, selectors
from . import serializers as shapes
from .api_access import Dispatching, Driving, SeeingProofs, Starting
from .days import day_of
from .models import MAX_PHOTOS, Alert, Depot, Plan, ProofPhoto, Route, Shipment, Stop
from .plan_shapes import PlanIn
from .proofs import MAX_UPLOAD
from .serializers import PlanRunOut, RouteDetailOut, RouteOut, RouteQuery


class NewestRoutes(RecentFirst):
    ordering = "-id"


class RouteList(ListAPIView[Route]):
    permission_classes: Any = [Driving]
    serializer_class = RouteOut
    pagination_class = NewestRoutes

    def get_queryset(self) -> QuerySet[Route]:
        query = RouteQuery(data=self.request.query_params.dict())
        query.is_valid(raise_exception=True)
        wanted: dict[str, Any] = dict(query.validated_data)
        if "depot" in wanted:
            wanted["depot__code"] = wanted.pop("depot")
        return selectors.named(drivers.seen_by(self.request.user)).filter(**wanted)


class RouteDetail(RetrieveAPIView[Route]):
    permission_classes: Any = [Driving]
    serializer_class = RouteDetailOut

    def get_queryset(self) -> QuerySet[Route]:
        return selectors.with_stops(drivers.seen_by(self.request.user))


def _detail(route_id: UUID) -> Response:
    return Response(RouteDetailOut(selectors.with_stops(Route.objects.all()).get(pk=route_id)).data)


class RouteDispatch(APIView):
    permission_classes: Any = [Starting]
    serializer_class = None

    def post(self, request: Request, pk: UUID) -> Response:
        """The vehicle leaves; from now on the route no longer changes."""
        route = get_object_or_404(drivers.driven_by(request.user), pk=pk)
        driving.dispatch_route(route_id=route.pk)
        return _detail(route.pk)


class RouteFreeze(APIView):
    permission_classes: Any = [Dispatching]
    serializer_class = None

    def post(self, request: Request, pk: UUID) -> Response:
        """Planning leaves the route as it is from now on."""
        route = get_object_or_404(Route, pk=pk)
        driving.freeze_route(route_id=route.pk, frozen=True)
        return _detail(route.pk)


class RouteThaw(APIView):
    permission_classes: Any = [Dispatching]
    serializer_class = None

    def post(self, request: Request, pk: UUID) -> Response:
        """Planning may change the route again."""
        route = get_object_or_404(Route, pk=pk)
        driving.freeze_route(route_id=route.pk, frozen=False)
        return _detail(route.pk)


class NextStop(APIView):
    permission_classes: Any = [Driving]
    serializer_class = shapes.StopOut

    @extend_schema(responses={200: shapes.StopOut, 204: None})
    def get(self, request: Request, pk: UUID) -> Response:
        """Where the driver goes next; 204 when nothing is left."""
        stop = selectors.next_stop(get_object_or_404(drivers.seen_by(request.user), pk=pk))
        return Response(shapes.StopOut(stop).data) if stop else Response(status=204)


class RouteDriver(APIView):
    permission_classes: Any = [Dispatching]
    serializer_class = shapes.DriverIn

    @extend_schema(responses=RouteOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Give the route to a driver; null gives it back to the vehicle's."""
        route = get_object_or_404(Route, pk=pk)
        body = shapes.DriverIn(data=request.data)
        body.is_valid(raise_exception=True)
        drivers.give_route(route_id=route.pk, username=body.validated_data["driver"])
        return Response(RouteOut(selectors.named(Route.objects.all()).get(pk=route.pk)).data)


class StopAnswer(APIView):
    """How a stop ended, by JSON, or with photos as multipart/form-data. Sent again with the same
    ``reference`` it is the same answer: 200, and nothing happens twice."""

    permission_classes: Any = [Driving]
    parser_classes = [StrictJSONParser, MultiPartParser]
    max_body: ClassVar[int] = MAX_PHOTOS * MAX_UPLOAD + 100_000

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not str(request.content_type).startswith("multipart/"):
            refuse_longer(request, settings.API_MAX_BODY)

    def read(self, request: Request, pk: UUID, kind: type[shapes.AnswerIn]) -> dict[str, Any]:
        """The stop and what was said of it, for the service."""
        stop = get_object_or_404(Stop, pk=pk, route__in=drivers.answered_by(request.user))
        body = kind(data=request.data)
        body.is_valid(raise_exception=True)
        return {"stop_id": stop.pk, **body.validated_data}


class StopDeliver(StopAnswer):
    serializer_class = shapes.DeliverIn

    @extend_schema(responses=RouteDetailOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """The shipment was handed over, to whoever is named."""
        stop = driving.deliver_stop(**self.read(request, pk, shapes.DeliverIn))
        return _detail(stop.route_id)


class StopFail(StopAnswer):
    serializer_class = shapes.FailIn

    @extend_schema(responses=RouteDetailOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """The shipment could not be handed over."""
        stop = driving.fail_stop(**self.read(request, pk, shapes.FailIn))
        return _detail(stop.route_id)


class StopMove(APIView):
    permission_classes: Any = [Dispatching]
    serializer_class = shapes.MoveIn

    @extend_schema(responses=shapes.MoveOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Move a stop to a place in another route of its plan, in its own, or in a new one of a
        vehicle that is free. 409 says which rules that would break; a dry run answers that, and
        what it costs, and moves nothing."""
        stop = get_object_or_404(Stop, pk=pk)
        body = shapes.MoveIn(data=request.data)
        body.is_valid(raise_exception=True)
        move = moving.move_stop(stop_id=stop.pk, **_asked(body))
        return Response(shapes.MoveOut(move).data)


class ShipmentPlace(APIView):
    permission_classes: Any = [Dispatching]
    serializer_class = shapes.PlaceIn

    @extend_schema(responses=shapes.MoveOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Put a shipment that waits into a route, or into a new one of a vehicle that is free
        then. 409 says which rules that would break; a dry run answers that, and what it costs,
        and puts it nowhere."""
        shipment = get_object_or_404(Shipment, pk=pk)
        body = shapes.PlaceIn(data=request.data)
        body.is_valid(raise_exception=True)
        move = moving.place_shipment(shipment_id=shipment.pk, **_asked(body))
        return Response(shapes.MoveOut(move).data)


def _asked(body: shapes.MoveIn) -> dict[str, Any]:
    """By our names; a route that is not there is 404."""
    asked = dict(body.validated_data)
    if key := asked.pop("route", None):
        asked["route_id"] = get_object_or_404(Route, pk=key).pk
    else:
        asked["vehicle_id"] = asked.pop("vehicle")
    return asked


class DepotPlan(APIView):
    permission_classes: Any = [Dispatching]
    serializer_class = None

    @extend_schema(request=PlanIn, responses={200: PlanRunOut, 202: None})
    def post(self, request: Request, code: str) -> Response:
        """Plan what is open at a depot now; 409 while a plan run is under way. Who does not
        wait has it made by the planner, and finds the run in the depot's day."""
        depot = get_object_or_404(Depot, code=code)
        body = PlanIn(data=request.data)
        body.is_valid(raise_exception=True)
        if not body.validated_data["wait"]:
            asking.ask_for_plan(depot=depot)
            return Response(status=202)
        run = planning.plan_depot(depot=depot)
        if run is None:
            raise asking.RunUnderWay
        return Response(PlanRunOut(run).data)


# --- plans ----------------------------------------------------------------------------------


class NewestPlans(RecentFirst):
    ordering = "-id"


class PlanList(ListAPIView[Plan]):
    """Versions of plans, the newest first."""

    permission_classes: Any = [Dispatching]
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
    permission_classes: Any = [Dispatching]
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
    permission_classes: Any = [Dispatching]

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


class Jpeg(BaseRenderer):
    media_type = "image/jpeg"
    format = "jpg"
    charset = None
    render_style = "binary"

    def render(self, data: Any, accepted: str | None = None, context: Any = None) -> Any:
        return data


class Photo(Download):
    permission_classes: Any = [SeeingProofs]
    renderer_classes = [Jpeg, JSONRenderer]

    @extend_schema(responses={(200, "image/jpeg"): OpenApiTypes.BINARY})
    def get(self, request: Request, pk: UUID) -> Response:
        """A photo that proves how a stop ended."""
        photo = get_object_or_404(ProofPhoto, pk=pk)
        kept = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
        return Response(bytes(photo.image), headers=kept)


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

    permission_classes: Any = [Dispatching]
    serializer_class = shapes.AlertOut
    pagination_class = NewestAlerts
    queryset = Alert.objects.filter(seen_at=None).select_related("depot")


class AlertSeen(APIView):
    permission_classes: Any = [Dispatching]
    serializer_class = None

    @extend_schema(request=None, responses=shapes.AlertOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Somebody knows of it and sees to it."""
        alert = get_object_or_404(Alert, pk=pk)
        seen = alerting.see_alert(alert_id=alert.pk, by=request.user.get_username())
        return Response(shapes.AlertOut(seen).data)
