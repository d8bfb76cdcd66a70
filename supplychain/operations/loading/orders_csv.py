"""Promise: an order in our own CSV format (docs/orders-csv.md) is given whole or not at all: if
one of its rows can't be read, none of them is placed, and each fault is told with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from orders.serializers import MAX_LINES

from .items import Broken, Fault, Found, Item
from .rows import Row, Table, UnusableFile

#: Faults told of one order; a long order of rubbish must not fill memory or report.
MAX_FAULTS = 50
_WHOLE = re.compile(r"-?\d{1,18}")
_DECIMAL = re.compile(r"[+-]?\d{1,3}(\.\d{1,18})?")


def _text(cell: str) -> str:
    return cell


def _whole(cell: str) -> int | None:
    if cell and not _WHOLE.fullmatch(cell):
        raise ValueError(f"{_short(cell)} is not a whole number.")
    return int(cell) if cell else None


def _degrees(cell: str) -> float | None:
    if cell and not _DECIMAL.fullmatch(cell):
        raise ValueError(f"{_short(cell)} is not a number of degrees, like -23.5505.")
    return float(cell) if cell else None


def _moment(cell: str) -> str | None:
    if not cell:
        return None
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"{_short(cell)} is not a time with its zone: 2026-12-01T08:00:00-03:00.")
    return moment.isoformat()


def _short(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else f"{cell[:40]}…")


@dataclass(frozen=True)
class _Column:
    """Where a column's value stands in the API's body, and how it is read."""

    place: tuple[str, ...]
    read: Callable[[str], Any] = _text
    needed: bool = True

    @property
    def field(self) -> str:
        return ".".join(self.place)


_OF_ORDER = {
    "external_id": _Column(("external_id",)),
    "customer_name": _Column(("customer", "name")),
    "customer_email": _Column(("customer", "email")),
    "customer_phone": _Column(("customer", "phone"), needed=False),
    "address": _Column(("ship_to", "address")),
    "city": _Column(("ship_to", "city")),
    "region": _Column(("ship_to", "region"), needed=False),
    "postal_code": _Column(("ship_to", "postal_code")),
    "country": _Column(("ship_to", "country")),
    "latitude": _Column(("ship_to", "latitude"), _degrees),
    "longitude": _Column(("ship_to", "longitude"), _degrees),
    "currency": _Column(("currency",)),
    "requested_from": _Column(("requested_from",), _moment, needed=False),
    "requested_until": _Column(("requested_until",), _moment, needed=False),
}
_OF_LINE = {
    "sku": _Column(("sku",)),
    "quantity": _Column(("quantity",), _whole),
    "unit_price": _Column(("unit_price",)),
}
COLUMNS = _OF_ORDER | _OF_LINE
NEEDED = frozenset(name for name, column in COLUMNS.items() if column.needed)


class OrdersCsv:
    """Reads a file of orders; raises UnusableFile when its header won't do."""

    def __init__(self, path: Path) -> None:
        self._table = Table(path, needed=NEEDED)
        self.total = self._table.total
        if unknown := sorted(set(self._table.header) - set(COLUMNS)):
            raise UnusableFile(
                f"{path}: there is no column {', '.join(unknown)}; see docs/orders-csv.md."
            )

    @property
    def position(self) -> int:
        return self._table.position

    @property
    def damage(self) -> str:
        return self._table.damage

    def __iter__(self) -> Iterator[Item]:
        group: _Group | None = None
        for row in self._table:
            external_id = row.cells.get("external_id", "").strip()
            if not external_id:
                yield Broken("", (_nameless(row),))
                if group:
                    group.doubt = group.doubt or row.number
            elif group and group.external_id == external_id:
                group.add(row)
            else:
                if group:
                    yield group.close()
                group = _Group(external_id)
                group.add(row)
        if group:
            yield group.close()


def _nameless(row: Row) -> Fault:
    field = "" if row.fault else "external_id"
    return Fault(row.number, field, row.fault or "The row says of no order that it belongs to it.")


@dataclass
class _Group:
    """Consecutive rows of one order. ``doubt`` is a row after them that can't be attributed:
    if another row of the order follows, it belonged to it as well."""

    external_id: str
    doubt: int = 0
    _first: Row | None = None
    _body: dict[str, Any] = field(default_factory=dict)
    _rows: list[int] = field(default_factory=list)
    _faults: list[Fault] = field(default_factory=list)

    def add(self, row: Row) -> None:
        if self.doubt:
            self._blame(row.number, "", f"line {self.doubt}, amidst this order, can't be read")
            self.doubt = 0
        if row.fault:
            self._blame(row.number, "", row.fault)
        elif len(self._rows) == MAX_LINES:
            self._blame(row.number, "lines", f"An order has at most {MAX_LINES} lines.")
        else:
            self._take(row)

    def close(self) -> Item:
        if self._faults:
            return Broken(self.external_id, tuple(self._faults))
        return Found(self.external_id, tuple(self._rows), self._body)

    def _take(self, row: Row) -> None:
        if self._first is None:
            self._first = row
            self._read(row, _OF_ORDER, self._body, "")
        else:
            self._compare(row, self._first)
        index = len(self._rows)
        line: dict[str, Any] = {}
        self._read(row, _OF_LINE, line, f"lines[{index}].")
        self._body.setdefault("lines", []).append(line)
        self._rows.append(row.number)

    def _read(
        self, row: Row, columns: dict[str, _Column], into: dict[str, Any], prefix: str
    ) -> None:
        for name, column in columns.items():
            cell = row.cells.get(name, "").strip()
            if not (cell or column.needed):
                continue
            try:
                value = column.read(cell)
            except ValueError as wrong:
                self._blame(row.number, prefix + column.field, str(wrong))
                continue
            target = into
            for step in column.place[:-1]:
                target = target.setdefault(step, {})
            target[column.place[-1]] = value

    def _compare(self, row: Row, first: Row) -> None:
        """What is said of the order again must be the same."""
        for name, column in _OF_ORDER.items():
            cell = row.cells.get(name, "").strip()
            if cell and cell != first.cells[name].strip():
                said = f"{_short(cell)}, but line {first.number} of the same order says otherwise."
                self._blame(row.number, column.field, said)

    def _blame(self, row: int, field: str, reason: str) -> None:
        if len(self._faults) < MAX_FAULTS:
            self._faults.append(Fault(row, field, reason))
