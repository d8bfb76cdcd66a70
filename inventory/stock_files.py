"""Promise: a file of stock levels is looked through to its end before any of it is believed: its
encoding, its header, its quotes and its size. Only then do its rows come out, one by one, and at
no time is more of it in memory than a few rows. See docs/stock-csv.md.

A row is a line: nothing in it may contain a line break, so that no lost quote swallows the rest
of the file.
"""

from __future__ import annotations

import csv
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Protocol

from supplychain.errors import SupplyChainError

REQUIRED = ("warehouse", "sku", "on_hand")
OPTIONAL = ("safety_stock", "reorder_point")
#: Bytes of a line; rows of a file.
LONGEST_ROW, MOST_ROWS = 10_000, 1_000_000
_PIECE = 1 << 16
_BOM = b"\xef\xbb\xbf"


class StockFileRefused(SupplyChainError):
    """This is no file of stock levels."""

    permanent = True


class Source(Protocol):
    """Where a file comes from: a request, an open file."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Row:
    """``number`` counts the file's lines from 1; ``fault`` says why its values can't be read."""

    number: int
    values: dict[str, str]
    fault: str = ""


class StockFile:
    """A whole file, sound in form; in a temporary file on disk."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self._doubles: set[int] = set()
        self.digest = ""
        self.rows = 0

    def fill(self, source: Source, longest: int) -> None:
        """Copy it; raises StockFileRefused at the first thing that makes it no such file."""
        digest = hashlib.sha256()
        for piece in _without_long_lines(self._copy(source, longest)):
            digest.update(piece)
        self.digest = digest.hexdigest()
        self._look_through()

    def _copy(self, source: Source, longest: int) -> Iterator[bytes]:
        size = 0
        while piece := source.read(_PIECE):
            size += len(piece)
            if size > longest:
                raise StockFileRefused(f"The file is longer than {longest:,} bytes; split it.")
            self._content.write(piece)
            yield piece

    def _look_through(self) -> None:
        seen: set[int] = set()
        for row in self:
            self.rows += 1
            if self.rows > MOST_ROWS:
                raise StockFileRefused(f"The file has more than {MOST_ROWS:,} rows; split it.")
            if not row.values:
                continue
            level = hash((row.values["warehouse"], row.values["sku"]))
            if level in seen:
                self._doubles.add(row.number)
            seen.add(level)

    def __iter__(self) -> Iterator[Row]:
        """Its rows; one that is blank has neither values nor a fault."""
        self._content.seek(0)
        header: list[str] | None = None
        for number, line in enumerate(self._content, 1):
            text = _text(line.removeprefix(_BOM) if number == 1 else line, number)
            cells = _cells(text, number)
            if header is None:
                header = _header(cells)
            elif any(cells):
                yield self._row(number, header, cells)
            else:
                yield Row(number, {})
        if header is None:
            raise StockFileRefused("The file is empty; it needs a header and rows.")

    def _row(self, number: int, header: list[str], cells: list[str]) -> Row:
        if len(cells) != len(header):
            return Row(number, {}, f"{len(cells)} values where the header has {len(header)}.")
        fault = "This warehouse and SKU stand in an earlier row." if number in self._doubles else ""
        return Row(number, dict(zip(header, cells, strict=True)), fault)


@contextmanager
def opened(source: Source, *, longest: int) -> Iterator[StockFile]:
    """The file that comes from there, of at most so many bytes; raises StockFileRefused."""
    with tempfile.TemporaryFile() as content:
        file = StockFile(content)
        file.fill(source, longest)
        yield file


def _without_long_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces as they come, as long as no line in them is too long."""
    number, length = 1, 0
    for piece in pieces:
        for part in piece.splitlines(keepends=True):
            length += len(part)
            if length > LONGEST_ROW:
                raise StockFileRefused(
                    f"Line {number} is longer than {LONGEST_ROW:,} bytes; a row has a warehouse, "
                    "a SKU and a few numbers."
                )
            if part.endswith(b"\n"):
                number, length = number + 1, 0
        yield piece


def _text(line: bytes, number: int) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError as wrong:
        raise StockFileRefused(
            f"Line {number} is not UTF-8 (byte 0x{line[wrong.start]:02x}); save the file as "
            "“CSV UTF-8”."
        ) from wrong
    if "\0" in text:
        raise StockFileRefused(f"Line {number} has null bytes: this is no text, or UTF-16.")
    text = text.rstrip("\r\n")
    if "\r" in text:
        raise StockFileRefused(f"Line {number} has a stray carriage return; end lines with LF.")
    return text


def _cells(text: str, number: int) -> list[str]:
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as wrong:
        raise StockFileRefused(
            f"Line {number}: its quotes are broken ({wrong}). A value in quotes begins and ends "
            "with one, has its own quotes doubled and no line break in it."
        ) from wrong
    return [cell.strip() for cell in rows[0]] if rows else []


def _header(cells: list[str]) -> list[str]:
    names = [name.lower() for name in cells]
    if double := sorted({name for name in names if names.count(name) > 1}):
        raise StockFileRefused(f"The header has {', '.join(double)} twice.")
    if missing := [name for name in REQUIRED if name not in names]:
        raise StockFileRefused(
            f"The header lacks {', '.join(missing)}. The first line names the columns, separated "
            f"by commas: {','.join(REQUIRED)} and, if you like, {','.join(OPTIONAL)}."
        )
    if strange := [name for name in names if name not in REQUIRED + OPTIONAL]:
        raise StockFileRefused(
            f"The header has {', '.join(repr(name) for name in strange)}, which is no column here; "
            f"known are {','.join(REQUIRED + OPTIONAL)}."
        )
    return names
