"""Promise: what a channel tells its customer before the order is placed is what the reservation
would do at this moment, and what is not there yet comes with the day on which it is expected.

Reads only, and only what belongs to the products asked for, so that it takes as long with a
million stock levels as with a thousand. Nothing is held: the next order may take it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.db.models import F, Sum
from django.utils import timezone

from . import checking
from .models import (
    Backorder,
    Product,
    Receipt,
    ReceiptLine,
    StockLevel,
    Transfer,
    TransferLine,
    Warehouse,
)
from .picking import PickDiary
from .rules import DESTINATION, Rules
from .shelves import Demand, Shelves
from .taking import shelves_of


@dataclass(frozen=True)
class Source:
    """Units from one warehouse. ``on`` is its local day: on which they are picked if they are in
    ``stock``, else on which the ``receipt`` or ``transfer`` is expected (None: unknown)."""

    warehouse: str
    quantity: int
    on: date | None
    comes_from: str = "stock"


@dataclass
class Promised:
    """``quantity`` of a product, as far as it can be promised."""

    sku: str
    quantity: int
    sources: list[Source] = field(default_factory=list)

    @property
    def now(self) -> int:
        return sum(s.quantity for s in self.sources if s.comes_from == "stock")

    @property
    def later(self) -> int:
        return sum(s.quantity for s in self.sources if s.comes_from != "stock")

    @property
    def short(self) -> int:
        """Units of which nobody knows whether they ever come."""
        return self.quantity - self.now - self.later

    @property
    def available_on(self) -> date | None:
        """The day on which all of it has been picked or has come; None: nobody knows."""
        days = [source.on for source in self.sources]
        known = [day for day in days if day is not None]
        return max(known) if known and len(known) == len(days) and not self.short else None


def promise(
    *,
    lines: Sequence[tuple[str, int]],
    latitude: float,
    longitude: float,
    channel: str = "",
    country: str = "",
    region: str = "",
) -> list[Promised]:
    """What can be promised of each product to an order for this place."""
    wanted = checking.units(lines)
    products = checking.products(wanted)
    rules = Rules.read()
    excluded = rules.excluded(channel, country, region)
    rows = StockLevel.objects.filter(product__in=products.values(), warehouse__active=True)
    levels = list(rows.select_related("product", "warehouse"))
    shelves = shelves_of(levels, PickDiary.look)
    ahead = _withhold_for_those_in_line(shelves, products.values(), rules)
    served = shelves.serve(Demand(wanted, latitude, longitude, rules.policy(channel), excluded))
    promised = {sku: Promised(sku, quantity) for sku, quantity in wanted.items()}
    codes = {level.warehouse_id: level.warehouse.code for level in levels}
    for parcel in served.parcels:
        for (sku, quantity), day in zip(parcel.units.items(), parcel.days, strict=True):
            promised[sku].sources.append(Source(codes[parcel.site], quantity, day))
    if served.short:
        short = {sku: products[sku] for sku in served.short}
        mine = [level for level in levels if level.product.sku in short]
        inbound = _inbound(short.values(), mine, excluded)
        for sku, units in served.short.items():
            promised[sku].sources += _from_inbound(inbound[sku], ahead[sku], units)
    return list(promised.values())


def _withhold_for_those_in_line(
    shelves: Shelves, products: Iterable[Product], rules: Rules
) -> Counter[str]:
    """Give nothing that a backorder waits for, as the reservation does; gives the units of each
    product that must still come before the line is served."""
    ahead: Counter[str] = Counter()
    waiting = Backorder.objects.filter(product__in=list(products)).order_by()
    where = DESTINATION if rules.exclude else ()
    for sku, *place, units in waiting.values_list("product__sku", *where).annotate(
        units=Sum("quantity")
    ):
        excluded = rules.excluded(*place) if place else frozenset()
        ahead[sku] += max(0, units - shelves.there(sku, excluded))
        shelves.withhold(sku, excluded)
    return ahead


@dataclass(frozen=True)
class _Coming:
    on: date | None
    warehouse: Warehouse
    units: int
    how: str

    @property
    def turn(self) -> tuple[bool, date, str]:
        """The earliest first, those without a day last."""
        return self.on is None, self.on or date.max, self.warehouse.code


def _inbound(
    products: Iterable[Product], levels: Iterable[StockLevel], excluded: frozenset[int]
) -> dict[str, list[_Coming]]:
    """What is on its way of each product to warehouses that may send it, in the order of days,
    less what a warehouse keeps of it to have its safety stock again."""
    keeps = Counter(
        {(row.warehouse_id, row.product.sku): row.safety_stock - row.available for row in levels}
    )
    coming: dict[str, list[_Coming]] = defaultdict(list)
    found = [*_receipts(products)]
    if any(level.in_transit for level in levels):
        found += _transfers(products)
    for sku, one in sorted(found, key=lambda pair: pair[1].turn):
        if one.warehouse.pk in excluded:
            continue
        kept = min(one.units, max(0, keeps[one.warehouse.pk, sku]))
        keeps[one.warehouse.pk, sku] -= kept
        coming[sku].append(_Coming(one.on, one.warehouse, one.units - kept, one.how))
    return coming


def _receipts(products: Iterable[Product]) -> Iterator[tuple[str, _Coming]]:
    lines = ReceiptLine.objects.filter(
        product__in=list(products),
        received__lt=F("quantity"),
        receipt__state=Receipt.State.EXPECTED,
        receipt__warehouse__active=True,
    ).select_related("product", "receipt__warehouse")
    now = timezone.now()
    for line in lines:
        on = _not_past(line.receipt.expected_on, line.receipt.warehouse, now)
        units = line.quantity - line.received
        yield line.product.sku, _Coming(on, line.receipt.warehouse, units, "receipt")


def _transfers(products: Iterable[Product]) -> Iterator[tuple[str, _Coming]]:
    lines = TransferLine.objects.filter(
        product__in=list(products),
        transfer__state=Transfer.State.IN_TRANSIT,
        transfer__target__active=True,
    ).select_related("product", "transfer__target")
    now = timezone.now()
    for line in lines:
        on = _not_past(line.transfer.expected_on, line.transfer.target, now)
        yield line.product.sku, _Coming(on, line.transfer.target, line.quantity, "transfer")


def _not_past(day: date | None, warehouse: Warehouse, now: datetime) -> date | None:
    """What is late may come today."""
    return day and max(day, now.astimezone(ZoneInfo(warehouse.time_zone)).date())


def _from_inbound(coming: Iterable[_Coming], ahead: int, wanted: int) -> Iterator[Source]:
    """What comes goes to those ahead in line first."""
    for one in coming:
        taken = min(ahead, one.units)
        ahead -= taken
        if units := min(wanted, one.units - taken):
            wanted -= units
            yield Source(one.warehouse.code, units, one.on, one.how)
