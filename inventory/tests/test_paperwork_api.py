"""The API of receipts, transfers, counts, single levels and files: a day's work, and refusals."""

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from rest_framework.authtoken.models import Token

from inventory import importing
from inventory.models import (
    CycleCount,
    Product,
    Receipt,
    StockImport,
    StockLevel,
    StockMovement,
    Transfer,
    Warehouse,
    WarehouseStaff,
)
from supplychain.events.models import OutboxEvent

from .conftest import consume, levels, placed, product, stocked, warehouse

pytestmark = pytest.mark.django_db
API = "/api/v1"
NOWHERE = "0192f0c5-0000-7000-8000-000000000000"


@pytest.fixture
def staff(client):
    user = User.objects.create_superuser("ada")
    client.defaults["HTTP_AUTHORIZATION"] = f"Token {Token.objects.create(user=user).key}"
    client.raise_request_exception = False
    return client


def send(client, method, address, body=None):
    call = getattr(client, method)
    return call(API + address, json.dumps(body or {}), content_type="application/json")


def post(client, address, body=None, status=200):
    response = send(client, "post", address, body)
    assert response.status_code == status, response.content
    return response.json()


def errors(response):
    return {e["field"]: e["reason"] for e in response.json()["errors"]}


# --- a day's work -------------------------------------------------------------------------

EXPECTED: dict[str, Any] = {
    "warehouse": "york",
    "reference": "PO 1",
    "supplier": "Acme",
    "expected_on": "2026-05-20",
    "lines": [{"sku": "A", "quantity": 5}],
}


def test_a_receipt_is_announced_changed_received_and_closed(staff):
    product("A", "B")
    warehouse()
    row = post(staff, "/receipts/expected/", EXPECTED, 201)
    assert post(staff, "/receipts/expected/", EXPECTED, 200)["id"] == row["id"]
    post(staff, "/receipts/expected/", {**EXPECTED, "supplier": "Other"}, 409)
    address = f"/receipts/expected/{row['id']}/"
    lines = [*EXPECTED["lines"], {"sku": "B", "quantity": 1}]
    changed = send(staff, "patch", address, {"lines": lines}).json()
    assert (changed["supplier"], len(changed["lines"])) == ("Acme", 2)
    delivery: dict[str, Any] = {"warehouse": "york", "reference": "note 1", "receipt": "PO 1"}
    delivery |= {"lines": EXPECTED["lines"]}
    assert post(staff, "/receipts/", delivery, 201) == {"lines_booked": 1}
    assert post(staff, "/receipts/", delivery, 200) == {"lines_booked": 0}
    shown = staff.get(API + address).json()
    assert shown["lines"] == [
        {"sku": "A", "quantity": 5, "received": 5},
        {"sku": "B", "quantity": 1, "received": 0},
    ]
    post(staff, f"{address}cancel/", status=409)
    assert post(staff, f"{address}close/")["state"] == "received"
    listed = staff.get(f"{API}/receipts/expected/?warehouse=york&state=received").json()
    assert [r["reference"] for r in listed["results"]] == ["PO 1"]
    assert not staff.get(f"{API}/receipts/expected/?state=expected").json()["results"]
    assert Receipt.objects.get().created_by == "ada"


def test_a_receipt_is_cancelled(staff):
    product("A")
    warehouse()
    row = post(staff, "/receipts/expected/", EXPECTED, 201)
    address = f"/receipts/expected/{row['id']}/cancel/"
    assert post(staff, address)["state"] == "cancelled"
    post(staff, address, status=409)


def test_a_transfer_is_proposed_changed_shipped_and_received(staff):
    stocked(A={"leeds": 10, "york": 0})
    body = {"source": "leeds", "target": "york", "lines": [{"sku": "A", "quantity": 99}]}
    row = post(staff, "/transfers/", body, 201)
    address = f"/transfers/{row['id']}/"
    refused = send(staff, "post", f"{address}ship/")
    assert (refused.status_code, "10 available" in errors(refused)[None]) == (409, True)
    changed = send(staff, "patch", address, {"lines": [{"sku": "A", "quantity": 6}]}).json()
    assert changed["lines"][0]["quantity"] == 6
    shipped = post(staff, f"{address}ship/", {"expected_on": "2026-05-20"})
    assert (shipped["state"], shipped["expected_on"]) == ("in_transit", "2026-05-20")
    stock = staff.get(f"{API}/stock/?warehouse=york").json()["results"][0]
    assert (stock["on_hand"], stock["in_transit"]) == (0, 6)
    arrived = {"lines": [{"sku": "A", "received": 5}], "reason": "one broken"}
    assert post(staff, f"{address}receive/", arrived)["state"] == "received"
    assert levels("A") == {"leeds": (4, 0), "york": (5, 0)}
    post(staff, f"{address}cancel/", {"reason": "late"}, 409)
    listed = staff.get(f"{API}/transfers/?source=leeds&target=york&state=received").json()
    assert [r["id"] for r in listed["results"]] == [row["id"]]
    assert staff.get(API + address).json()["lines"][0]["received"] == 5


def test_a_transfer_is_cancelled(staff):
    stocked(A={"leeds": 10, "york": 0})
    body = {"source": "leeds", "target": "york", "lines": [{"sku": "A", "quantity": 9}]}
    row = post(staff, "/transfers/", body, 201)
    post(staff, f"/transfers/{row['id']}/ship/")
    post(staff, f"/transfers/{row['id']}/cancel/", {"reason": "recalled"})
    assert levels("A") == {"leeds": (10, 0), "york": (0, 0)}


def test_stock_is_counted(staff):
    stocked(A={"york": 10}, B={"york": 4})
    row = post(staff, "/counts/", {"warehouse": "york", "due_on": "2026-05-20"}, 201)
    address = f"/counts/{row['id']}/"
    counted = {"lines": [{"sku": "A", "counted": 9}]}
    [line] = post(staff, f"{address}lines/", counted)["lines"]
    assert (line["expected"], line["counted"], line["counted_by"]) == (10, 9, "ada")
    again = send(staff, "post", f"{address}lines/", counted)
    assert again.status_code == 409
    assert "ada counted 9" in errors(again)[None]
    post(staff, f"{address}lines/", {"lines": [{"sku": "A", "counted": 8}], "recount": True})
    lines = staff.get(f"{API}{address}lines/").json()["results"]
    assert [(r["sku"], r["counted"]) for r in lines] == [("A", 8), ("B", None)]
    assert post(staff, f"{address}close/")["state"] == "closed"
    post(staff, f"{address}cancel/", status=409)
    assert staff.get(API + address).json()["state"] == "closed"
    assert len(staff.get(f"{API}/counts/?warehouse=york").json()["results"]) == 1
    assert levels("A") == {"york": (8, 0)}


def test_a_level_is_adjusted_set_aside_written_off_and_limited(staff):
    stocked(A={"york": 10})
    level = {"warehouse": "york", "sku": "A"}
    change = {**level, "delta": -1, "reason": "broken", "reference": "scan 1"}
    assert post(staff, "/stock/adjustments/", change)["on_hand"] == 9
    assert post(staff, "/stock/adjustments/", change)["on_hand"] == 9
    some = {**level, "quantity": 3, "reason": "wet"}
    assert post(staff, "/stock/quarantine/", some)["quarantined"] == 3
    assert post(staff, "/stock/restock/", {**some, "quantity": 1})["on_hand"] == 7
    assert post(staff, "/stock/scrap/", {**some, "quantity": 2})["quarantined"] == 0
    assert (
        post(staff, "/stock/scrap/", {**some, "quantity": 2, "bucket": "on_hand"})["on_hand"] == 5
    )
    limited = post(staff, "/stock/limits/", {**level, "safety_stock": 2})
    assert (limited["safety_stock"], limited["reorder_point"]) == (2, 0)
    post(staff, "/stock/quarantine/", {**level, "quantity": 6, "reason": "wet"}, 409)
    assert set(StockMovement.objects.exclude(reason="receipt").values_list("actor", flat=True)) == {
        "ada"
    }


# --- refusals -----------------------------------------------------------------------------

LINES = [{"sku": "A", "quantity": 1}]
TRANSFER = {"source": "leeds", "target": "york", "lines": LINES}
LEVEL = {"warehouse": "york", "sku": "A"}
ADJUST, SET_ASIDE = "/stock/adjustments/", "/stock/quarantine/"


def changed(body, **fields):
    return {**body, **fields}


@pytest.mark.parametrize(
    ("address", "body", "field", "reason"),
    [
        ("/receipts/expected/", changed(EXPECTED, warehouse="mars"), "warehouse", "'mars'"),
        ("/receipts/expected/", changed(EXPECTED, warehouse="london"), "warehouse", "no active"),
        ("/receipts/expected/", changed(EXPECTED, expected_on="soon"), "expected_on", "Date"),
        ("/receipts/expected/", changed(EXPECTED, reference=" "), "reference", "blank"),
        ("/receipts/expected/", changed(EXPECTED, reference="x" * 101), "reference", "100"),
        ("/receipts/expected/", changed(EXPECTED, lines=[]), "lines", "empty"),
        ("/receipts/expected/", changed(EXPECTED, lines=LINES * 2), "lines[1].sku", "Already in"),
        (
            "/receipts/expected/",
            changed(EXPECTED, lines=[{"sku": "OLD", "quantity": 1}]),
            "lines[0].sku",
            "'OLD' is inactive",
        ),
        (
            "/receipts/expected/",
            changed(EXPECTED, lines=[{"sku": "A", "quantity": 0}]),
            "lines[0].quantity",
            "equal to 1",
        ),
        (
            "/receipts/",
            {"warehouse": "york", "reference": "n", "receipt": "PO 9", "lines": LINES},
            "receipt",
            "No receipt 'PO 9' is announced there",
        ),
        ("/transfers/", changed(TRANSFER, source="york"), "target", "This is the source"),
        ("/transfers/", changed(TRANSFER, source="mars"), "source", "'mars'"),
        ("/transfers/", changed(TRANSFER, target="london"), "target", "no active warehouse"),
        (
            "/transfers/",
            changed(TRANSFER, lines=[{"sku": "NOPE", "quantity": 1}]),
            "lines[0].sku",
            "There is no product 'NOPE'",
        ),
        (
            "/transfers/",
            changed(TRANSFER, lines=[{"sku": "A", "quantity": 10**9 + 1}]),
            "lines[0].quantity",
            "less than or equal",
        ),
        ("/counts/", {"warehouse": "york"}, "due_on", "required"),
        ("/counts/", {"warehouse": "york", "due_on": "2026-05-20", "skus": []}, "skus", "empty"),
        ("/receipts/expected/", changed(EXPECTED, expected="2026-05-20"), "expected", "no such"),
        (
            "/transfers/",
            changed(TRANSFER, lines=[{"sku": "A", "quantity": 1, "units": 1}]),
            "lines[0].units",
            "no such field",
        ),
        (ADJUST, changed(LEVEL, delta=1, reason="x", actor="eve"), "actor", "no such field"),
        (ADJUST, changed(LEVEL, delta=0, reason="x"), "delta", "must change something"),
        (ADJUST, changed(LEVEL, delta=1.5, reason="x"), "delta", "whole JSON number"),
        (ADJUST, changed(LEVEL, delta=10**9 + 1, reason="x"), "delta", "less than or equal"),
        (ADJUST, changed(LEVEL, delta=1, reason=" "), "reason", "blank"),
        (ADJUST, changed(LEVEL, delta=1, reason="x", sku="NOPE"), "sku", "was never in york"),
        (SET_ASIDE, changed(LEVEL, quantity=-1, reason="x"), "quantity", "equal to 1"),
        (SET_ASIDE, changed(LEVEL, quantity=1), "reason", "required"),
        ("/stock/scrap/", changed(LEVEL, quantity=1, reason="x", bucket="moon"), "bucket", "moon"),
        ("/stock/limits/", changed(LEVEL, safety_stock=-1), "safety_stock", "equal to 0"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field_and_changes_nothing(
    staff, address, body, field, reason
):
    stocked(A={"york": 10, "leeds": 10}, OLD={})
    Product.objects.filter(sku="OLD").update(active=False)
    warehouse("london", active=False)
    before = OutboxEvent.objects.count()
    response = send(staff, "post", address, body)
    assert response.status_code == 400, response.content
    assert reason in errors(response)[field]
    assert OutboxEvent.objects.count() == before
    assert levels("A") == {"york": (10, 0), "leeds": (10, 0)}
    assert not (Receipt.objects.exists() or Transfer.objects.exists())
    assert not CycleCount.objects.exists()


@pytest.mark.parametrize(
    "address",
    [
        "/receipts/expected/{}/",
        "/transfers/{}/",
        "/counts/{}/",
        "/counts/{}/lines/",
        "/stock/imports/{}/",
        "/stock/imports/{}/errors/",
    ],
)
def test_what_does_not_exist_is_not_found(staff, address):
    assert staff.get(API + address.format(NOWHERE)).status_code == 404


STAFF_ONLY = [
    *("/receipts/expected/", "/transfers/", "/counts/", "/stock/adjustments/", "/stock/scrap/"),
    *("/stock/quarantine/", "/stock/restock/", "/stock/limits/"),
    *(f"/transfers/{NOWHERE}/{step}/" for step in ("ship", "receive", "cancel")),
    *(f"/receipts/expected/{NOWHERE}/{step}/" for step in ("close", "cancel")),
    *(f"/counts/{NOWHERE}/{step}/" for step in ("lines", "close", "cancel")),
]


@pytest.mark.parametrize("address", STAFF_ONLY)
def test_only_staff_may(client, staff, address):
    User.objects.update(is_staff=False, is_superuser=False)
    assert send(client, "post", address).status_code == 403
    del client.defaults["HTTP_AUTHORIZATION"]
    assert send(client, "post", address).status_code == 401


@pytest.mark.parametrize("address", ["/receipts/expected/", "/transfers/", "/counts/"])
@pytest.mark.parametrize("query", ["?state=lost", "?warehouse=%00&source=%00"])
def test_an_odd_question_is_refused(staff, address, query):
    assert staff.get(API + address + query).status_code == 400


# --- files --------------------------------------------------------------------------------

HEADER = "warehouse,sku,on_hand\n"


def put(client, content, reference="file 1", content_type="text/csv", **headers):
    raw = content.encode() if isinstance(content, str) else content
    return client.put(
        f"{API}/stock/imports/{reference}/", raw, content_type=content_type, **headers
    )


def test_a_file_is_put_and_its_errors_are_listed(staff):
    stocked(A={"york": 1})
    content = HEADER + "york,A,7\n" + "mars,A,1\n" * 1002
    answer = put(staff, content).json()
    assert (answer["state"], answer["rows_done"], answer["rows_changed"]) == ("done", 1003, 1)
    assert (answer["rows_wrong"], len(answer["wrong"])) == (1002, 1000)
    assert answer["wrong"][0] == {"row": 3, "reason": "There is no warehouse 'mars'."}
    assert levels("A") == {"york": (7, 0)}
    assert staff.get(f"{API}/stock/imports/file 1/").json() == answer
    address, rows = f"{API}/stock/imports/file 1/errors/?page_size=500", []
    while address:
        page = staff.get(address).json()
        rows += [row["row"] for row in page["results"]]
        address = page["next"]
    assert rows == list(range(3, 1005))
    assert put(staff, content).json() == answer
    assert put(staff, HEADER + "york,A,8\n").status_code == 409
    assert StockMovement.objects.get(reason="import").actor == "ada"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Content-Length"),
        (b"\xff\xfe" + HEADER.encode("utf-16-le"), "not UTF-8"),
        (HEADER + 'york,"A,1\n', "quotes are broken"),
        ("sku,sku\n", "The header has sku twice"),
        (HEADER + "x" * 3_000_000, "Line 2 is longer than 10,000 bytes"),
    ],
)
def test_a_file_that_is_none_is_refused(staff, content, reason):
    stocked(A={"york": 1})
    response = put(staff, content)
    assert response.status_code == 400
    assert reason in errors(response)["body"]
    assert levels("A") == {"york": (1, 0)}


def test_a_file_longer_than_other_bodies_is_taken_and_one_too_long_is_not_read(staff):
    stocked(A={"york": 1})
    assert put(staff, HEADER + "york,A,7\n" + "\n" * 3_000_000).status_code == 400
    assert StockImport.objects.get().refusal.startswith("The file has more than 1,000,000 rows")
    assert (
        put(staff, HEADER + "york,A,7\n" + (" " * 9_000 + "\n") * 400, "file 2").status_code == 200
    )
    response = put(staff, HEADER, "file 3", CONTENT_LENGTH=str(importing.LONGEST_FILE + 1))
    assert response.status_code == 413
    assert "200,000,000 bytes" in errors(response)["body"]


def test_only_csv_is_a_file(staff):
    assert put(staff, b"{}", content_type="application/json").status_code == 415


def test_only_staff_put_files(client, staff):
    User.objects.update(is_staff=False, is_superuser=False)
    assert put(client, HEADER).status_code == 403
    assert not StockImport.objects.exists()


def test_the_schema_has_no_warnings():
    out = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out, stderr=out)
    assert "/api/v1/availability/" in out.getvalue()


def test_what_orders_hold_is_not_taken(staff):
    stocked(A={"york": 10})
    consume(placed(1, A=8))
    body = {"warehouse": "york", "sku": "A", "delta": -3, "reason": "broken"}
    response = send(staff, "post", ADJUST, body)
    assert response.status_code == 409
    assert "8 of them reserved" in errors(response)[None]
    assert StockLevel.objects.get().on_hand == 10


# --- roles --------------------------------------------------------------------------------


@pytest.fixture
def as_role(client):
    """Sign in as somebody of this role who works in these warehouses."""

    def sign_in(role, *codes):
        user = User.objects.create_user(role.replace(" ", "-"), is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        for code in codes:
            WarehouseStaff.objects.create(user=user, warehouse=Warehouse.objects.get(code=code))
        client.defaults["HTTP_AUTHORIZATION"] = f"Token {Token.objects.create(user=user).key}"
        client.raise_request_exception = False
        return client

    return sign_in


def test_staff_see_and_change_their_own_warehouses_only(as_role):
    stocked(A={"york": 10, "leeds": 10})
    warehouse("london")
    ben = as_role("warehouse staff", "york")
    assert {r["warehouse"] for r in ben.get(f"{API}/stock/").json()["results"]} == {"york"}
    assert [r["code"] for r in ben.get(f"{API}/warehouses/").json()["results"]] == ["york"]
    change = {"sku": "A", "delta": 1, "reason": "found"}
    post(ben, "/stock/adjustments/", {**change, "warehouse": "york"})
    post(ben, "/stock/adjustments/", {**change, "warehouse": "leeds"}, 400)
    post(ben, "/receipts/expected/", {**EXPECTED, "warehouse": "leeds"}, 400)
    post(ben, "/receipts/", {"warehouse": "leeds", "reference": "n", "lines": LINES}, 400)
    post(ben, "/counts/", {"warehouse": "leeds", "due_on": "2026-05-20"}, 400)
    assert levels("A") == {"york": (11, 0), "leeds": (10, 0)}


def test_a_transfer_is_shipped_by_its_source_and_received_by_its_target(as_role, staff):
    stocked(A={"york": 10, "leeds": 10})
    warehouse("london")
    out = post(staff, "/transfers/", {**TRANSFER, "source": "york", "target": "leeds"}, 201)["id"]
    back = post(staff, "/transfers/", TRANSFER, 201)["id"]
    other = post(staff, "/transfers/", {**TRANSFER, "target": "london"}, 201)["id"]
    post(staff, f"/transfers/{back}/ship/")
    ben = as_role("warehouse staff", "york")
    seen = {row["id"] for row in ben.get(f"{API}/transfers/").json()["results"]}
    assert seen == {out, back}
    post(ben, f"/transfers/{other}/ship/", status=404)
    post(ben, f"/transfers/{back}/cancel/", {"reason": "x"}, 404)
    post(ben, f"/transfers/{back}/receive/")
    post(ben, f"/transfers/{out}/ship/")
    post(ben, f"/transfers/{out}/receive/", status=404)


def test_what_belongs_to_other_warehouses_is_not_found(as_role, staff):
    stocked(A={"york": 10, "leeds": 10})
    receipt = post(staff, "/receipts/expected/", EXPECTED, 201)["id"]
    count = post(staff, "/counts/", {"warehouse": "york", "due_on": "2026-05-20"}, 201)["id"]
    ben = as_role("warehouse staff", "leeds")
    assert not ben.get(f"{API}/counts/").json()["results"]
    assert ben.get(f"{API}/receipts/expected/{receipt}/").status_code == 404
    for step in ("close", "cancel"):
        post(ben, f"/receipts/expected/{receipt}/{step}/", status=404)
        post(ben, f"/counts/{count}/{step}/", status=404)
    post(ben, f"/counts/{count}/lines/", {"lines": [{"sku": "A", "counted": 1}]}, 404)
    assert levels("A")["york"] == (10, 0)


def test_limits_are_set_by_supervisors_by_hand_and_by_file(as_role):
    stocked(A={"york": 10, "leeds": 10})
    content = "warehouse,sku,on_hand,safety_stock\nyork,A,7,\nleeds,A,7,\n"
    limits = content.replace("7,\n", "8,3\n")
    ben = as_role("warehouse staff", "york")
    post(ben, "/stock/limits/", {**LEVEL, "safety_stock": 1}, 403)
    answer = put(ben, content).json()
    assert answer["wrong"] == [{"row": 3, "reason": "Warehouse 'leeds' is not one of yours."}]
    assert "not yours to set" in put(ben, limits, "file 2").json()["wrong"][0]["reason"]
    assert levels("A") == {"york": (7, 0), "leeds": (10, 0)}
    eve = as_role("supervisors")
    post(eve, "/stock/limits/", {**LEVEL, "safety_stock": 1})
    assert put(eve, limits, "file 3").json()["rows_changed"] == 2
    assert StockLevel.objects.filter(safety_stock=3).count() == 2


def test_auditors_look_and_change_nothing(as_role, staff):
    stocked(A={"york": 10})
    post(staff, "/counts/", {"warehouse": "york", "due_on": "2026-05-20"}, 201)
    auditor = as_role("auditors")
    for address in ("/stock/", "/counts/", "/receipts/expected/", "/transfers/", "/warehouses/"):
        assert auditor.get(API + address).status_code == 200
    assert len(auditor.get(f"{API}/counts/").json()["results"]) == 1
    for address in (*STAFF_ONLY, "/receipts/", "/returns/"):
        post(auditor, address, status=403)


def test_a_reservation_is_listed_and_released(staff, as_role):
    stocked(A={"york": 10}, B={"leeds": 10})
    consume(placed(1, A=8, B=1))
    [row] = staff.get(f"{API}/reservations/?sku=A&warehouse=york").json()["results"]
    assert (row["sku"], row["warehouse"], row["quantity"]) == ("A", "york", 8)
    address = f"/reservations/{row['id']}/release/"
    assert "required" in errors(send(staff, "post", address))["reason"]
    answer = post(staff, address, {"reason": "crushed", "set_aside": True}, 202)
    assert answer["state"] == "asked"
    post(staff, address, {"reason": "crushed"}, 409)
    ben = as_role("warehouse staff", "leeds")
    assert [r["sku"] for r in ben.get(f"{API}/reservations/").json()["results"]] == ["B"]
    post(ben, address, {"reason": "crushed"}, 404)
