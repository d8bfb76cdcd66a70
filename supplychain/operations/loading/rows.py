"""Promise: whatever a file holds, its rows come one by one, in bounded memory, and a row that
can't be read comes with the reason instead of ending the file.

A record is one line: a stray quotation mark spoils its own line and no other.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from supplychain.errors import SupplyChainError

#: Bytes; a longer line is skipped and reported.
MAX_LINE = 65_536
#: Of a line that can't be read, so much is kept to recognise it by.
_GLIMPSE = 300
_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


class UnusableFile(SupplyChainError):
    """Not one row of the file could be understood."""

    permanent = True


@dataclass(frozen=True)
class Line:
    """``fault`` says why the text can't be trusted; then it is only a glimpse."""

    number: int
    text: str
    fault: str = ""


@dataclass(frozen=True)
class Row:
    """Cells by column; with a ``fault``, those that could be told apart in spite of it."""

    number: int
    cells: dict[str, str] = field(default_factory=dict)
    fault: str = ""


class Lines:
    """The lines of a text file, plain or gzip; ``position`` counts the bytes read on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.total = path.stat().st_size
        self.position = 0
        self.damage = ""

    def __iter__(self) -> Iterator[Line]:
        self.damage, number = "", 0
        with self._path.open("rb") as raw:
            file = _unpacked(raw)
            try:
                while data := file.readline(MAX_LINE + 1):
                    number += 1
                    yield self._line(number, data, file)
                    self.position = raw.tell()
            except (EOFError, zlib.error, gzip.BadGzipFile) as failure:
                self.damage = f"The compressed data is damaged after line {number}: {failure}"
                yield Line(number + 1, "", self.damage)

    def _line(self, number: int, data: bytes, file: IO[bytes]) -> Line:
        if number == 1:
            data = data.removeprefix(_BOM)
        if len(data) > MAX_LINE and not data.endswith(b"\n"):
            length = len(data) + _skip_line(file)
            fault = f"a line of {length:,} bytes; at most {MAX_LINE:,} are read"
            return Line(number, data[:_GLIMPSE].decode(errors="replace"), fault)
        data = data.removesuffix(b"\n").removesuffix(b"\r")
        try:
            return Line(number, data.decode())
        except UnicodeDecodeError as wrong:
            fault = f"not UTF-8: byte 0x{data[wrong.start]:02x} at position {wrong.start + 1}"
            return Line(number, data[:_GLIMPSE].decode(errors="replace"), fault)


def _unpacked(raw: IO[bytes]) -> IO[bytes]:
    """By content, not by name: a .gz may have been unpacked on its way, or the reverse."""
    packed = raw.read(2) == _GZIP_MAGIC
    raw.seek(0)
    return gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[return-value]


def _skip_line(file: IO[bytes]) -> int:
    skipped = 0
    while part := file.readline(MAX_LINE):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


class Table:
    """The rows of a CSV file under its header; empty lines are passed over."""

    def __init__(self, path: Path, *, needed: frozenset[str]) -> None:
        self._path, self._lines = path, Lines(path)
        self.total = self._lines.total
        first = next(iter(self._lines), None)
        self.header = self._header(first, needed)

    @property
    def position(self) -> int:
        return self._lines.position

    @property
    def damage(self) -> str:
        return self._lines.damage

    def __iter__(self) -> Iterator[Row]:
        for line in self._lines:
            if line.number > 1 and (line.text or line.fault):
                yield self._row(line)

    def _header(self, line: Line | None, needed: frozenset[str]) -> list[str]:
        if line is None or not line.text.strip():
            raise UnusableFile(f"{self._path} begins with no header.")
        if line.fault:
            raise UnusableFile(f"{self._path}, header: {line.fault}.")
        try:
            header = [name.strip() for name in _cells(line.text)]
        except csv.Error as wrong:
            raise UnusableFile(f"{self._path}, header: {wrong}.") from wrong
        if doubles := sorted({name for name in header if header.count(name) > 1}):
            raise UnusableFile(f"{self._path}: the header has {', '.join(doubles)} twice.")
        if missing := sorted(needed - set(header)):
            raise UnusableFile(f"{self._path}: the header lacks {', '.join(missing)}.")
        return header

    def _row(self, line: Line) -> Row:
        if line.fault:
            return Row(line.number, self._glimpse(line.text), line.fault)
        try:
            cells = _cells(line.text)
        except csv.Error as wrong:
            fault = f"not a whole CSV record: {wrong}"
            return Row(line.number, self._glimpse(line.text), fault)
        if [cell.strip() for cell in cells] == self.header:
            return Row(line.number, {}, "the header once more")
        if len(cells) != len(self.header):
            fault = f"{len(cells)} columns instead of {len(self.header)}"
            return Row(line.number, self._glimpse(line.text), fault)
        return Row(line.number, dict(zip(self.header, cells, strict=True)))

    def _glimpse(self, text: str) -> dict[str, str]:
        """The first cell, if it is whole: later ones may have moved."""
        cell, comma, _ = text.partition(",")
        whole = comma and not {'"', "\ufffd"} & set(cell)
        return {self.header[0]: cell} if whole else {}


def _cells(text: str) -> list[str]:
    return next(csv.reader([text], strict=True), [])
