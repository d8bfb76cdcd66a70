"""What the routing API takes and shows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from supplychain.api import StrictFloat, StrictInteger, StrictSerializer, StrictText

from .driving import Proof
from .models import (
    MAX_KG,
    MAX_M3,
    MAX_PHOTOS,
    SKILLS,
    Alert,
    Depot,
    Plan,
    PlanRun,
    Route,
    Stop,
)
from .proofs import MAX_UPLOAD, UnusablePhoto, read_photo
from .selectors import window


class GoodsOut(serializers.Serializer[Any]):
    sku = serializers.CharField()
    quantity = serializers.IntegerField()


class StopOut(serializers.ModelSerializer[Stop]):
    order_id = serializers.UUIDField(source="shipment.order_id")
    customer = serializers.CharField(source="shipment.customer")
    address = serializers.CharField(source="shipment.address")
    latitude = serializers.FloatField(source="shipment.latitude")
    longitude = serializers.FloatField(source="shipment.longitude")
    recalled = serializers.BooleanField(source="shipment.recalled")
    weight_kg = serializers.FloatField(source="shipment.weight_kg")
    volume_m3 = serializers.FloatField(source="shipment.volume_m3")
    items = serializers.IntegerField(source="shipment.items")
    goods = serializers.SerializerMethodField(help_text="empty: only the units are known")
    skills = serializers.ListField(source="shipment.skills", child=serializers.CharField())
    window_from = serializers.SerializerMethodField(help_text="promised, else asked for")
    window_until = serializers.SerializerMethodField()
    photos: Any = serializers.PrimaryKeyRelatedField(many=True, read_only=True)

    @extend_schema_field(GoodsOut(many=True))
    def get_goods(self, stop: Stop) -> Any:
        return stop.shipment.goods

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_window_from(self, stop: Stop) -> str | None:
        return _moment(window(stop.shipment)[0])

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_window_until(self, stop: Stop) -> str | None:
        return _moment(window(stop.shipment)[1])

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
            "weight_kg",
            "volume_m3",
            "items",
            "goods",
            "skills",
            "window_from",
            "window_until",
            "ended_at",
            "reason",
            "proof_name",
            "photos",
        ]


def _moment(value: datetime | None) -> str | None:
    return serializers.DateTimeField().to_representation(value) if value else None


class RouteOut(serializers.ModelSerializer[Route]):
    depot = serializers.CharField(source="depot.code")
    vehicle = serializers.CharField(source="vehicle.name")
    driver = serializers.SerializerMethodField()

    def get_driver(self, route: Route) -> str | None:
        somebody = route.driver or route.vehicle.driver
        return somebody.get_username() if somebody else None

    class Meta:
        model = Route
        fields = [
            "id",
            "depot",
            "day",
            "vehicle",
            "driver",
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


class PhotoField(serializers.FileField):
    """An upload, as the photo that is kept."""

    def to_internal_value(self, data: Any) -> Any:
        upload: Any = super().to_internal_value(data)
        if upload.size > MAX_UPLOAD:
            raise serializers.ValidationError(f"A photo has at most {MAX_UPLOAD:,} bytes.")
        try:
            return read_photo(upload.read())
        except UnusablePhoto as wrong:
            raise serializers.ValidationError(str(wrong)) from wrong


class AnswerIn(StrictSerializer):
    """Of a stop that has ended, ``seconds_ago`` if a phone could not tell it at once."""

    reference = serializers.UUIDField(required=False, help_text="made by who answers")
    seconds_ago = serializers.IntegerField(
        min_value=0, max_value=7 * 86400, required=False, default=0
    )
    photo = serializers.ListField(
        child=PhotoField(), required=False, default=list, max_length=MAX_PHOTOS
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """As the services take it."""
        ago = attrs.pop("seconds_ago")
        proof = Proof(
            photos=attrs.pop("photo"),
            reference=attrs.pop("reference", None),
            at=timezone.now() - timedelta(seconds=ago) if ago else None,
        )
        return {**attrs, "proof": proof}


class FailIn(AnswerIn):
    reason = StrictText(max_length=300)


class DeliverIn(AnswerIn):
    proof_name = StrictText(max_length=120, required=False, allow_blank=True, default="")


class DriverIn(StrictSerializer):
    driver = StrictText(max_length=150, allow_null=True)


class MoveIn(StrictSerializer):
    """To a route, or a vehicle that has none and is free. ``position`` counts from 1, without
    the stop that moves; if there is none, where it costs least."""

    route = serializers.UUIDField(required=False)
    vehicle = StrictInteger(min_value=1, required=False)
    position = StrictInteger(min_value=1, max_value=100_000, required=False)
    dry_run = serializers.BooleanField(default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("route" in attrs) == ("vehicle" in attrs):
            raise serializers.ValidationError({"route": "Name a route or a vehicle."})
        return attrs


class PlaceIn(MoveIn):
    """A vehicle is named with the ``day``, and with the departure where its depot has any."""

    day = serializers.DateField(required=False)
    departs_at = serializers.DateTimeField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "vehicle" in attrs and "day" not in attrs:
            raise serializers.ValidationError({"day": "Name the day on which the vehicle drives."})
        if "route" in attrs and ("day" in attrs or "departs_at" in attrs):
            raise serializers.ValidationError({"day": "The route has its day and departure."})
        return super().validate(attrs)


class MoveOut(serializers.Serializer[Any]):
    cost_difference = serializers.FloatField()
    km_difference = serializers.FloatField()
    faults = serializers.ListField(child=serializers.CharField())
    applied = serializers.BooleanField()
    position = serializers.IntegerField()
    was = serializers.IntegerField(
        allow_null=True, help_text="the position to move it back to; null: it had no route"
    )


# --- plans and their versions ---------------------------------------------------------------


class PlanQuery(serializers.Serializer[Any]):
    depot = serializers.SlugField(required=False)
    day = serializers.DateField(required=False)


class PlanOut(serializers.ModelSerializer[Plan]):
    depot = serializers.CharField(source="depot.code")

    class Meta:
        model = Plan
        fields = [
            *("id", "depot", "day", "departs_at", "version", "why", "made_at"),
            *("cost", "distance_km", "stops"),
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
