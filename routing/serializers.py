"""What the routing API takes and shows."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from supplychain.api import StrictSerializer, StrictText

from .models import PlanRun, Route, Stop


class StopOut(serializers.ModelSerializer[Stop]):
    order_id = serializers.UUIDField(source="shipment.order_id")
    customer = serializers.CharField(source="shipment.customer")
    address = serializers.CharField(source="shipment.address")
    latitude = serializers.FloatField(source="shipment.latitude")
    longitude = serializers.FloatField(source="shipment.longitude")
    recalled = serializers.BooleanField(source="shipment.recalled")

    class Meta:
        model = Stop
        fields = [
            "id",
            "position",
            "shipment_id",
            "order_id",
            "customer",
            "address",
            "latitude",
            "longitude",
            "eta",
            "state",
            "recalled",
            "ended_at",
            "reason",
        ]


class RouteOut(serializers.ModelSerializer[Route]):
    depot = serializers.CharField(source="depot.code")
    vehicle = serializers.CharField(source="vehicle.name")

    class Meta:
        model = Route
        fields = [
            "id",
            "depot",
            "day",
            "vehicle",
            "state",
            "distance_km",
            "load_kg",
            "load_m3",
            "starts_at",
            "ends_at",
        ]


class RouteDetailOut(RouteOut):
    stops = StopOut(many=True)

    class Meta(RouteOut.Meta):
        fields = [*RouteOut.Meta.fields, "stops"]


class PlanRunOut(serializers.ModelSerializer[PlanRun]):
    depot = serializers.CharField(source="depot.code")

    class Meta:
        model = PlanRun
        fields = ["depot", "state", "shipments", "planned", "unplanned", "solver_seconds", "error"]


class RouteQuery(serializers.Serializer[Any]):
    depot = serializers.SlugField(required=False)
    day = serializers.DateField(required=False)
    state = serializers.ChoiceField(Route.State.choices, required=False)


class FailIn(StrictSerializer):
    reason = StrictText(max_length=300)
