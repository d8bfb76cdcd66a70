"""What the inventory API takes and shows."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from supplychain.api import StrictInteger, StrictText

from .models import Product, StockLevel, Warehouse
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
        fields = ["warehouse", "sku", "on_hand", "reserved", "available"]


class WarehouseOut(serializers.ModelSerializer[Warehouse]):
    class Meta:
        model = Warehouse
        fields = ["code", "name", "latitude", "longitude", "active"]


class ReceiptLineIn(serializers.Serializer[Any]):
    sku = StrictText(max_length=64)
    quantity = StrictInteger(min_value=1, max_value=MAX_QUANTITY)


class ReceiptIn(serializers.Serializer[Any]):
    warehouse = StrictText(max_length=40)
    reference = StrictText(max_length=120)
    lines = ReceiptLineIn(many=True, allow_empty=False, max_length=10_000)  # type: ignore[call-arg]

    def validate_warehouse(self, code: str) -> Warehouse:
        warehouse = Warehouse.objects.filter(code=code, active=True).first()
        if warehouse is None:
            raise serializers.ValidationError(f"There is no active warehouse {code!r}.")
        return warehouse

    def validate_lines(self, lines: list[dict[str, Any]]) -> list[tuple[str, int]]:
        skus = [line["sku"] for line in lines]
        known = set(Product.objects.filter(sku__in=skus).values_list("sku", flat=True))
        first: dict[str, int] = {}
        errors: list[dict[str, Any]] = [{} for _ in lines]
        for index, sku in enumerate(skus):
            if sku not in known:
                errors[index] = {"sku": [f"There is no product {sku!r}."]}
            elif first.setdefault(sku, index) != index:
                errors[index] = {"sku": [f"Already in lines[{first[sku]}]."]}
        if any(errors):
            raise serializers.ValidationError(errors)
        return [(line["sku"], line["quantity"]) for line in lines]


class ReturnLineIn(serializers.Serializer[Any]):
    sku = StrictText(max_length=64)
    quantity = StrictInteger(min_value=1, max_value=MAX_QUANTITY)
    disposition = serializers.ChoiceField(["restock", "quarantine", "scrap"])


class ReturnIn(serializers.Serializer[Any]):
    """Goods of one shipment; a product may come back in different conditions."""

    shipment_id = serializers.UUIDField()
    reference = StrictText(max_length=80)
    lines = ReturnLineIn(many=True, allow_empty=False, max_length=1000)  # type: ignore[call-arg]
