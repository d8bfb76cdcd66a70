"""Promise: a file that somebody gives to the admin is read only as far as it is small enough and
in order, and a file that the admin gives away starts no formula in whatever opens it.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

import tablib
from import_export.formats import base_formats

from supplychain.errors import SupplyChainError

#: Rows and columns of a file that is given to the admin; longer ones go through the API.
MOST_ROWS, MOST_COLUMNS = 5_000, 30
#: Bytes of it, and of what it unpacks to.
LONGEST, LONGEST_UNPACKED = 5_000_000, 100_000_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class UnreadableFile(SupplyChainError):
    """This file can't be read as what it is said to be."""

    permanent = True


class Csv(base_formats.CSV):  # type: ignore[misc]
    """UTF-8, separated by commas or, as spreadsheets of some countries have it, semicolons."""

    def create_dataset(self, in_stream: str, **kwargs: Any) -> tablib.Dataset:
        header = in_stream.partition("\n")[0]
        separator = ";" if ";" in header and "," not in header else ","
        try:
            rows = csv.reader(io.StringIO(in_stream), delimiter=separator, strict=True)
            return _dataset(rows)
        except csv.Error as wrong:
            raise UnreadableFile(f"The file's quotes or lines are broken: {wrong}.") from wrong

    def export_data(self, dataset: tablib.Dataset, **kwargs: Any) -> Any:
        return super().export_data(_harmless(dataset), **kwargs)


class Xlsx(base_formats.XLSX):  # type: ignore[misc]
    """The first sheet."""

    def create_dataset(self, in_stream: bytes) -> tablib.Dataset:
        import openpyxl  # type: ignore[import-untyped]

        try:
            with zipfile.ZipFile(io.BytesIO(in_stream)) as parts:
                if sum(part.file_size for part in parts.infolist()) > LONGEST_UNPACKED:
                    raise UnreadableFile("The sheet is too large; give the API a CSV file.")
            book = openpyxl.load_workbook(io.BytesIO(in_stream), read_only=True, data_only=True)
            sheet = book.worksheets[0]
            rows = sheet.iter_rows(
                values_only=True, max_row=MOST_ROWS + 2, max_col=MOST_COLUMNS + 1
            )
            return _dataset(rows)
        except UnreadableFile:
            raise
        # What openpyxl raises over a broken file is anything.
        except Exception as wrong:
            raise UnreadableFile("This is no XLSX file, or a broken one.") from wrong

    def export_data(self, dataset: tablib.Dataset, **kwargs: Any) -> Any:
        return super().export_data(_harmless(dataset), **kwargs)


FORMATS = [Csv, Xlsx]


def _dataset(rows: Iterable[Sequence[Any]]) -> tablib.Dataset:
    """All cells as texts; blank rows stay, so that rows keep their numbers."""
    texts = (_cells(row) for row in rows)
    header = [name.lower() for name in next(texts, [])]
    if not header:
        raise UnreadableFile("The file is empty; it needs a header and rows.")
    dataset = tablib.Dataset()
    for number, cells in enumerate(texts, 2):
        _is_in_order(number, cells, len(header))
        dataset.append(cells + [""] * (len(header) - len(cells)))
    dataset.headers = header
    while dataset and not any(dataset[-1]):
        del dataset[-1]
    return dataset


def _cells(row: Sequence[Any]) -> list[str]:
    cells = [text_of(cell) for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _is_in_order(number: int, cells: Sequence[str], columns: int) -> None:
    if number > MOST_ROWS + 1:
        raise UnreadableFile(
            f"The file has more than {MOST_ROWS:,} rows; split it, or give it to the API."
        )
    if any("\0" in cell for cell in cells):
        raise UnreadableFile(f"Row {number} has null bytes: this is no text.")
    if len(cells) > columns:
        raise UnreadableFile(f"Row {number} has more values than the header has columns.")


def text_of(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _harmless(dataset: tablib.Dataset) -> tablib.Dataset:
    safe = tablib.Dataset(headers=dataset.headers)
    safe.extend([_without_formula(cell) for cell in row] for row in dataset)
    return safe


def _without_formula(cell: Any) -> Any:
    """A text that a spreadsheet would compute begins with an apostrophe."""
    if not isinstance(cell, str) or not cell.startswith(_FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
