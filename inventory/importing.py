"""Promise: a file of stock levels goes into the books row by row, each row once; what is wrong with
a row is on record with its line; a file that was cut off goes on where it stopped.

Chunks of rows have transactions of their own, each with the mark of how far the file has come.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from django.db import transaction
from django.utils import timezone

from supplychain.events import Event
from supplychain.events.outbox import Emission, emit_all

from . import locks
from .adjusting import adjusted, change_limits
from .checking import CHUNK, MAX_QUANTITY, InvalidStockChange
from .ledger import Ledger, Reason
from .models import Product, StockImport, StockImportError, StockLevel, Warehouse
from .stock_files import OPTIONAL, REQUIRED, Row, Source, StockFile, StockFileRefused, opened

State = StockImport.State
#: Bytes of a file.
LONGEST_FILE = 200_000_000
_NUMBER = re.compile(r"\d{1,12}", re.ASCII)


class AnotherFile(InvalidStockChange):
    """This reference belongs to another file; give this one a reference of its own."""


class _Wrong(Exception):
    """Why a row is not taken."""


@dataclass(frozen=True)
class _Wish:
    """What a row says about a level; None: nothing."""

    number: int
    on_hand: int
    safety_stock: int | None
    reorder_point: int | None


def import_levels(
    *,
    source: Source,
    reference: str,
    actor: str,
    warehouses: Collection[str] | None = None,
    limits: bool = True,
    longest: int = LONGEST_FILE,
    on_the_way: Callable[[StockImport, int], object] = lambda done, rows: None,
) -> StockImport:
    """Make the levels what the file says; ``warehouses`` (codes): only of these; without
    ``limits``: only what is on hand.

    The same file again under its reference does what is left to do. Raises StockFileRefused, on
    record with the import, when it is no file of stock levels, and AnotherFile; then nothing has
    changed. ``on_the_way`` gets the import and the number of rows after each chunk.
    """
    if not reference.strip() or len(reference) > 100:
        raise InvalidStockChange("An import needs a reference of at most 100 characters.")
    try:
        with opened(source, longest=longest) as file:
            done = _begin(reference, file, actor)
            chunks = _Chunks(done, actor, warehouses, limits)
            for rows in _in_chunks(file, done.rows_done):
                chunks.take(rows)
                on_the_way(done, file.rows)
            _finish(done)
    except StockFileRefused as refusal:
        _refuse(reference, str(refusal), actor)
        raise
    return done


@transaction.atomic
def _begin(reference: str, file: StockFile, actor: str) -> StockImport:
    StockImport.objects.get_or_create(
        reference=reference, defaults={"digest": file.digest, "started_by": actor}
    )
    row = locks.paper(StockImport, reference=reference)
    assert row is not None
    if row.state == State.REFUSED:  # nothing of it was taken: a mended file may follow
        row.digest, row.state, row.refusal, row.started_by = file.digest, State.RUNNING, "", actor
        row.ended_at = None
        row.save()
    if row.digest != file.digest:
        raise AnotherFile
    return row


def _in_chunks(file: StockFile, done: int) -> Iterator[list[Row]]:
    rows = islice(file, done, None)
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


@transaction.atomic
def _finish(done: StockImport) -> None:
    row = locks.paper(StockImport, pk=done.pk)
    if row is not None and row.state == State.RUNNING:
        done.state, done.ended_at = State.DONE, timezone.now()
        done.save(update_fields=["state", "ended_at"])


@transaction.atomic
def _refuse(reference: str, why: str, actor: str) -> None:
    """On record, unless the reference belongs to a file that was taken."""
    values = {"state": State.REFUSED, "refusal": why[:300], "started_by": actor}
    StockImport.objects.get_or_create(reference=reference, defaults=values)
    StockImport.objects.filter(reference=reference, state=State.REFUSED).update(
        **values, ended_at=timezone.now()
    )


class _Chunks:
    """Takes one chunk after the other into the books."""

    def __init__(
        self, done: StockImport, actor: str, warehouses: Collection[str] | None, limits: bool
    ) -> None:
        self._done, self._actor = done, actor
        self._mine, self._limits = warehouses, limits
        self._sites = {row.code: row for row in Warehouse.objects.all()}

    @transaction.atomic
    def take(self, rows: Sequence[Row]) -> None:
        mark = locks.paper(StockImport, pk=self._done.pk)
        if mark is None or mark.rows_done != self._done.rows_done:
            raise InvalidStockChange(
                f"Somebody else is importing {self._done.reference!r}; look at how it goes."
            )
        products = {
            row.sku: row
            for row in Product.objects.filter(sku__in=[r.values.get("sku", "") for r in rows])
        }
        faults: dict[int, str] = {}
        wishes: dict[tuple[int, int], _Wish] = {}
        for row in rows:
            try:
                if (wish := self._read(row, products)) is not None:
                    wishes[wish[0]] = wish[1]
            except _Wrong as wrong:
                faults[row.number] = str(wrong)
        changed, refused = self._book(wishes)
        faults |= refused
        StockImportError.objects.bulk_create(
            StockImportError(of=mark, row=number, reason=reason[:300])
            for number, reason in faults.items()
        )
        self._done.rows_done += len(rows)
        self._done.rows_changed += changed
        self._done.rows_wrong += len(faults)
        self._done.save(update_fields=["rows_done", "rows_changed", "rows_wrong"])

    def _read(
        self, row: Row, products: Mapping[str, Product]
    ) -> tuple[tuple[int, int], _Wish] | None:
        if row.fault:
            raise _Wrong(row.fault)
        if not row.values:
            return None
        at = self._site(row.values["warehouse"]).pk, _product(row.values["sku"], products).pk
        limits = {name: _number(row.values.get(name, ""), name, or_none=True) for name in OPTIONAL}
        if not self._limits and any(value is not None for value in limits.values()):
            raise _Wrong("Safety stock and reorder point are not yours to set; leave them empty.")
        on_hand = _number(row.values[REQUIRED[2]], REQUIRED[2])
        assert on_hand is not None
        return at, _Wish(row.number, on_hand, **limits)

    def _site(self, code: str) -> Warehouse:
        site = self._sites.get(code)
        if site is None:
            raise _Wrong(f"There is no warehouse {code!r}.")
        if not site.active:
            raise _Wrong(f"Warehouse {code!r} is inactive.")
        if self._mine is not None and code not in self._mine:
            raise _Wrong(f"Warehouse {code!r} is not one of yours.")
        return site

    def _book(self, wishes: Mapping[tuple[int, int], _Wish]) -> tuple[int, dict[int, str]]:
        """Gives how many levels changed, and why some could not."""
        ledger, refused = Ledger(actor=self._actor), {}
        limits: list[Emission] = []
        moves: list[Emission] = []
        changed: set[int] = set()
        for at, level in locks.levels_at(wishes).items():
            wish = wishes[at]
            if wish.on_hand < level.reserved:
                refused[wish.number] = f"{level.reserved} are reserved, more than {wish.on_hand}."
                continue
            # One kind after the other: an outbox that gets them mixed writes them one by one.
            for told, step in ((limits, self._limit), (moves, self._move)):
                for event in step(level, wish, ledger):
                    told.append(Emission(event, level, level.advance()))
                    changed.add(level.pk)
        emissions = [*limits, *moves]
        emissions += ledger.low()
        ledger.write(*OPTIONAL)
        emit_all(emissions)
        return len(changed), refused

    def _limit(self, level: StockLevel, wish: _Wish, ledger: Ledger) -> Iterator[Event]:
        wanted = {name: value for name in OPTIONAL if (value := getattr(wish, name)) is not None}
        if told := change_limits(level, wanted, ledger, self._actor):
            yield told

    def _move(self, level: StockLevel, wish: _Wish, ledger: Ledger) -> Iterator[Event]:
        delta = wish.on_hand - level.on_hand
        if not delta:
            return
        ledger.move(level, delta, Reason.IMPORT, reference=self._done.reference)
        yield adjusted(level, delta, f"import {self._done.reference}")


def _product(sku: str, products: Mapping[str, Product]) -> Product:
    product = products.get(sku)
    if product is None:
        raise _Wrong(f"There is no product {sku!r}.")
    if not product.active:
        raise _Wrong(f"Product {sku!r} is inactive.")
    return product


def _number(text: str, name: str, *, or_none: bool = False) -> int | None:
    if or_none and not text:
        return None
    if not _NUMBER.fullmatch(text) or int(text) > MAX_QUANTITY:
        raise _Wrong(
            f"{name} must be a whole number from 0 to {MAX_QUANTITY:,}, not {text[:30]!r}."
        )
    return int(text)
