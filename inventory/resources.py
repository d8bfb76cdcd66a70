"""Promise: a file of products or stock levels that somebody gives to the admin does what the
services do, no more: all of it or, when a row is wrong, nothing, and what it would do is seen
beforehand, because it was done and taken back.

What goes out is what the lists show.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import tablib
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.html import format_html
from import_export import resources, results
from import_export.fields import Field
from import_export.widgets import DateTimeWidget

from supplychain.errors import SupplyChainError

from . import importing, services
from .checking import CHUNK
from .models import (
    Backorder,
    Product,
    Reservation,
    StockImport,
    StockImportError,
    StockLevel,
    StockMovement,
)
from .stock_files import OPTIONAL, REQUIRED

#: What an export has besides what an import takes: figures that come of what happens.
FIGURES = ("reserved", "available", "quarantined", "in_transit")


class RowsRefused(SupplyChainError):
    """The file can't be taken as it is."""

    permanent = True


# --- in -----------------------------------------------------------------------------------


class PlainError(results.Error):  # type: ignore[misc]
    """For people, not for programmers."""

    traceback = ""


class FileResult(results.Result):  # type: ignore[misc]
    """Counts rows as a spreadsheet does, the header being the first."""

    def row_errors(self) -> list[tuple[int, Any]]:
        return [(number + 1, errors) for number, errors in super().row_errors()]


class ServiceResource(resources.ModelResource):  # type: ignore[misc]
    """Rows that a service takes, all at once.

    ``take`` does it; ``figures`` reads rows as they are, by ``key``, so that the preview shows
    before and after.
    """

    REQUIRED: Sequence[str] = ()
    OPTIONAL: Sequence[str] = ()
    IGNORED: Sequence[str] = ()
    #: A resource, where an export shows more than an import takes.
    GOES_OUT_AS: Any = None

    def __init__(
        self,
        *,
        actor: str = "",
        warehouses: Collection[str] | None = None,
        limits: bool = True,
        **options: Any,
    ) -> None:
        """``warehouses`` (codes): only of these; ``limits``: may be changed, too."""
        super().__init__(**options)
        self.actor, self.warehouses, self.limits = actor, warehouses, limits
        self._faults: dict[int, str] = {}
        self._before: Mapping[Any, Sequence[Any]] = {}
        self._after: Mapping[Any, Sequence[Any]] = {}

    def take(self, dataset: tablib.Dataset, file_name: str) -> dict[int, str]:
        """Book the rows; gives what is wrong with each that is, by number from 1."""
        raise NotImplementedError

    def figures(self, dataset: tablib.Dataset) -> dict[Any, Sequence[Any]]:
        raise NotImplementedError

    def key(self, row: Mapping[str, str]) -> Any:
        raise NotImplementedError

    def before_import(self, dataset: tablib.Dataset, **kwargs: Any) -> None:
        try:
            self._check_header(dataset.headers or [])
            self._before = self.figures(dataset)
            self._faults = self.take(dataset, str(kwargs.get("file_name") or "file"))
            self._after = self.figures(dataset)
        except SupplyChainError:
            dataset.wipe()
            raise

    def _check_header(self, names: Sequence[str]) -> None:
        columns = f"{', '.join(self.REQUIRED)} and, if you like, {', '.join(self.OPTIONAL)}"
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise RowsRefused(f"The header has {', '.join(double) or 'a blank column'} twice.")
        if missing := [name for name in self.REQUIRED if name not in names]:
            raise RowsRefused(
                f"The header lacks {', '.join(missing)}. "
                f"The first row names the columns: {columns}."
            )
        known = {*self.REQUIRED, *self.OPTIONAL, *self.IGNORED}
        if strange := [name for name in names if name not in known]:
            told = ", ".join(repr(name) for name in strange)
            raise RowsRefused(f"The header has {told}, which is no column here; known: {columns}.")

    def import_row(self, row: Any, instance_loader: Any, **kwargs: Any) -> results.RowResult:
        told = results.RowResult()
        fault = self._faults.get(kwargs["row_number"])
        if fault is not None:
            told.import_type = results.RowResult.IMPORT_TYPE_ERROR
            told.errors.append(PlainError(RowsRefused(fault), row=row))
            return told
        before, after = self._before.get(self.key(row)), self._after.get(self.key(row))
        told.import_type = _kind(before, after)
        told.diff = [_change(*pair) for pair in _pairs(before, after)]
        return told

    def get_diff_headers(self) -> list[str]:
        names = [name.replace("_", " ") for name in (*self.REQUIRED, *self.OPTIONAL)]
        return ["SKU" if name == "sku" else name for name in names]

    def get_user_visible_fields(self) -> list[Any]:
        return [Field(column_name=name) for name in (*self.REQUIRED, *self.OPTIONAL)]

    @classmethod
    def get_result_class(cls) -> type[results.Result]:
        return FileResult

    @classmethod
    def get_error_result_class(cls) -> type[results.Error]:
        return PlainError


def _kind(before: Any, after: Any) -> str:
    if before is None and after is not None:
        return str(results.RowResult.IMPORT_TYPE_NEW)
    changed = before != after
    kinds = results.RowResult
    return str(kinds.IMPORT_TYPE_UPDATE if changed else kinds.IMPORT_TYPE_SKIP)


def _pairs(before: Sequence[Any] | None, after: Sequence[Any] | None) -> Iterable[tuple[Any, Any]]:
    now = after or before or []
    return zip(before if before is not None else [None] * len(now), now, strict=True)


def _change(before: Any, after: Any) -> str:
    if before is None or before == after:
        return format_html("{}", after)
    return format_html(
        # In one piece: on a phone a cell's parts are set apart.
        '<span><del style="opacity:.6">{}</del> → '
        '<ins style="text-decoration:none"><b>{}</b></ins></span>',
        *(before, after),
    )


class _Of(resources.ModelResource):  # type: ignore[misc]
    """With the codes and SKUs that people know, instead of keys."""

    FOLLOW: Sequence[str] = ()

    def filter_export(self, queryset: QuerySet[Any], **kwargs: Any) -> QuerySet[Any]:
        return queryset.select_related(*self.FOLLOW)


class LevelFigures(_Of):
    """Can be given back: what is no column of an import is passed over there."""

    FOLLOW = ("product", "warehouse")

    warehouse = Field(attribute="warehouse__code")
    sku = Field(attribute="product__sku")
    available = Field(attribute="available")

    class Meta:
        model = StockLevel
        fields = export_order = (*REQUIRED, *OPTIONAL, *FIGURES)


class LevelResource(ServiceResource):
    """Stock levels become what the file says, through the same service as in the API."""

    REQUIRED, OPTIONAL, IGNORED = REQUIRED, OPTIONAL, FIGURES
    GOES_OUT_AS = LevelFigures

    class Meta:
        model = StockLevel
        use_transactions = use_bulk = True
        fields = ()

    def key(self, row: Mapping[str, str]) -> tuple[str, str]:
        return row["warehouse"], row["sku"]

    def figures(self, dataset: tablib.Dataset) -> dict[Any, Sequence[Any]]:
        names = ("warehouse__code", "product__sku", *REQUIRED[2:], *OPTIONAL)
        found: dict[Any, Sequence[Any]] = {}
        for skus in _chunks(dataset["sku"]):
            rows = StockLevel.objects.filter(product__sku__in=skus).values_list(*names)
            found |= {tuple(row[:2]): row for row in rows}
        return found

    def take(self, dataset: tablib.Dataset, file_name: str) -> dict[int, str]:
        columns = [name for name in dataset.headers if name not in FIGURES]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        for row in dataset.dict:
            if not self.limits:
                self._leave_limits(row)
            # A line for each row, also for a blank one, so that numbers stay.
            writer.writerow([" ".join(row[name].split()) for name in columns])
        done = importing.import_levels(
            source=io.BytesIO(text.getvalue().encode()),
            reference=_reference(file_name, self.actor),
            actor=self.actor,
            warehouses=self.warehouses,
            limits=self.limits,
        )
        return _faults(done)

    def _leave_limits(self, row: dict[str, str]) -> None:
        """A list that was taken away and given back has them; as they are they do no harm."""
        now = self._before.get(self.key(row)) or ()
        for name, value in zip(OPTIONAL, now[-len(OPTIONAL) :], strict=False):
            if row.get(name) == str(value):
                row[name] = ""


def _reference(file_name: str, actor: str) -> str:
    """Of each upload its own."""
    now = f"{timezone.now():%Y-%m-%d %H:%M:%S.%f}"
    return f"{file_name[:40]}, {actor[:28]}, {now}"


def _faults(done: StockImport) -> dict[int, str]:
    rows = StockImportError.objects.filter(of=done).values_list("row", "reason")
    return {row - 1: reason for row, reason in rows}


class ProductResource(ServiceResource):
    """Products are made or changed through their service; a column that is left out leaves
    what is known."""

    REQUIRED = ("sku",)
    OPTIONAL = ("name", "weight_kg", "volume_m3", "storage_class", "active")

    class Meta:
        model = Product
        use_transactions = use_bulk = True
        import_id_fields = ("sku",)
        fields = export_order = ("sku", "name", "weight_kg", "volume_m3", "storage_class", "active")

    def key(self, row: Mapping[str, str]) -> str:
        return row["sku"]

    def figures(self, dataset: tablib.Dataset) -> dict[Any, Sequence[Any]]:
        found: dict[Any, Sequence[Any]] = {}
        for skus in _chunks(dataset["sku"]):
            for product in Product.objects.filter(sku__in=skus):
                values = [getattr(product, name) for name in (*self.REQUIRED, *self.OPTIONAL)]
                found[product.sku] = [_shown(value) for value in values]
        return found

    def take(self, dataset: tablib.Dataset, file_name: str) -> dict[int, str]:
        known: dict[str, Product] = {}
        for skus in _chunks(dataset["sku"]):
            known |= {row.sku: row for row in Product.objects.filter(sku__in=skus)}
        faults: dict[int, str] = {}
        wanted: dict[str, services.ProductData] = {}
        for number, row in enumerate(dataset.dict, 1):
            try:
                if row["sku"] in wanted:
                    raise RowsRefused("This SKU stands in an earlier row.")
                if any(row.values()):
                    wanted[row["sku"]] = _product(row, known.get(row["sku"]))
            except RowsRefused as wrong:
                faults[number] = str(wrong)
        if not faults:
            services.register_products(products=list(wanted.values()))
        return faults


def _product(row: Mapping[str, str], known: Product | None) -> services.ProductData:
    product = known or Product(sku=row["sku"])
    for name in ("name", "storage_class"):
        setattr(product, name, row.get(name) or getattr(product, name))
    for name in ("weight_kg", "volume_m3"):
        if row.get(name):
            setattr(product, name, _decimal(row[name], name))
    if row.get("active"):
        product.active = _yes_or_no(row["active"])
    try:
        product.clean_fields()
    except ValidationError as wrong:
        told = [f"{name}: {' '.join(said)}" for name, said in wrong.message_dict.items()]
        raise RowsRefused(" ".join(told)) from wrong
    names = services.ProductData.__dataclass_fields__
    return services.ProductData(**{name: getattr(product, name) for name in names})


def _decimal(text: str, name: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or "_" in text:
        raise RowsRefused(f"{name}: {text[:30]!r} is no number; write it like 2.5.")
    return value


def _yes_or_no(text: str) -> bool:
    words = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if text.lower() not in words:
        raise RowsRefused(f"active: {text[:30]!r} is neither yes nor no.")
    return words[text.lower()]


def _shown(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _chunks(values: Sequence[str]) -> Iterable[Sequence[str]]:
    """SQLite takes only so many values in a statement."""
    return [values[start : start + CHUNK] for start in range(0, len(values), CHUNK)]


# --- out ----------------------------------------------------------------------------------


class _Moment(DateTimeWidget):  # type: ignore[misc]
    """UTC; a spreadsheet knows no time zones."""

    def render(self, value: datetime | None, obj: Any = None, **kwargs: Any) -> str:
        return f"{value:%Y-%m-%d %H:%M:%S}" if value else ""


def _moment(attribute: str) -> Field:
    return Field(attribute=attribute, column_name=attribute, widget=_Moment())


class MovementResource(_Of):
    FOLLOW = ("level__product", "level__warehouse")

    at = _moment("at")
    warehouse = Field(attribute="level__warehouse__code")
    sku = Field(attribute="level__product__sku")

    class Meta:
        model = StockMovement
        fields = export_order = (
            *("id", "at", "warehouse", "sku", "bucket", "delta", "reason"),
            *("reference", "note", "actor", "correlation_id"),
        )


class ReservationResource(_Of):
    FOLLOW = ("level__product", "level__warehouse")

    created_at = _moment("created_at")
    expires_at = _moment("expires_at")
    warehouse = Field(attribute="level__warehouse__code")
    sku = Field(attribute="level__product__sku")
    order = Field(attribute="allocation_id")

    class Meta:
        model = Reservation
        fields = export_order = (
            *("created_at", "order", "shipment_id", "warehouse", "sku", "quantity", "returned"),
            *("state", "pick_on", "expires_at"),
        )


class BackorderResource(_Of):
    FOLLOW = ("product", "allocation")

    placed_at = _moment("placed_at")
    sku = Field(attribute="product__sku")
    order = Field(attribute="allocation_id")
    channel = Field(attribute="allocation__channel")

    class Meta:
        model = Backorder
        fields = export_order = ("placed_at", "order", "channel", "priority", "sku", "quantity")
