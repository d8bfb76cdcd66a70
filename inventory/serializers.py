"""What the inventory API takes and shows."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from supplychain.api import StrictInteger, StrictSerializer, StrictText

from .models import Receipt, Reservation, StockLevel, Warehouse
from .paperwork_serializers import WarehouseField, WithLines
from .services import MAX_QUANTITY


class StockQuery(serializers.Serializer[Any]):
    """What a list of stock can be filtered by."""

    sku = serializers.CharField(required=False, max_length=64)
    warehouse = serializers.CharField(required=False, max_length=40)


class StockOut(serializers.ModelSerializer[StockLevel]):
    warehouse = serializers.SlugRelatedField("code", read_only=True)  # type: ignore[var-annotated]
    sku = serializers.CharField(source="product.sku")
    available = serializers.IntegerField()

    class Meta:
        model = StockLevel
        fields = [
            *("warehouse", "sku", "on_hand", "reserved", "available", "quarantined", "in_transit"),
            *("safety_stock", "reorder_point"),
        ]


class WarehouseOut(serializers.ModelSerializer[Warehouse]):
    class Meta:
        model = Warehouse
        fields = ["code", "name", "latitude", "longitude", "active"]


class ReservationOut(serializers.ModelSerializer[Reservation]):
    warehouse = serializers.CharField(source="level.warehouse.code")
    sku = serializers.CharField(source="level.product.sku")
    order_id = serializers.UUIDField(source="allocation_id")

    class Meta:
        model = Reservation
        fields = [
            *("id", "warehouse", "sku", "quantity", "order_id", "shipment_id"),
            *("pick_on", "expires_at", "created_at"),
        ]


class ReleaseIn(StrictSerializer):
    """``set_aside``: they can't be sold, put them into quarantine."""

    reason = StrictText(max_length=200)
    set_aside = serializers.BooleanField(default=False)


class ReceiptIn(WithLines):
    """Goods that have come. ``receipt``: of an announcement with this reference."""

    warehouse = WarehouseField()
    reference = StrictText(max_length=120)
    receipt = StrictText(max_length=100, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        announced = attrs.pop("receipt", None)
        if announced is not None:
            rows = Receipt.objects.filter(warehouse=attrs["warehouse"], reference=announced)
            attrs["receipt"] = rows.select_related("warehouse").first()
            if attrs["receipt"] is None:
                raise serializers.ValidationError(
                    {"receipt": f"No receipt {announced!r} is announced there."}
                )
        return attrs


class ReturnLineIn(StrictSerializer):
    sku = StrictText(max_length=64)
    quantity = StrictInteger(min_value=1, max_value=MAX_QUANTITY)
    disposition = serializers.ChoiceField(["restock", "quarantine", "scrap"])


class ReturnIn(StrictSerializer):
    """Goods of one shipment; a product may come back in different conditions."""

    shipment_id = serializers.UUIDField()
    reference = StrictText(max_length=80)
    lines = ReturnLineIn(many=True, allow_empty=False, max_length=1000)  # type: ignore[call-arg]
