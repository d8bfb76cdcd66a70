"""The inventory API: what staff may ask and book, and how everything else is refused."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token

from inventory.events import StockReceived
from inventory.models import StockLevel, StockMovement
from supplychain.events.models import OutboxEvent

from .conftest import consume, levels, placed, product, stocked, told, warehouse

pytestmark = pytest.mark.django_db
STOCK, WAREHOUSES, RECEIPTS = "/api/v1/stock/", "/api/v1/warehouses/", "/api/v1/receipts/"
BODY: dict[str, Any] = {
    "warehouse": "york",
    "reference": "note 1",
    "lines": [{"sku": "A", "quantity": 5}],
}


@pytest.fixture
def staff(client):
    user = User.objects.create_superuser("ada")
    client.defaults["HTTP_AUTHORIZATION"] = f"Token {Token.objects.create(user=user).key}"
    client.raise_request_exception = False
    return client


def post(client, body, content_type="application/json"):
    raw = body if isinstance(body, bytes) else json.dumps(body)
    return client.post(RECEIPTS, raw, content_type=content_type)


def errors(response):
    return [(error["field"], error["reason"]) for error in response.json()["errors"]]


# --- asking -------------------------------------------------------------------------------


def test_stock_is_listed_and_filtered(staff):
    stocked(A={"york": 5, "leeds": 1}, B={"york": 2})
    consume(placed(1, A=3))
    rows = staff.get(STOCK).json()["results"]
    assert {
        (r["warehouse"], r["sku"]): (r["on_hand"], r["reserved"], r["available"]) for r in rows
    } == {
        ("york", "A"): (5, 3, 2),
        ("leeds", "A"): (1, 0, 1),
        ("york", "B"): (2, 0, 2),
    }
    for query, count in {"?sku=A": 2, "?warehouse=york": 2, "?sku=B&warehouse=leeds": 0}.items():
        assert len(staff.get(STOCK + query).json()["results"]) == count, query


def test_stock_comes_in_pages(staff):
    stocked(**{f"A{n}": {"york": 1} for n in range(5)})
    seen, address = [], STOCK + "?page_size=2"
    while address:
        page = staff.get(address).json()
        seen += [row["sku"] for row in page["results"]]
        address = page["next"]
    assert seen == [f"A{n}" for n in range(5)]


def test_warehouses_are_listed(staff):
    warehouse()
    warehouse("leeds", active=False)
    rows = staff.get(WAREHOUSES).json()["results"]
    assert [(row["code"], row["active"]) for row in rows] == [("york", True), ("leeds", False)]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?sku=%00", 400),
        ("?warehouse=%00", 400),
        ("?sku=" + "A" * 65, 400),
        ("?sku=", 400),
        ("?sku=%ff", 200),
        ("?sku=NOPE", 200),
        ("?cursor=nonsense", 404),
        ("?page_size=0", 200),
    ],
)
def test_an_odd_question_gets_an_answer(staff, query, status):
    response = staff.get(STOCK + query)
    assert response.status_code == status
    assert "results" in response.json() or errors(response)[0][1]


@pytest.mark.parametrize("address", [STOCK, WAREHOUSES, RECEIPTS])
def test_only_staff_may_ask_and_book(client, staff, address):
    User.objects.update(is_staff=False, is_superuser=False)
    call = client.post if address == RECEIPTS else client.get
    assert call(address).status_code == 403
    del client.defaults["HTTP_AUTHORIZATION"]
    refused = call(address)
    assert refused.status_code == 401
    assert refused.json()["errors"]


# --- booking ------------------------------------------------------------------------------


def test_a_receipt_is_booked_once(staff):
    warehouse()
    product("A")
    first, again = post(staff, BODY), post(staff, BODY)
    assert (first.status_code, first.json()) == (201, {"lines_booked": 1})
    assert (again.status_code, again.json()) == (200, {"lines_booked": 0})
    assert levels("A") == {"york": (5, 0)}
    assert StockMovement.objects.get().actor == "ada"
    assert len(told(StockReceived)) == 1


def test_the_request_begins_the_journey(staff):
    warehouse()
    product("A")
    staff.post(RECEIPTS, json.dumps(BODY), "application/json", headers={"X-Request-ID": "trip-7"})
    assert told(StockReceived)[0].envelope.correlation_id == "trip-7"
    assert StockMovement.objects.get().correlation_id == "trip-7"


def changed(**fields):
    return {**BODY, **fields}


def line(**fields):
    return changed(lines=[{"sku": "A", "quantity": 1, **fields}])


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        (b"{", "body", "JSON parse error"),
        (b"\xff\xfe", "body", "JSON parse error"),
        (b"[" * 100_000, "body", ""),
        (b"", "warehouse", "required"),
        ([], "body", "Expected a dictionary"),
        ({}, "warehouse", "required"),
        (changed(warehouse="mars"), "warehouse", "no active warehouse 'mars'"),
        (changed(warehouse="leeds"), "warehouse", "no active warehouse 'leeds'"),
        (changed(warehouse=5), "warehouse", "JSON string"),
        (changed(warehouse="york\0"), "warehouse", "Null characters"),
        (changed(warehouse="york\ud800"), "warehouse", ""),
        (changed(reference=""), "reference", "blank"),
        (changed(reference="  "), "reference", "blank"),
        (changed(reference=None), "reference", "null"),
        (changed(reference="x" * 121), "reference", "120"),
        (changed(reference="a\0"), "reference", "Null characters"),
        (changed(reference="a\ud800"), "reference", ""),
        (changed(lines=[]), "lines", "empty"),
        (changed(lines={}), "lines", "list"),
        (changed(lines="A"), "lines", "list"),
        (changed(lines=["A"]), "lines[0]", "dictionary"),
        (line(sku="NOPE"), "lines[0].sku", "There is no product 'NOPE'"),
        (line(sku="A\0"), "lines[0].sku", "Null characters"),
        (line(sku="A\ud800"), "lines[0].sku", ""),
        (line(sku=["A"]), "lines[0].sku", "JSON string"),
        (line(sku="A" * 65), "lines[0].sku", "64"),
        (line(quantity=0), "lines[0].quantity", "greater than or equal to 1"),
        (line(quantity=-5), "lines[0].quantity", "greater than or equal to 1"),
        (line(quantity=10**9 + 1), "lines[0].quantity", "less than or equal to 1000000000"),
        (line(quantity=10**40), "lines[0].quantity", ""),
        (line(quantity=1.0), "lines[0].quantity", "whole JSON number"),
        (line(quantity="1"), "lines[0].quantity", "whole JSON number"),
        (line(quantity=True), "lines[0].quantity", "whole JSON number"),
        (line(quantity=None), "lines[0].quantity", "null"),
        (changed(lines=[{"sku": "A"}]), "lines[0].quantity", "required"),
        (changed(lines=BODY["lines"] * 2), "lines[1].sku", "Already in lines[0]"),
        (changed(lines=BODY["lines"] * 10_001), "lines", "10000"),
        (changed(lines=BODY["lines"] * 10_000), "lines[1].sku", "Already in lines[0]"),
    ],
)
def test_bad_input_is_refused_by_field_and_leaves_nothing(staff, body, field, reason):
    warehouse()
    warehouse("leeds", active=False)
    product("A")
    before = OutboxEvent.objects.count()
    response = post(staff, body)
    assert response.status_code == 400
    found = dict(reversed(errors(response)))
    assert field in found
    assert reason in found[field]
    assert not StockLevel.objects.exists()
    assert OutboxEvent.objects.count() == before


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"a": "' + b"x" * 5_000_000 + b'"}', "application/json", 413),
        (b"warehouse=york", "application/x-www-form-urlencoded", 415),
        (b"<a/>", "application/xml", 415),
    ],
)
def test_other_bodies_are_refused(staff, body, content_type, status):
    response = post(staff, body, content_type)
    assert response.status_code == status
    assert all(reason for _, reason in errors(response))


def test_ten_thousand_lines_are_booked(staff):
    warehouse()
    product(*[f"A{n}" for n in range(10_000)])
    lines = [{"sku": f"A{n}", "quantity": 1} for n in range(10_000)]
    response = post(staff, changed(lines=lines))
    assert (response.status_code, response.json()) == (201, {"lines_booked": 10_000})


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_receipts_are_only_posted(staff, method):
    assert getattr(staff, method)(RECEIPTS).status_code == 405
