"""Forms in which staff say what has happened to stock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils import timezone
from unfold import widgets as theme

from supplychain.events.context import new_id

from .models import StockMovement, Warehouse
from .services import MAX_QUANTITY

#: What the theme gives a field of each kind to wear.
_DRESSES: list[tuple[type[forms.Widget], Sequence[str]]] = [
    (forms.Textarea, [*theme.TEXTAREA_CLASSES, "font-mono"]),
    (forms.CheckboxInput, theme.CHECKBOX_CLASSES),
    (forms.RadioSelect, theme.RADIO_CLASSES),
    (forms.Select, theme.SELECT_CLASSES),
    (forms.Widget, theme.INPUT_CLASSES),
]
_LINE = re.compile(r"(?P<sku>\S.*?)\s*(?:[\s,;]\s*(?:[x×]\s*)?)(?P<units>[+-]?[\d.,]+)")
#: Lines that are typed in; more come in a file.
MOST_LINES = 500


class StaffForm(forms.Form):
    """A form that looks like the theme's own; hints stand below the fields."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.label_suffix = ""
        for field in self.fields.values():
            dress = next(classes for kind, classes in _DRESSES if isinstance(field.widget, kind))
            field.widget.attrs.setdefault("class", " ".join(dress))

    @property
    def numbers(self) -> list[forms.BoundField]:
        """Those of single products; a page shows them side by side with their hints."""
        return []

    @property
    def others(self) -> list[forms.BoundField]:
        shown = {bound.name for bound in self.numbers}
        return [bound for bound in self if bound.name not in shown]


def quantity_field(label: str = "Quantity", at_least: int = 1, **options: Any) -> Any:
    return forms.IntegerField(min_value=at_least, max_value=MAX_QUANTITY, label=label, **options)


def reason_field(examples: str, **options: Any) -> Any:
    return forms.CharField(max_length=120, label="Reason", help_text=examples, **options)


class Day(forms.DateInput):
    """The browser's own calendar."""

    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class LinesField(forms.CharField):
    """A line for each product: its SKU and a number. Gives [(SKU, units)]."""

    def __init__(self, *, at_least: int = 1, **options: Any) -> None:
        self._at_least = at_least
        options.setdefault(
            "help_text", "A line for each product: SKU, space, units. Paste, or scan."
        )
        widget = forms.Textarea(attrs={"rows": 6, "placeholder": "CHA-001 12\nCHA-002 5"})
        super().__init__(widget=widget, max_length=100 * MOST_LINES, **options)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
        if len(lines) > MOST_LINES:
            raise forms.ValidationError(f"More than {MOST_LINES} lines: import a file instead.")
        return [self._read(number, line) for number, line in lines]

    def _read(self, number: int, line: str) -> tuple[str, int]:
        found = _LINE.fullmatch(line)
        if found is None:
            raise forms.ValidationError(f"Line {number}: “{line[:60]}” is no SKU with a number.")
        units = found["units"]
        if not units.isascii() or not units.isdigit() or not self._fits(int(units)):
            raise forms.ValidationError(
                f"Line {number}: the units must be a whole number from {self._at_least} to "
                f"{MAX_QUANTITY:,}, not {units[:30]}."
            )
        return found["sku"], int(units)

    def _fits(self, units: int) -> bool:
        return self._at_least <= units <= MAX_QUANTITY


# --- one stock level ----------------------------------------------------------------------


class OnceForm(StaffForm):
    """A double click books once."""

    reference = forms.UUIDField(initial=new_id, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        said = {**(super().clean() or {})}
        said["reference"] = str(said.get("reference", ""))
        return said


class AdjustForm(OnceForm):
    delta = forms.IntegerField(
        min_value=-MAX_QUANTITY,
        max_value=MAX_QUANTITY,
        label="Change by",
        help_text="Like -2 for what is gone, or 3 for what was found.",
    )
    reason = reason_field("Broken, found, miscounted…")


class SetAsideForm(OnceForm):
    quantity = quantity_field()
    reason = reason_field("Damaged, past its date, recalled…")


class RestockForm(OnceForm):
    quantity = quantity_field()
    reason = reason_field("What was found when they were looked at.")


class ScrapForm(OnceForm):
    bucket = forms.ChoiceField(
        label="From",
        widget=theme.UnfoldAdminSelectWidget(),
        choices=[
            (StockMovement.Bucket.QUARANTINED, "quarantine"),
            (StockMovement.Bucket.ON_HAND, "what is on hand"),
        ],
    )
    quantity = quantity_field()
    reason = reason_field("Why they can't be sold.")


class LimitsForm(StaffForm):
    safety_stock = quantity_field(
        "Safety stock", 0, help_text="Units that are never promised to an order."
    )
    reorder_point = quantity_field(
        "Reorder point", 0, help_text="When fewer units are available, more is ordered. 0: never."
    )


class CorrectForm(StaffForm):
    counted = quantity_field(
        "Counted on the shelf",
        0,
        required=False,
        help_text="Empty: nobody has counted, and the ledger is right.",
    )
    reason = reason_field("How the books came to be wrong, as far as is known.")


# --- goods that come ----------------------------------------------------------------------


def place_field(label: str) -> Any:
    """The form says which are offered."""
    nowhere, widget = Warehouse.objects.none(), theme.UnfoldAdminSelectWidget()
    return forms.ModelChoiceField(nowhere, label=label, empty_label="choose one", widget=widget)


class PlaceForm(StaffForm):
    """Asks for one of somebody's own warehouses; chosen already where there is only one."""

    warehouse = place_field("Warehouse")

    def __init__(self, *args: Any, places: QuerySet[Warehouse], **options: Any) -> None:
        super().__init__(*args, **options)
        _offer(self.fields["warehouse"], places.filter(active=True))


def _offer(field: Any, places: QuerySet[Warehouse]) -> None:
    field.queryset = places.order_by("code")
    if len(known := list(field.queryset[:2])) == 1:
        field.initial = known[0].pk


class ReceiveForm(PlaceForm):
    reference = forms.CharField(
        max_length=120, help_text="The delivery note's. The same one never counts twice."
    )
    lines = LinesField(label="What came")


class AnnounceForm(PlaceForm):
    reference = forms.CharField(
        max_length=100, help_text="The purchase order's or the advice note's."
    )
    supplier = forms.CharField(max_length=120, required=False)
    expected_on = forms.DateField(widget=Day(), label="Expected on")
    lines = LinesField(label="What will come")


class ChangeReceiptForm(StaffForm):
    supplier = forms.CharField(max_length=120, required=False)
    expected_on = forms.DateField(widget=Day(), label="Expected on")
    lines = LinesField(label="What will come")


class PerProductForm(StaffForm):
    """A number for each product of a piece of paperwork."""

    at_least = 0

    def __init__(
        self, *args: Any, products: Iterable[tuple[str, str, int | None]], **options: Any
    ) -> None:
        """``products``: (SKU, hint, what is most likely)."""
        super().__init__(*args, **options)
        self._skus: dict[str, str] = {}
        numbers: dict[str, Any] = {}
        for index, (sku, hint, likely) in enumerate(products):
            self._skus[f"n{index}-{sku}"] = sku
            numbers[f"n{index}-{sku}"] = quantity_field(
                sku, self.at_least, required=False, help_text=hint, initial=likely
            )
            attrs = {"class": " ".join(theme.INPUT_CLASSES), "inputmode": "numeric"}
            numbers[f"n{index}-{sku}"].widget.attrs.update(attrs)
        self.fields = {**numbers, **self.fields}

    @property
    def numbers(self) -> list[forms.BoundField]:
        return [self[name] for name in self._skus]

    def clean(self) -> dict[str, Any]:
        """``lines`` instead of a field for each product; empty fields say nothing."""
        said = {**(super().clean() or {})}
        found = {sku: said.pop(name, None) for name, sku in self._skus.items()}
        said["lines"] = [(sku, units) for sku, units in found.items() if units is not None]
        if not said["lines"] and not self.errors:
            raise forms.ValidationError("Nothing is filled in.")
        return said


class ArrivalForm(PerProductForm):
    """Of an announced receipt."""

    reference = forms.CharField(
        max_length=120, help_text="The delivery note's. The same one never counts twice."
    )

    def clean(self) -> dict[str, Any]:
        said = super().clean()
        said["lines"] = [(sku, units) for sku, units in said["lines"] if units]
        return said


# --- transfers ----------------------------------------------------------------------------


class TransferForm(StaffForm):
    source = place_field("From")
    target = place_field("To")
    expected_on = forms.DateField(widget=Day(), required=False, label="Expected on")
    reason = forms.CharField(max_length=200, required=False)
    lines = LinesField(label="What is moved")

    def __init__(self, *args: Any, places: QuerySet[Warehouse], **options: Any) -> None:
        super().__init__(*args, **options)
        _offer(self.fields["source"], places)
        self.fields["target"].queryset = Warehouse.objects.filter(active=True).order_by("code")  # type: ignore[attr-defined]


class LinesForm(StaffForm):
    lines = LinesField(label="What is moved instead")


class ShipForm(StaffForm):
    expected_on = forms.DateField(
        widget=Day(), required=False, label="Expected on", help_text="At the other warehouse."
    )


class TransferArrivalForm(PerProductForm):
    reason = reason_field("What became of the rest. Needed when some are missing.", required=False)


class ReasonForm(StaffForm):
    reason = reason_field("For those who look at it later.")


class ReleaseForm(StaffForm):
    reason = reason_field("Broken, not found, needed elsewhere…")
    set_aside = forms.BooleanField(
        required=False,
        label="They can't be sold",
        help_text="They go into quarantine, and the order keeps its place in line.",
    )


# --- counts -------------------------------------------------------------------------------


class OpenCountForm(PlaceForm):
    due_on = forms.DateField(widget=Day(), label="Until", initial=timezone.localdate)
    which = forms.ChoiceField(
        label="What is counted",
        widget=theme.UnfoldAdminSelectWidget(),
        choices=[
            ("due", "what has not been counted for too long"),
            ("some", "these products"),
            ("all", "everything in the warehouse"),
        ],
    )
    skus = forms.CharField(
        label="SKUs",
        required=False,
        max_length=100 * MOST_LINES,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="For “these products”: a line for each.",
    )

    def clean(self) -> dict[str, Any]:
        said = {**(super().clean() or {})}
        which, text = said.pop("which", ""), said.pop("skus", "")
        skus = [line.strip() for line in text.splitlines() if line.strip()]
        if which == "some" and not skus:
            self.add_error("skus", "Name the products, a line for each.")
        return {**said, "due_only": which == "due", "skus": skus if which == "some" else None}


class CountForm(PerProductForm):
    recount = forms.BooleanField(
        required=False,
        label="This is a recount",
        help_text="Overwrites what was counted before.",
    )


class NothingToSayForm(StaffForm):
    """Only asks for confirmation."""
