"""Files in the admin: seen before they are taken, taken whole or not at all, by the services; and
lists taken away."""

import io
import os
import re
import zipfile

import openpyxl  # type: ignore[import-untyped]
import pytest
import tablib
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile

from inventory import file_formats, file_pages, staffing
from inventory.events import ProductChanged, StockAdjusted
from inventory.models import Product, StockImport, StockLevel, StockMovement
from inventory.selectors import books_off

from .conftest import consume, levels, placed, product, receive, stocked, told, warehouse

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
BASE = "/admin/inventory/"
CSV, XLSX = "0", "1"


def sheet(*rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def upload(client, page, content, form=CSV, name="file.csv"):
    """Give a file to a page's import; gives the answer, which shows what it would do."""
    data = content.encode() if isinstance(content, str) else content
    file = SimpleUploadedFile(name, data)
    return client.post(f"{BASE}{page}/import/", {"import_file": file, "format": form})


def confirm(client, page, answer, **changed):
    """The second step, with what the first one's page would send."""
    fields = {**answer.context["confirm_form"].initial, **changed}
    return client.post(f"{BASE}{page}/process_import/", fields, follow=True)


def refusals(answer):
    """Every sentence that says what is wrong, of the form, the file and its rows."""
    found = [text for texts in answer.context["form"].errors.values() for text in texts]
    if result := answer.context.get("result"):
        found += [str(error.error) for error in result.base_errors]
        found += [f"{row}: {e.error}" for row, errors in result.row_errors() for e in errors]
        assert "confirm_form" not in answer.context
    assert "Traceback" not in answer.content.decode()
    return found


def shown(answer):
    """The preview's rows: [kind, each cell as text]."""
    rows = answer.context["result"].valid_rows()
    return [[row.import_type, *(re.sub(r"<[^>]+>", "", cell) for cell in row.diff)] for row in rows]


def said(answer):
    return [str(message) for message in answer.context["messages"]]


@pytest.fixture
def clerk(client):
    """Works in York."""
    warehouse("york")
    staffing.employ(
        username="ada", role="warehouse staff", warehouses=["york"], password="a long enough one"
    )
    client.force_login(User.objects.get(username="ada"))
    return client


# --- stock levels -------------------------------------------------------------------------

LEVELS = "warehouse,sku,on_hand,safety_stock\nyork,A,7,\nyork,B,3,1\nleeds,A,2,0\n"


@pytest.fixture
def stock():
    stocked(A={"york": 5, "leeds": 2}, B={})


@pytest.mark.parametrize("form", [CSV, XLSX])
def test_levels_are_previewed_and_then_imported_once(admin_client, stock, form):
    content = LEVELS
    if form == XLSX:
        content = sheet(
            ["Warehouse", "SKU", "on_hand", "safety_stock"],
            ["york", "A", 7.0, None],
            *(["york", "B", 3, "1"], ["leeds", "A", 2, 0]),
        )
    answer = upload(admin_client, "stocklevel", content, form)
    assert shown(answer) == [
        ["update", "york", "A", "5 → 7", "0", "0"],
        ["new", "york", "B", "3", "1", "0"],
        ["skip", "leeds", "A", "2", "0", "0"],
    ]
    assert levels("A") == {"york": (5, 0), "leeds": (2, 0)}
    assert not told(StockAdjusted)
    assert not StockImport.objects.exists()

    done = confirm(admin_client, "stocklevel", answer)
    assert said(done) == ["2 rows imported; 1 were so already."]
    assert levels("A") == {"york": (7, 0), "leeds": (2, 0)}
    assert StockLevel.objects.get(product__sku="B").safety_stock == 1
    moved = StockMovement.objects.filter(reason="import").order_by("pk")
    assert [(row.delta, row.actor) for row in moved] == [(2, "admin"), (3, "admin")]
    assert moved[0].reference.startswith("file.csv, admin, ")
    assert sorted((e.sku, e.delta) for e in told(StockAdjusted)) == [("A", 2), ("B", 3)]
    assert list(books_off()) == []

    again = confirm(admin_client, "stocklevel", answer)
    assert said(again) == ["This file was imported already, or is lost: upload it again."]
    assert levels("A")["york"] == (7, 0)


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        ("york,A,7\nyork,B,8\n", "The header lacks warehouse, sku, on_hand."),
        ("warehouse,sku\nyork,A\n", "The header lacks on_hand."),
        ("warehouse,sku,on_hand,sku\nyork,A,7,B\n", "The header has sku twice."),
        ("warehouse,sku,on_hand,price\nyork,A,7,2\n", "The header has 'price', which is no column"),
        ("warehouse,sku,on_hand\nyork,A,7,8\n", "Row 2 has more values than the header"),
        ("", "The submitted file is empty."),
        ("\n", "The file is empty; it needs a header and rows."),
        ("warehouse,sku,on_hand\n", "No valid data to import."),
        (LEVELS.encode("utf-16"), "The file is not UTF-8"),
        ("warehouse,sku,on_hand\nyork,Å,7\n".encode("latin-1"), "The file is not UTF-8"),
        ('warehouse,sku,on_hand\nyork,"A,7\n', "quotes or lines are broken"),
        ("warehouse,sku,on_hand\nyork,A\0,7\n", "Row 2 has null bytes"),
        ("warehouse,sku,on_hand\nyork,A,7.5\n", "2: on_hand must be a whole number"),
        ("warehouse,sku,on_hand\nyork,A,-1\n", "2: on_hand must be a whole number"),
        ("warehouse,sku,on_hand\nyork,A,1000000001\n", "2: on_hand must be a whole number"),
        ("warehouse,sku,on_hand\n\nyork,A,x\n", "3: on_hand must be a whole number"),
        ("warehouse,sku,on_hand\nyork,NO,1\n", "2: There is no product 'NO'."),
        ("warehouse,sku,on_hand\nrome,A,1\n", "2: There is no warehouse 'rome'."),
        ("warehouse,sku,on_hand\nyork,A,1\nyork,A,2\n", "3: This warehouse and SKU stand in an"),
        ("warehouse,sku,on_hand\nyork,A,9\nleeds,A,1\n", "3: 2 are reserved, more than 1."),
    ],
)
def test_a_wrong_file_of_levels_says_why_and_changes_nothing(admin_client, stock, content, refusal):
    consume(placed(1, A=5), placed(2, A=2))
    found = refusals(upload(admin_client, "stocklevel", content))
    assert any(refusal in text for text in found), found
    assert levels("A") == {"york": (5, 5), "leeds": (2, 2)}
    assert not StockImport.objects.exists()


def test_semicolons_and_the_figures_of_an_export_are_taken(admin_client, stock):
    content = "warehouse;sku;on_hand;reserved;available\nyork;A;6;0;5\n"
    answer = upload(admin_client, "stocklevel", "\ufeff" + content)
    confirm(admin_client, "stocklevel", answer)
    assert levels("A")["york"] == (6, 0)


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (b"PK not a sheet", "This is no XLSX file"),
        (LEVELS.encode(), "This is no XLSX file"),
        (sheet(), "The file is empty"),
    ],
)
def test_a_broken_sheet_is_refused(admin_client, content, refusal):
    assert any(refusal in text for text in refusals(upload(admin_client, "product", content, XLSX)))


def test_a_sheet_that_unpacks_to_too_much_is_refused(admin_client):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("xl/sharedStrings.xml", b" " * (file_formats.LONGEST_UNPACKED + 1))
    [text] = refusals(upload(admin_client, "product", content.getvalue(), XLSX))
    assert text == "The sheet is too large; give the API a CSV file."


@pytest.mark.parametrize("form", [CSV, XLSX])
def test_a_file_may_have_only_so_many_rows(admin_client, stock, form):
    rows = [["warehouse", "sku", "on_hand"]]
    rows += [["york", f"S{n}", "1"] for n in range(file_formats.MOST_ROWS + 1)]
    content = sheet(*rows)
    if form == CSV:
        content = "\n".join(",".join(row) for row in rows)
    [text] = refusals(upload(admin_client, "stocklevel", content, form))
    assert text == "The file has more than 5,000 rows; split it, or give it to the API."


def test_a_file_may_have_only_so_many_bytes(admin_client, stock):
    content = "warehouse,sku,on_hand\n" + " " * file_formats.LONGEST
    [text] = refusals(upload(admin_client, "stocklevel", content))
    assert text.startswith("The file has more than 5,000,000 bytes")


def test_what_changed_since_the_preview_is_told_and_nothing_is_done(admin_client, stock):
    answer = upload(admin_client, "stocklevel", "warehouse,sku,on_hand\nyork,A,1\nleeds,A,9\n")
    consume(placed(1, A=5))
    done = confirm(admin_client, "stocklevel", answer)
    assert said(done) == [
        "Row 2: 5 are reserved, more than 1.",
        "Nothing was imported: something has changed meanwhile.",
    ]
    assert levels("A") == {"york": (5, 5), "leeds": (2, 0)}


def test_staff_import_for_their_own_warehouses_only(clerk):
    stocked(A={"york": 5, "leeds": 2})
    answer = upload(clerk, "stocklevel", "warehouse,sku,on_hand\nyork,A,1\nleeds,A,9\n")
    assert refusals(answer) == ["3: Warehouse 'leeds' is not one of yours."]
    confirm(clerk, "stocklevel", upload(clerk, "stocklevel", "warehouse,sku,on_hand\nyork,A,1\n"))
    assert levels("A") == {"york": (1, 0), "leeds": (2, 0)}
    assert StockMovement.objects.get(reason="import").actor == "ada"


def test_staff_import_no_limits_but_give_back_what_they_took_away(clerk):
    stocked(A={"york": 5})
    content = "warehouse,sku,on_hand,safety_stock,reorder_point\nyork,A,{},{},0\n"
    answer = upload(clerk, "stocklevel", content.format(9, 3))
    [refusal] = refusals(answer)
    assert refusal.startswith("2: Safety stock and reorder point are not yours to set")
    confirm(clerk, "stocklevel", upload(clerk, "stocklevel", content.format(9, 0)))
    assert levels("A") == {"york": (9, 0)}


@pytest.mark.parametrize(
    ("role", "page"),
    [("warehouse staff", "product"), ("auditors", "product"), ("auditors", "stocklevel")],
)
def test_who_may_not_imports_nothing(client, role, page):
    stocked(A={"york": 5})
    staffing.employ(username="eve", role=role, warehouses=["york"], password="a long enough one")
    client.force_login(User.objects.get(username="eve"))
    assert upload(client, page, "sku,name\nA,other\n").status_code == 403
    assert client.post(f"{BASE}{page}/process_import/", {}).status_code == 403
    assert f"{page}/import/" not in client.get(f"{BASE}{page}/").content.decode()


@pytest.mark.parametrize("name", ["../../etc/passwd", "passwd", "0" * 32, ""])
def test_a_kept_file_is_no_other_file(admin_client, stock, tmp_path, name):
    answer = upload(admin_client, "stocklevel", LEVELS)
    done = confirm(admin_client, "stocklevel", answer, import_file_name=name)
    assert done.status_code == 200
    assert levels("A")["york"] == (5, 0)


def test_kept_files_are_thrown_away_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept, forgotten = file_pages.KeptFile(), file_pages.KeptFile()
    forgotten.save(b"old")
    [path] = (tmp_path / "supplychain-imports").iterdir()
    os.utime(path, (0, 0))
    kept.save(b"new")
    file_pages.KeptFile().save(b"newer")
    assert file_pages.KeptFile(name=kept.name).read() == "new"
    with pytest.raises(file_formats.UnreadableFile, match="or is lost"):
        forgotten.read()
    for name in ("../" + kept.name, kept.name + "/", str(path)):
        with pytest.raises(file_formats.UnreadableFile, match="no such file"):
            file_pages.KeptFile(name=name)


# --- products -----------------------------------------------------------------------------


def test_products_are_made_and_changed_by_a_file(admin_client):
    product("A")
    content = (
        "sku,name,weight_kg,volume_m3,storage_class,active\n"
        "A,other,2.5,0.01,ambient,no\nB,new,1,0.5,frozen,\n"
    )
    answer = upload(admin_client, "product", content)
    assert shown(answer) == [
        ["update", "A", "thing A → other", "2.5", "0.01", "ambient", "yes → no"],
        ["new", "B", "new", "1", "0.5", "frozen", "yes"],
    ]
    assert Product.objects.count() == 1
    confirm(admin_client, "product", answer)
    rows = Product.objects.order_by("sku").values_list("sku", "name", "storage_class", "active")
    assert list(rows) == [("A", "other", "ambient", False), ("B", "new", "frozen", True)]
    assert [(e.sku, e.active) for e in told(ProductChanged)[1:]] == [("B", True), ("A", False)]


def test_a_column_that_is_left_out_leaves_what_is_known(admin_client):
    product("A")
    confirm(admin_client, "product", upload(admin_client, "product", "sku,name\nA,other\n"))
    row = Product.objects.get()
    assert (row.name, float(row.weight_kg)) == ("other", 2.5)


@pytest.mark.parametrize(
    ("row", "refusal"),
    [
        ("B,,1,1,ambient,yes", "2: name: This field cannot be blank."),
        ("B,thing,,1,ambient,yes", "2: weight_kg: This field cannot be null."),
        ("B,thing,heavy,1,ambient,yes", "2: weight_kg: 'heavy' is no number; write it like 2.5."),
        ("B,thing,NaN,1,ambient,yes", "2: weight_kg: 'NaN' is no number"),
        ("B,thing,1_0,1,ambient,yes", "2: weight_kg: '1_0' is no number"),
        ("B,thing,-1,1,ambient,yes", "2: weight_kg: Ensure this value is greater than"),
        ("B,thing,1.23456,1,ambient,yes", "2: weight_kg: Ensure that there are no more than 3"),
        ("B,thing,1,1,lukewarm,yes", "2: storage_class: Value 'lukewarm' is not a valid choice."),
        ("B,thing,1,1,ambient,perhaps", "2: active: 'perhaps' is neither yes nor no."),
        (",thing,1,1,ambient,yes", "2: sku: This field cannot be blank."),
        ("B,thing,1,1,ambient,yes\nB,thing,1,1,ambient,yes", "3: This SKU stands in an earlier"),
        (f"{'B' * 65},thing,1,1,ambient,yes", "2: sku: Ensure this value has at most 64"),
    ],
)
def test_a_wrong_product_says_why_and_nothing_changes(admin_client, row, refusal):
    product("A")
    head = "sku,name,weight_kg,volume_m3,storage_class,active\n"
    told = refusals(upload(admin_client, "product", f"{head}{row}\nA,other,1,1,ambient,no\n"))
    assert len(told) == 1
    assert refusal in told[0]
    assert Product.objects.get().name == "thing A"


# --- lists as files -----------------------------------------------------------------------


def export(client, page, query="", form=CSV):
    answer = client.post(f"{BASE}{page}/export/{query}", {"format": form, "resource": "0"})
    if form == XLSX:
        cells = openpyxl.load_workbook(io.BytesIO(answer.content)).active
        return [list(row) for row in cells.iter_rows(values_only=True)]
    return [list(row) for row in tablib.import_set(answer.content.decode(), "csv", headers=False)]


def test_lists_are_taken_away(admin_client):
    stocked(A={"york": 5}, B={"york": 1})
    consume(placed(1, A=7))
    assert export(admin_client, "stocklevel", "?q=A")[1][:6] == ["york", "A", "5", "0", "0", "5"]
    assert [row[2:6] for row in export(admin_client, "stockmovement", form=XLSX)] == [
        ["warehouse", "sku", "bucket", "delta"],
        *(["york", "B", "on_hand", 1], ["york", "A", "on_hand", 5]),
    ]
    assert export(admin_client, "reservation")[1][3:8] == ["york", "A", "5", "0", "held"]
    assert export(admin_client, "backorder")[1][2:] == ["web", "0", "A", "2"]
    assert export(admin_client, "product")[1][:3] == ["A", "thing A", "2.500"]


def test_an_exported_list_of_levels_can_be_given_back(admin_client, stock):
    [head, *rows] = export(admin_client, "stocklevel")
    rows[0][head.index("on_hand")] = "9"
    content = "\n".join(",".join(row) for row in [head, *rows])
    answer = upload(admin_client, "stocklevel", content)
    assert [row[0] for row in shown(answer)] == ["update", "skip"]


def test_staff_take_away_what_they_may_see(clerk):
    stocked(A={"york": 5, "leeds": 2})
    for page in ("stocklevel", "stockmovement"):
        found = {cell for row in export(clerk, page) for cell in row}
        assert "york" in found
        assert "leeds" not in found


def test_a_list_that_is_too_long_is_not_taken_away(admin_client, monkeypatch):
    monkeypatch.setattr(file_pages, "MOST_EXPORTED", 1)
    stocked(A={"york": 5, "leeds": 2})
    answer = admin_client.get(f"{BASE}stocklevel/export/?q=A", follow=True)
    assert said(answer) == ["The list has more than 1 rows: filter it, then export."]
    assert answer.request["QUERY_STRING"] == "q=A"


def test_an_export_starts_no_formula(admin_client):
    product("=1+1")
    warehouse("york")
    receive("york", reference="@SUM(A1)", **{"=1+1": 2})
    for form in (CSV, XLSX):
        [_, row] = export(admin_client, "stockmovement", form=form)
        assert row[3] == "'=1+1"
        assert "'@SUM(A1)" in row
