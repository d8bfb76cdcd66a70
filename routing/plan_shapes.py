"""What the API shows of a depot's day and of the difference between two plans."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from .lateness import SERVICE
from .models import Depot, PlanRun, Route, Shipment, Stop, Vehicle
from .plan_day import DayOfDepot, Leg, end_of, shift
from .serializers import (
    AlertOut,
    DifferenceOut,
    PlannedRouteOut,
    PlanOut,
    RouteDetailOut,
    RouteOut,
    StopOut,
)


class PlaceOut(serializers.ModelSerializer[Depot]):
    class Meta:
        model = Depot
        fields = ["code", "name", "latitude", "longitude", "time_zone", "cut_off"]


class DayStopOut(StopOut):
    """Seconds on the way to it (breaks included), of waiting for its window, and of service."""

    drive_s = serializers.SerializerMethodField()
    wait_s = serializers.SerializerMethodField()
    service_s = serializers.SerializerMethodField()
    correlation_id = serializers.CharField(source="shipment.correlation_id")

    class Meta(StopOut.Meta):
        fields = [*StopOut.Meta.fields, "correlation_id", "drive_s", "wait_s", "service_s"]

    def _leg(self, stop: Stop) -> Leg:
        legs: dict[Any, Leg] = self.context["legs"]
        return legs.get(stop.pk, Leg(0, 0))  # one that fell out is not driven to

    def get_drive_s(self, stop: Stop) -> int:
        return self._leg(stop).drive_s

    def get_wait_s(self, stop: Stop) -> int:
        return self._leg(stop).wait_s

    def get_service_s(self, stop: Stop) -> int:
        return int(SERVICE.total_seconds())


class DayRouteOut(RouteDetailOut):
    """``back_s``: seconds from the last stop to where the tour ends."""

    vehicle_id = serializers.IntegerField()
    end = serializers.SerializerMethodField()
    back_s = serializers.SerializerMethodField()
    stops = DayStopOut(many=True)

    class Meta(RouteDetailOut.Meta):
        fields = [
            *dict.fromkeys([*RouteOut.Meta.fields, "departs_at", "vehicle_id", "end", "back_s"]),
            "stops",
        ]

    @extend_schema_field(PlaceOut)
    def get_end(self, route: Route) -> Any:
        return PlaceOut(end_of(route)).data

    def get_back_s(self, route: Route) -> int:
        leg: Leg = self.context["legs"][route.pk]
        return leg.drive_s


class DayVehicleOut(serializers.ModelSerializer[Vehicle]):
    """Its shift on this day."""

    driver = serializers.SerializerMethodField()
    shift_from = serializers.SerializerMethodField()
    shift_until = serializers.SerializerMethodField()

    class Meta:
        model = Vehicle
        fields = [
            *("id", "name", "driver", "active", "capacity_kg", "capacity_m3", "capacity_items"),
            *("max_stops", "skills", "shift_from", "shift_until"),
            *("break_minutes", "break_earliest", "break_latest"),
        ]

    def get_driver(self, vehicle: Vehicle) -> str | None:
        return vehicle.driver.get_username() if vehicle.driver else None

    def get_shift_from(self, vehicle: Vehicle) -> datetime:
        return self._shift(vehicle)[0]

    def get_shift_until(self, vehicle: Vehicle) -> datetime:
        return self._shift(vehicle)[1]

    def _shift(self, vehicle: Vehicle) -> tuple[datetime, datetime]:
        return shift(vehicle, self.context["depot"], self.context["day"])


class UnplannedOut(serializers.ModelSerializer[Shipment]):
    reason = serializers.CharField(source="unplannable_reason")

    class Meta:
        model = Shipment
        fields = [
            *("shipment_id", "order_id", "customer", "address", "latitude", "longitude"),
            *("weight_kg", "volume_m3", "items", "priority", "skills", "requested_from"),
            *("requested_until", "promised_from", "promised_until", "ready_at", "attempts"),
            *("correlation_id", "reason"),
        ]


class DayRunOut(serializers.ModelSerializer[PlanRun]):
    class Meta:
        model = PlanRun
        fields = [
            *("id", "state", "trigger", "started_at", "ended_at", "shipments", "planned"),
            *("unplanned", "moved", "fell_out", "cut_short", "solver_seconds", "error"),
        ]


class DayOut(serializers.Serializer[DayOfDepot]):
    """A depot's day as it stands; ``version`` is that of its newest plan, 0 without one."""

    depot = serializers.CharField(source="depot.code")
    place = PlaceOut(source="depot")
    day = serializers.DateField()
    version = serializers.IntegerField()
    versions = PlanOut(many=True, help_text="the newest first")
    run = DayRunOut(allow_null=True, help_text="the depot's newest")
    asked = serializers.BooleanField(help_text="a plan was asked for and has not begun")
    vehicles = DayVehicleOut(many=True)
    routes = DayRouteOut(many=True)
    alerts = AlertOut(many=True, help_text="of the depot, unseen")
    unplanned = UnplannedOut(many=True)
    unplanned_total = serializers.IntegerField()


class PlanIn(serializers.Serializer[Any]):
    """Without waiting, the planner's next tick makes the plan, and the answer is 202."""

    wait = serializers.BooleanField(default=True)


# --- two versions ---------------------------------------------------------------------------


class ChangeOut(DifferenceOut):
    kind = serializers.CharField()


class ComparedShipmentOut(serializers.ModelSerializer[Shipment]):
    class Meta:
        model = Shipment
        fields = [
            *("shipment_id", "order_id", "customer", "address", "latitude", "longitude", "state")
        ]


class ComparisonOut(serializers.Serializer[Any]):
    now = PlanOut()
    before = PlanOut()
    routes_before = PlannedRouteOut(many=True)
    changes = ChangeOut(many=True)
    shipments = serializers.DictField(child=ComparedShipmentOut())
    cost_difference = serializers.FloatField(help_text="what the later one costs more")
    km_difference = serializers.FloatField()
