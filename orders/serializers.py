"""What a channel may send, and what it gets to see."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from supplychain.api import (
    StrictDecimal,
    StrictFloat,
    StrictInteger,
    StrictSerializer,
    StrictText,
)

from .models import Order, OrderLine, OrderShipment, Status, StatusChange

MAX_LINES = 500
MAX_QUANTITY = 1_000_000
MAX_PRIORITY = 9
#: What the order's column holds; the dearest lines together could come to more.
MAX_TOTAL = Decimal(10) ** 16


class CustomerIn(StrictSerializer):
    name = StrictText(max_length=120)
    email = serializers.EmailField(max_length=254)
    phone = StrictText(max_length=40, required=False, allow_blank=True)


class AddressIn(StrictSerializer):
    address = StrictText(max_length=200)
    city = StrictText(max_length=100)
    region = StrictText(max_length=100, required=False, allow_blank=True)
    postal_code = StrictText(max_length=20)
    country = serializers.RegexField(
        r"^[A-Z]{2}$", error_messages={"invalid": "Two capital letters (ISO 3166), like BR."}
    )
    latitude = StrictFloat(min_value=-90, max_value=90)
    longitude = StrictFloat(min_value=-180, max_value=180)


class LineIn(StrictSerializer):
    sku = StrictText(max_length=64)
    quantity = StrictInteger(min_value=1, max_value=MAX_QUANTITY)
    unit_price = StrictDecimal(max_digits=12, decimal_places=2, min_value=0, coerce_to_string=False)

    def validate_sku(self, sku: str) -> str:
        if sku not in self.context["orderable"]:
            raise serializers.ValidationError(f"The catalogue has no active product {sku!r}.")
        return sku


def named_once(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A product stands in one line only."""
    seen: dict[str, int] = {}
    errors: list[dict[str, Any]] = [{} for _ in lines]
    for index, line in enumerate(lines):
        first = seen.setdefault(line["sku"], index)
        if first != index:
            errors[index] = {"sku": [f"Already in lines[{first}]; put it into one line."]}
    if any(errors):
        raise serializers.ValidationError(errors)
    return lines


class AwareTime(serializers.DateTimeField):
    """A moment, with its distance from UTC: 2026-05-04T12:00:00Z."""

    def enforce_timezone(self, value: datetime) -> datetime:
        if timezone.is_naive(value):
            raise serializers.ValidationError(
                "A time needs its distance from UTC, like Z or +02:00."
            )
        return super().enforce_timezone(value)


class OrderIn(StrictSerializer):
    """``context["orderable"]``: the SKUs in the request that the catalogue offers."""

    external_id = StrictText(max_length=80)
    customer = CustomerIn()
    ship_to = AddressIn()
    lines = LineIn(many=True, allow_empty=False, max_length=MAX_LINES)  # type: ignore[call-arg]
    currency = serializers.RegexField(
        r"^[A-Z]{3}$", error_messages={"invalid": "Three capital letters (ISO 4217), like BRL."}
    )
    requested_from = serializers.DateTimeField(required=False, allow_null=True)
    requested_until = serializers.DateTimeField(required=False, allow_null=True)
    priority = StrictInteger(min_value=0, max_value=MAX_PRIORITY, required=False)
    confirm_by = AwareTime(required=False, allow_null=True)

    def validate_lines(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        named_once(lines)
        if sum(line["unit_price"] * line["quantity"] for line in lines) >= MAX_TOTAL:
            raise serializers.ValidationError(f"The total must be below {MAX_TOTAL:,}.")
        return lines

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        start: datetime | None = attrs.get("requested_from")
        end: datetime | None = attrs.get("requested_until")
        if start and end and end <= start:
            raise serializers.ValidationError(
                {"requested_until": "Must be later than requested_from."}
            )
        if not attrs.get("priority"):
            attrs.pop("priority", None)  # 0 says no more than to leave it out
        return attrs


class OrderQuery(serializers.Serializer[Any]):
    status = serializers.ChoiceField(Status.choices, required=False, allow_blank=True)
    channel = StrictText(required=False, allow_blank=True)


class UnitsIn(StrictSerializer):
    sku = StrictText(max_length=64)
    quantity = StrictInteger(min_value=1, max_value=MAX_QUANTITY)


class CancelIn(StrictSerializer):
    """Without ``lines`` the whole order is meant. ``reference``: a second request with the same
    one takes nothing more out of the order."""

    reason = StrictText(max_length=200, required=False, allow_blank=True, default="")
    reference = StrictText(max_length=80, required=False, allow_blank=True, default="")
    lines = UnitsIn(many=True, required=False, allow_empty=False, max_length=MAX_LINES)  # type: ignore[call-arg]

    def validate_lines(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return named_once(lines)


class ConfirmIn(StrictSerializer):
    """Nothing more is to be said."""


class LineOut(serializers.ModelSerializer[OrderLine]):
    cancelled = serializers.IntegerField()

    class Meta:
        model = OrderLine
        fields = ["sku", "quantity", "cancelled", "unit_price"]


class ShipmentOut(serializers.ModelSerializer[OrderShipment]):
    """``warehouse`` is the depot that it is sent from. The window is the one promised, or asked
    for; ``trouble`` says that it is not known just now when it comes, ``reason`` why."""

    class Meta:
        model = OrderShipment
        fields = [
            *("shipment_id", "state", "warehouse", "quantity"),
            *("window_from", "window_until", "eta", "time_zone", "trouble", "reason"),
        ]


class StepOut(serializers.ModelSerializer[StatusChange]):
    class Meta:
        model = StatusChange
        fields = ["status", "at", "reason"]


class OrderOut(serializers.ModelSerializer[Order]):
    """An order in a list."""

    channel = serializers.SlugRelatedField("code", read_only=True)  # type: ignore[var-annotated]

    class Meta:
        model = Order
        fields = [
            "id",
            "channel",
            "external_id",
            "status",
            "currency",
            "total",
            "priority",
            "confirm_by",
            "confirmed_at",
            "quantity",
            "cancelled_quantity",
            "reserved_quantity",
            "placed_at",
            "updated_at",
        ]


class OrderDetailOut(OrderOut):
    """An order with all that is known of it."""

    customer = serializers.SerializerMethodField()
    ship_to = serializers.SerializerMethodField()
    lines = LineOut(many=True)
    shipments = ShipmentOut(many=True)
    history = StepOut(many=True)

    class Meta(OrderOut.Meta):
        fields = [
            *OrderOut.Meta.fields,
            "correlation_id",
            "customer",
            "ship_to",
            "requested_from",
            "requested_until",
            "lines",
            "shipments",
            "history",
        ]

    def get_customer(self, order: Order) -> dict[str, str]:
        return {
            "name": order.customer_name,
            "email": order.customer_email,
            "phone": order.customer_phone,
        }

    def get_ship_to(self, order: Order) -> dict[str, Any]:
        names = ["address", "city", "region", "postal_code", "country", "latitude", "longitude"]
        return {name: getattr(order, name) for name in names}
