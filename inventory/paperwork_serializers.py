"""What the API takes and shows of receipts, transfers, counts, imports and single levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework import serializers
from rest_framework.fields import empty

from supplychain.api import StrictInteger, StrictSerializer, StrictText

from .models import (
    CountLine,
    CycleCount,
    Product,
    Receipt,
    ReceiptLine,
    StockImport,
    StockImportError,
    StockLevel,
    Transfer,
    TransferLine,
)
from .services import MAX_QUANTITY

#: Lines that a request may have; products that a question may ask about.
MOST_LINES, MOST_ASKED = 10_000, 50


# --- parts --------------------------------------------------------------------------------


class WarehouseField(StrictText):
    """A warehouse's code, of those that whoever asks may change (context ``warehouses``)."""

    def __init__(self, *, active: bool = True, **options: Any) -> None:
        self._active = active
        super().__init__(max_length=40, **options)

    def run_validation(self, data: Any = empty) -> Any:
        """The code is valid as a text before it is looked up."""
        code = super().run_validation(data)
        rows = self.context["warehouses"].filter(code=code)
        warehouse = (rows.filter(active=True) if self._active else rows).first()
        if warehouse is None:
            what = "active warehouse" if self._active else "warehouse"
            raise serializers.ValidationError(f"There is no {what} {code!r}.")
        return warehouse


class StockLineIn(StrictSerializer):
    sku = StrictText(max_length=64)
    quantity = StrictInteger(min_value=1, max_value=MAX_QUANTITY)


class CountedIn(StrictSerializer):
    sku = StrictText(max_length=64)
    counted = StrictInteger(min_value=0, max_value=MAX_QUANTITY)


class ArrivedIn(StrictSerializer):
    sku = StrictText(max_length=64)
    received = StrictInteger(min_value=0, max_value=MAX_QUANTITY)


def checked_lines(
    lines: Sequence[Mapping[str, Any]], units: str = "quantity", *, active: bool = True
) -> list[tuple[str, int]]:
    """(SKU, units) of each; what is wrong with a line is told at its index."""
    skus = [line["sku"] for line in lines]
    known = dict(Product.objects.filter(sku__in=skus).values_list("sku", "active"))
    first: dict[str, int] = {}
    errors: list[dict[str, Any]] = [{} for _ in lines]
    for index, sku in enumerate(skus):
        if sku not in known:
            errors[index] = {"sku": [f"There is no product {sku!r}."]}
        elif active and not known[sku]:
            errors[index] = {"sku": [f"Product {sku!r} is inactive."]}
        elif first.setdefault(sku, index) != index:
            errors[index] = {"sku": [f"Already in lines[{first[sku]}]."]}
    if any(errors):
        raise serializers.ValidationError(errors)
    return [(line["sku"], line[units]) for line in lines]


class WithLines(StrictSerializer):
    lines = StockLineIn(many=True, allow_empty=False, max_length=MOST_LINES)  # type: ignore[call-arg]

    def validate_lines(self, lines: list[dict[str, Any]]) -> list[tuple[str, int]]:
        return checked_lines(lines)


# --- announced receipts -------------------------------------------------------------------


class ExpectedReceiptIn(WithLines):
    warehouse = WarehouseField()
    reference = StrictText(max_length=100)
    supplier = StrictText(max_length=120, default="", allow_blank=True)
    expected_on = serializers.DateField()


class ExpectedReceiptChange(WithLines):
    """What is left out stays as it is."""

    supplier = StrictText(max_length=120, required=False, allow_blank=True)
    expected_on = serializers.DateField(required=False)
    lines = StockLineIn(many=True, allow_empty=False, max_length=MOST_LINES, required=False)  # type: ignore[call-arg]


class ReceiptQuery(serializers.Serializer[Any]):
    warehouse = serializers.CharField(required=False, max_length=40)
    state = serializers.ChoiceField(Receipt.State.choices, required=False)


class ReceiptLineOut(serializers.ModelSerializer[ReceiptLine]):
    sku = serializers.CharField(source="product.sku")

    class Meta:
        model = ReceiptLine
        fields = ["sku", "quantity", "received"]


class ReceiptOut(serializers.ModelSerializer[Receipt]):
    warehouse = serializers.SlugRelatedField("code", read_only=True)  # type: ignore[var-annotated]

    class Meta:
        model = Receipt
        fields = [
            *("id", "warehouse", "reference", "supplier", "expected_on", "state"),
            *("created_by", "created_at", "ended_at"),
        ]


class ReceiptDetailOut(ReceiptOut):
    lines = ReceiptLineOut(many=True)

    class Meta(ReceiptOut.Meta):
        fields = [*ReceiptOut.Meta.fields, "lines"]


# --- transfers ----------------------------------------------------------------------------


class TransferIn(WithLines):
    source = WarehouseField(active=False)  # type: ignore[assignment]
    target = WarehouseField()
    reason = StrictText(max_length=200, default="", allow_blank=True)
    expected_on = serializers.DateField(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["source"] == attrs["target"]:
            raise serializers.ValidationError({"target": "This is the source; name another one."})
        return attrs


class TransferQuery(serializers.Serializer[Any]):
    source = serializers.CharField(required=False, max_length=40)  # type: ignore[assignment]
    target = serializers.CharField(required=False, max_length=40)
    state = serializers.ChoiceField(Transfer.State.choices, required=False)


class ShipIn(StrictSerializer):
    expected_on = serializers.DateField(required=False, allow_null=True)


class ArrivalIn(StrictSerializer):
    """Without lines everything has arrived; with them each product must be named."""

    lines = ArrivedIn(many=True, required=False, max_length=MOST_LINES)  # type: ignore[call-arg]
    reason = StrictText(max_length=200, default="", allow_blank=True)

    def validate_lines(self, lines: list[dict[str, Any]]) -> list[tuple[str, int]]:
        return checked_lines(lines, "received", active=False)


class ReasonIn(StrictSerializer):
    reason = StrictText(max_length=200)


class TransferLineOut(serializers.ModelSerializer[TransferLine]):
    sku = serializers.CharField(source="product.sku")

    class Meta:
        model = TransferLine
        fields = ["sku", "quantity", "received"]


class TransferOut(serializers.ModelSerializer[Transfer]):
    source = serializers.SlugRelatedField(  # type: ignore[assignment, var-annotated]
        "code", read_only=True
    )
    target = serializers.SlugRelatedField("code", read_only=True)  # type: ignore[var-annotated]

    class Meta:
        model = Transfer
        fields = [
            *("id", "source", "target", "state", "reason", "expected_on"),
            *("created_by", "created_at", "shipped_at", "ended_at"),
        ]


class TransferDetailOut(TransferOut):
    lines = TransferLineOut(many=True)

    class Meta(TransferOut.Meta):
        fields = [*TransferOut.Meta.fields, "lines"]


# --- counts -------------------------------------------------------------------------------


class CountIn(StrictSerializer):
    """All levels of the warehouse, those of ``skus``, or with ``due_only`` those that are due."""

    warehouse = WarehouseField(active=False)
    due_on = serializers.DateField()
    skus = serializers.ListField(
        child=StrictText(max_length=64), required=False, allow_empty=False, max_length=MOST_LINES
    )
    due_only = serializers.BooleanField(default=False)


class CountQuery(serializers.Serializer[Any]):
    warehouse = serializers.CharField(required=False, max_length=40)
    state = serializers.ChoiceField(CycleCount.State.choices, required=False)


class CountOut(serializers.ModelSerializer[CycleCount]):
    warehouse = serializers.SlugRelatedField("code", read_only=True)  # type: ignore[var-annotated]

    class Meta:
        model = CycleCount
        fields = ["id", "warehouse", "state", "due_on", "created_by", "created_at", "ended_at"]


class CountLineOut(serializers.ModelSerializer[CountLine]):
    sku = serializers.CharField(source="level.product.sku")

    class Meta:
        model = CountLine
        fields = ["sku", "expected", "counted", "counted_by", "counted_at"]


class RecordIn(StrictSerializer):
    """Of a line that was counted before, only a ``recount`` is taken."""

    lines = CountedIn(many=True, allow_empty=False, max_length=1000)  # type: ignore[call-arg]
    recount = serializers.BooleanField(default=False)

    def validate_lines(self, lines: list[dict[str, Any]]) -> list[tuple[str, int]]:
        return checked_lines(lines, "counted", active=False)


# --- one level ----------------------------------------------------------------------------


class LevelIn(StrictSerializer):
    """Which stock level."""

    warehouse = WarehouseField(active=False)
    sku = StrictText(max_length=64)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Puts the level's key in the place of warehouse and SKU."""
        warehouse, sku = attrs.pop("warehouse"), attrs.pop("sku")
        levels = StockLevel.objects.filter(warehouse=warehouse, product__sku=sku)
        key = levels.values_list("pk", flat=True).first()
        if key is None:
            raise serializers.ValidationError({"sku": f"{sku!r} was never in {warehouse}."})
        return {"level_id": key, **attrs}


class AdjustmentIn(LevelIn):
    """``reference``: a second request with the same one changes nothing."""

    delta = StrictInteger(min_value=-MAX_QUANTITY, max_value=MAX_QUANTITY)
    reason = StrictText(max_length=200)
    reference = StrictText(max_length=120, default="", allow_blank=True)

    def validate_delta(self, delta: int) -> int:
        if not delta:
            raise serializers.ValidationError("An adjustment must change something.")
        return delta


class SetAsideIn(LevelIn):
    """``reference``: a second request with the same one changes nothing."""

    quantity = StrictInteger(min_value=1, max_value=MAX_QUANTITY)
    reason = StrictText(max_length=200)
    reference = StrictText(max_length=120, default="", allow_blank=True)


class ScrapIn(SetAsideIn):
    bucket = serializers.ChoiceField(["quarantined", "on_hand"], default="quarantined")


class LimitsIn(LevelIn):
    """What is left out stays as it is."""

    safety_stock = StrictInteger(min_value=0, max_value=MAX_QUANTITY, required=False)
    reorder_point = StrictInteger(min_value=0, max_value=MAX_QUANTITY, required=False)


# --- imports ------------------------------------------------------------------------------


class ImportErrorOut(serializers.ModelSerializer[StockImportError]):
    class Meta:
        model = StockImportError
        fields = ["row", "reason"]


class ImportOut(serializers.ModelSerializer[StockImport]):
    """``rows_done`` are behind us, blank ones and wrong ones among them. ``wrong`` are the first
    1,000 of the rows that were not taken."""

    wrong = serializers.SerializerMethodField()

    class Meta:
        model = StockImport
        fields = [
            *("reference", "state", "rows_done", "rows_changed", "rows_wrong", "refusal"),
            *("started_by", "started_at", "ended_at", "wrong"),
        ]

    def get_wrong(self, row: StockImport) -> list[dict[str, Any]]:
        return [
            {"row": number, "reason": reason}
            for number, reason in row.errors.values_list("row", "reason")[:1000]
        ]


# --- availability -------------------------------------------------------------------------


class WholeNumber(serializers.IntegerField):
    """Digits and nothing else."""

    def to_internal_value(self, data: Any) -> int:
        if not (isinstance(data, str) and data.isascii() and data.isdigit() and len(data) < 20):
            raise serializers.ValidationError("A whole number is required.")
        return int(super().to_internal_value(data))


class AvailabilityQuery(serializers.Serializer[Any]):
    """``sku`` and ``quantity`` come in pairs, as often as there are products; degrees, WGS 84."""

    sku = serializers.ListField(
        child=serializers.CharField(max_length=64), allow_empty=False, max_length=MOST_ASKED
    )
    quantity = serializers.ListField(
        child=WholeNumber(min_value=1, max_value=MAX_QUANTITY),
        allow_empty=False,
        max_length=MOST_ASKED,
    )
    latitude = serializers.FloatField(min_value=-90, max_value=90)
    longitude = serializers.FloatField(min_value=-180, max_value=180)
    channel = serializers.CharField(required=False, max_length=40)
    country = serializers.CharField(required=False, max_length=2)
    region = serializers.CharField(required=False, max_length=100)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Puts the pairs in the place of the two lists."""
        skus, units = attrs.pop("sku"), attrs.pop("quantity")
        if len(skus) != len(units):
            raise serializers.ValidationError(
                {"quantity": f"{len(skus)} SKUs and {len(units)} quantities; give one for each."}
            )
        return {**attrs, "lines": _pairs(skus, units)}


def _pairs(skus: Sequence[str], units: Sequence[int]) -> list[tuple[str, int]]:
    if doubles := {sku for sku in skus if skus.count(sku) > 1}:
        raise serializers.ValidationError({"sku": f"{min(doubles)!r} is named twice."})
    known = set(Product.objects.filter(sku__in=skus, active=True).values_list("sku", flat=True))
    if unknown := [sku for sku in skus if sku not in known]:
        raise serializers.ValidationError({"sku": f"There is no active product {unknown[0]!r}."})
    return list(zip(skus, units, strict=True))


class SourceOut(serializers.Serializer[Any]):
    """``on``: the warehouse's local day on which the units are picked if they come from stock,
    else on which the receipt or transfer is expected; null: unknown."""

    warehouse = serializers.CharField()
    quantity = serializers.IntegerField()
    comes_from = serializers.ChoiceField(["stock", "receipt", "transfer"])
    on = serializers.DateField(allow_null=True)


class PromisedOut(serializers.Serializer[Any]):
    sku = serializers.CharField()
    quantity = serializers.IntegerField()
    now = serializers.IntegerField(help_text="units in stock")
    later = serializers.IntegerField(help_text="units on their way")
    short = serializers.IntegerField(help_text="units that nobody has announced")
    available_on = serializers.DateField(
        allow_null=True, help_text="the day on which all of it is there; null: unknown"
    )
    sources = SourceOut(many=True)


class AvailabilityOut(serializers.Serializer[Any]):
    """``complete``: all of it is in stock now; ``shipments``: from so many warehouses."""

    complete = serializers.BooleanField()
    shipments = serializers.IntegerField()
    available_on = serializers.DateField(allow_null=True)
    lines = PromisedOut(many=True)
