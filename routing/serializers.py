"""What the routing API takes and shows."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from supplychain.api import StrictFloat, StrictInteger, StrictSerializer, StrictText

from .models import MAX_KG, MAX_M3, SKILLS, Alert, Depot, Plan, PlanRun, Route, Shipment, Stop


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
            "proof_name",
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
            "frozen",
            "version",
            "cost",
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
        fields = [
            *("depot", "state", "trigger", "shipments", "planned", "unplanned", "moved"),
            *("fell_out", "solver_seconds", "error"),
        ]


class RouteQuery(serializers.Serializer[Any]):
    depot = serializers.SlugField(required=False)
    day = serializers.DateField(required=False)
    state = serializers.ChoiceField(Route.State.choices, required=False)


class FailIn(StrictSerializer):
    reason = StrictText(max_length=300)


class DeliverIn(StrictSerializer):
    proof_name = StrictText(max_length=120, required=False, allow_blank=True, default="")


class MoveIn(StrictSerializer):
    """``position`` counts from 1; without one, where it costs least."""

    route = serializers.UUIDField()
    position = StrictInteger(min_value=1, max_value=100_000, required=False)
    dry_run = serializers.BooleanField(default=False)


class MoveOut(serializers.Serializer[Any]):
    cost_difference = serializers.FloatField()
    faults = serializers.ListField(child=serializers.CharField())
    applied = serializers.BooleanField()
    position = serializers.IntegerField()


# --- plans and their versions ---------------------------------------------------------------


class PlanQuery(serializers.Serializer[Any]):
    depot = serializers.SlugField(required=False)
    day = serializers.DateField(required=False)


class PlanOut(serializers.ModelSerializer[Plan]):
    depot = serializers.CharField(source="depot.code")

    class Meta:
        model = Plan
        fields = [
            *("id", "depot", "day", "version", "why", "made_at", "cost", "distance_km", "stops")
        ]


class PlannedStopOut(serializers.Serializer[Any]):
    shipment = serializers.UUIDField()
    eta = serializers.DateTimeField()


class PlannedRouteOut(serializers.Serializer[Any]):
    route = serializers.UUIDField()
    vehicle = serializers.CharField()
    stops = PlannedStopOut(many=True)


class PlacePlannedOut(serializers.Serializer[Any]):
    vehicle = serializers.CharField()
    position = serializers.IntegerField()
    eta = serializers.DateTimeField()


class DifferenceOut(serializers.Serializer[Any]):
    """``before`` is null for who came, ``now`` for who fell out."""

    shipment = serializers.UUIDField()
    before = PlacePlannedOut(allow_null=True)
    now = PlacePlannedOut(allow_null=True)


class PlanDetailOut(PlanOut):
    routes = PlannedRouteOut(many=True)
    previous = serializers.IntegerField(allow_null=True, help_text="key of the version before")
    cost_before = serializers.FloatField(allow_null=True)
    changes = DifferenceOut(many=True)

    class Meta(PlanOut.Meta):
        fields = [*PlanOut.Meta.fields, "routes", "previous", "cost_before", "changes"]


class UnplannedOut(serializers.ModelSerializer[Shipment]):
    reason = serializers.CharField(source="unplannable_reason")

    class Meta:
        model = Shipment
        fields = [
            *("shipment_id", "order_id", "customer", "address", "latitude", "longitude"),
            *("weight_kg", "volume_m3", "items", "priority", "skills", "requested_from"),
            *("requested_until", "promised_from", "promised_until", "ready_at", "reason"),
        ]


class DayOut(serializers.Serializer[Any]):
    """A depot's day as it stands; ``version`` is that of its newest plan, 0 without one."""

    depot = serializers.CharField()
    day = serializers.DateField()
    version = serializers.IntegerField()
    routes = RouteDetailOut(many=True)
    unplanned = UnplannedOut(many=True)


# --- promises and alerts --------------------------------------------------------------------


class WindowIn(StrictSerializer):
    """One end may be left open."""

    opens = serializers.DateTimeField(required=False, default=None)
    closes = serializers.DateTimeField(required=False, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        opens, closes = attrs["opens"], attrs["closes"]
        if opens and closes and closes < opens:
            raise serializers.ValidationError({"closes": "It closes before it opens."})
        return attrs


class PromiseIn(StrictSerializer):
    """Without a depot, the one that can be there first and costs least."""

    depot = serializers.SlugRelatedField(
        "code", queryset=Depot.objects.filter(active=True), required=False
    )
    latitude = StrictFloat(min_value=-90, max_value=90)
    longitude = StrictFloat(min_value=-180, max_value=180)
    weight_kg = StrictFloat(min_value=0, max_value=MAX_KG)
    volume_m3 = StrictFloat(min_value=0, max_value=MAX_M3)
    items = StrictInteger(min_value=0, max_value=1_000_000, required=False, default=0)
    skills = serializers.ListField(
        child=serializers.ChoiceField(SKILLS), required=False, max_length=len(SKILLS)
    )
    windows = WindowIn(many=True, required=False, max_length=10)  # type: ignore[call-arg]


class PromiseOut(serializers.Serializer[Any]):
    """``promised`` is false when there is no place for it, and nothing else is said then."""

    promised = serializers.BooleanField()
    depot = serializers.CharField(required=False)
    day = serializers.DateField(required=False)
    window_from = serializers.DateTimeField(required=False)
    window_until = serializers.DateTimeField(required=False)
    eta = serializers.DateTimeField(required=False)
    extra_cost = serializers.FloatField(required=False)


class AlertOut(serializers.ModelSerializer[Alert]):
    depot = serializers.CharField(source="depot.code")

    class Meta:
        model = Alert
        fields = ["id", "depot", "kind", "subject_id", "text", "at", "seen_at", "seen_by"]
