"""Files of stock levels: what is sound goes into the books once, what is not says why."""

import io
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from inventory import importing, stock_files
from inventory.checking import InvalidStockChange
from inventory.events import StockAdjusted, StockLimitsChanged, StockLow
from inventory.models import (
    Product,
    StockImport,
    StockImportError,
    StockLevel,
    StockMovement,
    Warehouse,
)
from inventory.selectors import books_off
from inventory.stock_files import StockFileRefused
from supplychain.events.models import OutboxEvent

from .conftest import (
    at_once,
    consume,
    follow,
    levels,
    placed,
    product,
    publish,
    statements,
    stocked,
    told,
    waiting,
    warehouse,
)

pytestmark = pytest.mark.django_db
HEADER = "warehouse,sku,on_hand\n"
FULL = "warehouse,sku,on_hand,safety_stock,reorder_point\n"


class Source:
    """Gives a file in small pieces and counts what was asked of it."""

    def __init__(self, content, piece=7):
        self._content, self._piece = io.BytesIO(content), piece
        self.given = 0

    def read(self, size):
        piece = self._content.read(min(size, self._piece))
        self.given += len(piece)
        return piece


def take(content, reference="file 1", piece=7, **options):
    raw = content if isinstance(content, bytes) else content.encode()
    source = Source(raw, piece)
    return importing.import_levels(source=source, reference=reference, actor="ada", **options)


def faults(reference="file 1"):
    rows = StockImportError.objects.filter(of__reference=reference)
    return [(row.row, row.reason) for row in rows]


# --- what a file does ---------------------------------------------------------------------


def test_levels_become_what_the_file_says():
    stocked(A={"york": 10, "leeds": 1}, B={"york": 4}, C={})
    done = take(FULL + "york,A,8,2,5\nleeds,A,3,,\nyork,B,4,,\nyork,C,0,,\n")
    assert (done.state, done.rows_done, done.rows_changed, done.rows_wrong) == ("done", 4, 2, 0)
    assert levels("A") == {"york": (8, 0), "leeds": (3, 0)}
    level = StockLevel.objects.get(product__sku="A", warehouse__code="york")
    assert (level.safety_stock, level.reorder_point) == (2, 5)
    lines = StockMovement.objects.filter(reason="import").order_by("delta")
    assert [(m.delta, m.reference, m.actor) for m in lines] == [
        (-2, "file 1", "ada"),
        (2, "file 1", "ada"),
    ]
    assert {(e.warehouse, e.sku, e.delta) for e in told(StockAdjusted)} == {
        ("york", "A", -2),
        ("leeds", "A", 2),
    }
    assert len(told(StockLimitsChanged)) == 1
    assert list(books_off()) == []


def test_what_comes_by_file_goes_to_those_who_wait():
    stocked(A={"york": 1})
    consume(placed(1, A=3))
    publish()
    take(HEADER + "york,A,5\n")
    follow()
    assert waiting() == []


def test_what_falls_below_its_reorder_point_by_file_is_told():
    stocked(A={"york": 9})
    take(FULL + "york,A,4,,5\n")
    assert [e.available for e in told(StockLow)] == [4]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + b'"sku","WAREHOUSE","on_hand"\r\n"A","york","7"\r\n',
        b"on_hand , sku , warehouse\n\n 7 , A , york \n\n",
        b"warehouse,sku,on_hand\nyork,A,7",
    ],
)
def test_the_dialect(content):
    stocked(A={"york": 1})
    done = take(content)
    assert levels("A") == {"york": (7, 0)}
    assert done.rows_wrong == 0


def test_a_quoted_sku_may_have_commas_and_quotes():
    product('A, 5"', "B")
    warehouse()
    take(HEADER + 'york,"A, 5""",3\n')
    assert levels('A, 5"') == {"york": (3, 0)}


# --- rows that are wrong ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("mars,A,1,,", "There is no warehouse 'mars'"),
        ("leeds,A,1,,", "Warehouse 'leeds' is inactive"),
        ("london,A,1,,", "Warehouse 'london' is not one of yours"),
        ("york,NOPE,1,,", "There is no product 'NOPE'"),
        ("york,B,1,,", "Product 'B' is inactive"),
        ("york,A,-1,,", "on_hand must be a whole number from 0 to 1,000,000,000, not '-1'"),
        ("york,A,1.5,,", "not '1.5'"),
        ("york,A,1e3,,", "not '1e3'"),
        ("york,A,١,,", "on_hand must be"),
        ("york,A,,,", "on_hand must be"),
        ("york,A,1000000001,,", "on_hand must be"),
        (f"york,A,{'9' * 5000},,", "on_hand must be"),
        ("york,A,1,-1,", "safety_stock must be"),
        ("york,A,1,,x", "reorder_point must be"),
        ("york,A,5,,", "6 are reserved, more than 5"),
        ("york,A,1", "3 values where the header has 5"),
        ("york,A,1,,,", "6 values where the header has 5"),
    ],
)
def test_a_wrong_row_is_passed_over_and_kept_with_its_line(row, reason):
    stocked(A={"york": 10}, B={"york": 1}, C={"york": 1})
    Product.objects.filter(sku="B").update(active=False)
    warehouse("leeds", active=False)
    warehouse("london")
    consume(placed(1, A=6))
    before = StockMovement.objects.count()
    done = take(f"{FULL}york,C,5,,\n{row}\n", warehouses={"york", "leeds"})
    assert (done.rows_done, done.rows_changed, done.rows_wrong) == (2, 1, 1)
    [(number, why)] = faults()
    assert number == 3
    assert reason in why
    assert levels("A")["york"] == (10, 6)
    assert StockMovement.objects.count() == before + 1


def test_of_two_rows_for_a_level_the_first_counts_even_chunks_apart(monkeypatch):
    monkeypatch.setattr(importing, "CHUNK", 2)
    stocked(A={"york": 1}, B={"york": 1}, C={"york": 1})
    take(HEADER + "york,A,5\nyork,B,5\nyork,C,5\nyork,A,6\n\nyork,B,7\n")
    assert [levels(sku)["york"][0] for sku in "ABC"] == [5, 5, 5]
    why = "This warehouse and SKU stand in an earlier row."
    assert faults() == [(5, why), (7, why)]


# --- files that are refused ---------------------------------------------------------------

GOOD = "york,A,7\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "The file is empty"),
        ("\n\n", "The header lacks warehouse, sku, on_hand"),
        ("warehouse;sku;on_hand\nyork;A;7\n", "The header lacks warehouse, sku, on_hand"),
        ("warehouse,sku\nyork,A\n", "The header lacks on_hand"),
        ("warehouse,sku,on_hand,SKU\n", "The header has sku twice"),
        ("warehouse,sku,on_hand,reserved\n", "The header has 'reserved', which is no column"),
        ((HEADER + GOOD).encode("utf-16"), "is not UTF-8"),
        ((HEADER + GOOD).encode("utf-16-be"), "null bytes"),
        (HEADER.encode() + GOOD.encode() + "york,Tée,1\n".encode("latin-1"), "Line 3 is not UTF-8"),
        (HEADER + GOOD + 'york,"A,7\n', "Line 3: its quotes are broken"),
        (HEADER + GOOD + 'york,"A"B,7\n', "Line 3: its quotes are broken"),
        (HEADER + GOOD + 'york,"A\n",7\n', "Line 3: its quotes are broken"),
        (HEADER.replace("\n", "\r") + GOOD, "stray carriage return"),
        (HEADER + GOOD + "york,A,\0\n", "Line 3 has null bytes"),
        (HEADER + GOOD + "x" * 10_001, "Line 3 is longer than 10,000 bytes"),
        ("x" * 10_001 + "\n" + HEADER + GOOD, "Line 1 is longer than 10,000 bytes"),
        (b"\x89PNG\r\n\x1a\n", "is not UTF-8"),
    ],
)
def test_what_is_no_such_file_is_refused_and_changes_nothing(content, reason):
    stocked(A={"york": 10})
    before = OutboxEvent.objects.count()
    with pytest.raises(StockFileRefused) as refusal:
        take(content)
    assert reason in str(refusal.value)
    assert levels("A") == {"york": (10, 0)}
    assert OutboxEvent.objects.count() == before
    row = StockImport.objects.get()
    assert (row.state, row.rows_done) == ("refused", 0)
    assert row.refusal == str(refusal.value)[:300]


def test_an_endless_line_is_not_read_to_its_end():
    source = Source(b"x" * 1_000_000, piece=1000)
    with pytest.raises(StockFileRefused, match="longer than 10,000 bytes"):
        importing.import_levels(source=source, reference="file 1", actor="ada")
    assert source.given <= 11_000


def test_a_file_that_is_too_long_is_not_read_to_its_end(monkeypatch):
    warehouse()
    source = Source(HEADER.encode() + b"york,A,7\n" * 1000, piece=100)
    with pytest.raises(StockFileRefused, match="longer than 500 bytes"):
        importing.import_levels(source=source, reference="file 1", actor="ada", longest=500)
    assert source.given <= 600
    monkeypatch.setattr(stock_files, "MOST_ROWS", 10)
    with pytest.raises(StockFileRefused, match="more than 10 rows"):
        take(HEADER + "york,A,7\n" * 11)


def test_a_mended_file_may_follow_a_refused_one():
    stocked(A={"york": 10})
    with pytest.raises(StockFileRefused):
        take("nonsense")
    assert take(HEADER + GOOD).state == "done"
    row = StockImport.objects.get()
    assert (row.refusal, row.state) == ("", "done")
    assert levels("A") == {"york": (7, 0)}


def test_a_reference_is_needed_and_short():
    for reference in ("", " ", "x" * 101):
        with pytest.raises(InvalidStockChange, match="at most 100 characters"):
            take(HEADER + GOOD, reference=reference)


# --- again, and at the same time ----------------------------------------------------------


class CutOff(Exception):
    """The process ends here."""


def test_a_file_that_was_cut_off_goes_on_where_it_stopped(monkeypatch):
    monkeypatch.setattr(importing, "CHUNK", 2)
    names = [f"A{n}" for n in range(7)]
    stocked(**{sku: {"york": 1} for sku in names})
    content = HEADER + "".join(f"york,{sku},5\n" for sku in names[:3]) + "york,NOPE,1\n"
    content += "".join(f"york,{sku},5\n" for sku in names[3:])

    def cut(done, rows):
        if done.rows_done >= 4:
            raise CutOff

    with pytest.raises(CutOff):
        take(content, on_the_way=cut)
    assert StockMovement.objects.filter(reason="import").count() == 3
    # Meanwhile somebody has changed what was done: that is not undone.
    StockLevel.objects.filter(product__sku="A0").update(on_hand=9)
    with pytest.raises(importing.AnotherFile, match="another file"):
        take(content + "york,A0,1\n")
    done = take(content)
    assert (done.state, done.rows_done, done.rows_changed, done.rows_wrong) == ("done", 8, 7, 1)
    assert levels("A0") == {"york": (9, 0)}
    assert levels("A6") == {"york": (5, 0)}
    assert faults() == [(5, "There is no product 'NOPE'.")]
    assert len(told(StockAdjusted)) == 7


def test_a_file_that_is_done_is_done():
    stocked(A={"york": 10})
    take(HEADER + GOOD)
    StockLevel.objects.update(on_hand=9)
    assert take(HEADER + GOOD).rows_changed == 1
    assert levels("A") == {"york": (9, 0)}
    with pytest.raises(importing.AnotherFile):
        take(HEADER + "york,A,8\n")
    with pytest.raises(StockFileRefused):
        take("nonsense")
    assert StockImport.objects.get().state == "done"


@pytest.mark.django_db(transaction=True)
def test_the_same_file_twice_at_once_is_imported_once(monkeypatch, deadlocks):
    monkeypatch.setattr(importing, "CHUNK", 5)
    names = [f"A{n}" for n in range(60)]
    stocked(**{sku: {"york": 1, "leeds": 1} for sku in names})
    content = HEADER + "mars,A0,1\n" * 3
    content += "".join(f"{c},{sku},5\n" for sku in names for c in ("york", "leeds"))
    refused = []

    def send():
        try:
            take(content, piece=10_000)
        except InvalidStockChange as busy:
            refused.append(str(busy))

    at_once(*[send for _ in range(4)])
    assert all("Somebody else is importing 'file 1'" in reason for reason in refused)
    done = StockImport.objects.get()
    assert (done.state, done.rows_done, done.rows_changed) == ("done", 123, 120)
    assert StockMovement.objects.filter(reason="import").count() == 120
    assert len(told(StockAdjusted)) == 120
    assert list(books_off()) == []
    assert deadlocks() == 0


@pytest.mark.django_db(transaction=True)
def test_a_file_among_orders_keeps_the_books(monkeypatch, deadlocks):
    monkeypatch.setattr(importing, "CHUNK", 5)
    names = [f"A{n}" for n in range(20)]
    stocked(**{sku: {"york": 20, "leeds": 20} for sku in names})
    content = HEADER + "".join(f"{c},{sku},15\n" for sku in names[::-1] for c in ("york", "leeds"))
    at_once(
        lambda: take(content, piece=10_000),
        *[lambda n=n: consume(placed(n, **dict.fromkeys(names, 1))) for n in range(8)],
    )
    assert StockImport.objects.get().rows_changed == 40
    assert list(books_off()) == []
    assert deadlocks() == 0


def test_many_rows_of_a_chunk_take_as_many_statements_as_one():
    names = [f"A{n}" for n in range(60)]
    stocked(**{sku: {"york": 1} for sku in names})

    def of(reference, some):
        content = HEADER + "".join(f"york,{sku},{len(some)}\n" for sku in some)
        return statements(lambda: take(content, reference, piece=10_000))

    assert of("one", names[:2]) == of("many", names)


# --- the command --------------------------------------------------------------------------


def test_the_command_imports_and_reports(tmp_path):
    stocked(A={"york": 10})
    file = tmp_path / "levels.csv"
    file.write_text(HEADER + GOOD)
    out = StringIO()
    call_command("import_stock", str(file), "--actor", "ada", stdout=out)
    assert "levels.csv: 1 rows, 1 levels changed, 0 rows not taken." in out.getvalue()
    file.write_text(HEADER + "york,A,5\nmars,A,1\n")
    with pytest.raises(CommandError, match="another file"):
        call_command("import_stock", str(file), stdout=out)
    with pytest.raises(CommandError, match="Mend the rows"):
        call_command("import_stock", str(file), "--reference", "second", stdout=out)
    assert "row 3: There is no warehouse 'mars'." in out.getvalue()
    with pytest.raises(CommandError, match=r"nowhere.csv can't be read"):
        call_command("import_stock", str(tmp_path / "nowhere.csv"))
    with pytest.raises(CommandError, match="is longer than"):
        file.write_text("x" * 20_000)
        call_command("import_stock", str(file), "--reference", "third")
    assert Warehouse.objects.count() == 1
