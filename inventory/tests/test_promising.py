"""What can be promised, from where and when: the same that an order placed now would get."""

from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from inventory import promising, receiving, transferring
from inventory.events import StockReserved
from inventory.models import (
    Product,
    RegionExclusion,
    SourcingRule,
    StockLevel,
    Transfer,
    Warehouse,
)

from .conftest import (
    PLACES,
    consume,
    follow,
    placed,
    product,
    statements,
    stocked,
    told,
    waiting,
    warehouse,
)

pytestmark = pytest.mark.django_db


def promise(where="york", **options):
    latitude, longitude = PLACES[where]
    place = {"latitude": latitude, "longitude": longitude}
    known = {
        name: options.pop(name) for name in ("channel", "country", "region") if name in options
    }
    rows = promising.promise(lines=list(options.items()), **place, **known)
    return {row.sku: row for row in rows}


def sources(row):
    return [(s.comes_from, s.warehouse, s.quantity, s.on) for s in row.sources]


def expect(code, days, reference="", **units):
    return receiving.expect_receipt(
        warehouse=Warehouse.objects.get(code=code),
        reference=reference or f"PO {code} {days}",
        supplier="",
        expected_on=day(days),
        lines=list(units.items()),
        actor="ada",
    )[0]


def day(days):
    return timezone.now().date() + timedelta(days=days)


# --- now ----------------------------------------------------------------------------------


def test_what_is_there_is_promised_from_where_the_reservation_would_take_it():
    stocked(A={"york": 5, "leeds": 9, "london": 9}, B={"leeds": 2, "london": 1})
    rows = promise(A=4, B=2)
    assert sources(rows["A"]) == [("stock", "leeds", 4, day(0))]
    assert sources(rows["B"]) == [("stock", "leeds", 2, day(0))]
    assert (rows["A"].now, rows["A"].later, rows["A"].short) == (4, 0, 0)
    assert rows["A"].available_on == day(0)
    consume(placed(1, A=4, B=2))
    [event] = told(StockReserved)
    assert [s.warehouse for s in event.shipments] == ["leeds"]


def test_asking_holds_nothing():
    stocked(A={"york": 5})
    assert promise(A=5)["A"].now == promise(A=5)["A"].now == 5
    assert StockLevel.objects.get().reserved == 0


def test_what_is_reserved_kept_back_or_in_an_inactive_warehouse_is_not_promised():
    stocked(A={"york": 10, "leeds": 50})
    warehouse("leeds", active=False)
    consume(placed(1, A=2))
    StockLevel.objects.filter(warehouse__code="york").update(safety_stock=3)
    row = promise(A=9)["A"]
    assert (row.now, row.later, row.short, row.available_on) == (5, 0, 4, None)


def test_the_channels_policy_and_regions_are_respected():
    stocked(A={"york": 5, "leeds": 9})
    SourcingRule.objects.create(channel="web", policy="nearest")
    assert sources(promise(A=6)["A"])[0][1] == "leeds"
    split = sources(promise(A=6, channel="web")["A"])
    assert [(code, units) for _, code, units, _ in split] == [("york", 5), ("leeds", 1)]
    RegionExclusion.objects.create(warehouse=Warehouse.objects.get(code="york"), country="GB")
    row = promise(A=6, channel="web", country="GB")["A"]
    assert [(code, units) for _, code, units, _ in sources(row)] == [("leeds", 6)]


def test_after_the_cut_off_it_is_picked_tomorrow():
    stocked(A={"york": 5})
    Warehouse.objects.update(cut_off="00:00")
    assert promise(A=5)["A"].available_on == day(1)


def test_where_todays_pickers_are_busy_a_later_day_is_said():
    stocked(A={"york": 50})
    Warehouse.objects.update(daily_picks=1)
    consume(placed(1, A=2))
    assert promise(A=5)["A"].available_on == day(1)


# --- later --------------------------------------------------------------------------------


def test_what_is_announced_is_promised_for_its_day():
    stocked(A={"york": 2}, B={"york": 1})
    warehouse("leeds")
    expect("leeds", 9, A=4)
    expect("york", 3, A=1, B=5)
    row = promise(A=6)["A"]
    assert sources(row) == [
        ("stock", "york", 2, day(0)),
        ("receipt", "york", 1, day(3)),
        ("receipt", "leeds", 3, day(9)),
    ]
    assert (row.now, row.later, row.short, row.available_on) == (2, 4, 0, day(9))
    row = promise(A=9)["A"]
    assert (row.now, row.later, row.short, row.available_on) == (2, 5, 2, None)


def test_what_has_come_or_is_closed_or_cancelled_is_not_promised_again():
    stocked(A={"york": 0})
    part, over = expect("york", 3, A=4), expect("york", 4, A=4)
    receiving.receive_stock(
        warehouse=part.warehouse, lines=[("A", 3)], reference="note", actor="x", receipt=part
    )
    receiving.cancel_receipt(receipt_id=over.pk, actor="x")
    assert sources(promise(A=9)["A"]) == [
        ("stock", "york", 3, day(0)),
        ("receipt", "york", 1, day(3)),
    ]
    receiving.close_receipt(receipt_id=part.pk, actor="x")
    assert promise(A=9)["A"].later == 0


def test_who_waits_already_is_served_first():
    stocked(A={"york": 2})
    expect("york", 3, A=4)
    expect("york", 5, A=4)
    consume(placed(1, A=5))
    assert waiting() == [(1, "A", 3)]
    row = promise(A=2)["A"]
    assert sources(row) == [("receipt", "york", 1, day(3)), ("receipt", "york", 1, day(5))]
    assert promise(A=6)["A"].short == 1


def test_stock_that_those_who_wait_are_about_to_get_is_not_promised():
    """The fill is on its way; a new order would join the line."""
    stocked(A={"york": 1})
    consume(placed(1, A=5))
    StockLevel.objects.update(on_hand=10)
    expect("york", 3, A=4)
    row = promise(A=3)["A"]
    assert row.now == 0
    assert sources(row) == [("receipt", "york", 3, day(3))]


def test_what_is_late_may_come_today():
    stocked(A={"york": 0})
    expect("york", -7, A=4)
    assert promise(A=4)["A"].available_on == day(0)


def test_what_comes_fills_the_safety_stock_first():
    stocked(A={"york": 1})
    StockLevel.objects.update(safety_stock=4)
    expect("york", 3, A=5)
    expect("york", 5, A=5)
    assert sources(promise(A=6)["A"]) == [
        ("receipt", "york", 2, day(3)),
        ("receipt", "york", 4, day(5)),
    ]


def test_what_comes_by_transfer_is_promised_even_without_a_day():
    stocked(A={"leeds": 9, "york": 0})
    RegionExclusion.objects.create(warehouse=Warehouse.objects.get(code="leeds"), country="GB")
    york, leeds = (Warehouse.objects.get(code=code) for code in ("york", "leeds"))
    for expected_on in (None, day(2)):
        row = transferring.propose_transfer(
            source=leeds, target=york, lines=[("A", 2)], reason="", actor="x"
        )
        transferring.ship_transfer(transfer_id=row.pk, actor="x", expected_on=expected_on)
    row = promise(A=4, country="GB")["A"]
    assert sources(row) == [("transfer", "york", 2, day(2)), ("transfer", "york", 2, None)]
    assert (row.later, row.short, row.available_on) == (4, 0, None)
    assert promise(A=2, country="GB")["A"].available_on == day(2)
    transferring.receive_transfer(transfer_id=Transfer.objects.earliest("pk").pk, actor="x")
    follow()
    assert promise(A=2, country="GB")["A"].now == 2


def test_goods_for_a_warehouse_that_may_not_send_are_no_promise():
    stocked(A={"york": 0})
    expect("york", 3, A=4)
    RegionExclusion.objects.create(warehouse=Warehouse.objects.get(), country="GB")
    assert promise(A=4, country="GB")["A"].short == 4
    warehouse(active=False)
    assert promise(A=4)["A"].short == 4


def test_it_takes_as_many_statements_for_many_products():
    skus = [f"A{n}" for n in range(30)]
    stocked(**{sku: {"york": 1, "leeds": 1} for sku in skus})
    expect("york", 3, **dict.fromkeys(skus, 4))
    one = statements(lambda: promise(A0=3))
    assert statements(lambda: promise(**dict.fromkeys(skus, 3))) == one
    assert one <= 7


# --- by HTTP ------------------------------------------------------------------------------

ADDRESS = "/api/v1/availability/"
YORK = {"latitude": 53.96, "longitude": -1.08}


@pytest.fixture
def shop(client):
    client.force_login(User.objects.create_user("shop"))
    client.raise_request_exception = False
    return client


def ask(client, pairs, **fields):
    query = [("sku", sku) for sku, _ in pairs] + [("quantity", units) for _, units in pairs]
    return client.get(f"{ADDRESS}?{urlencode(query + list({**YORK, **fields}.items()))}")


def test_a_shop_asks(shop):
    stocked(A={"york": 5}, B={"york": 1, "leeds": 1})
    answer = ask(shop, [("A", 2), ("B", 2)]).json()
    assert (answer["complete"], answer["shipments"]) == (True, 2)
    assert answer["available_on"] == day(0).isoformat()
    assert answer["lines"][0] == {
        "sku": "A",
        "quantity": 2,
        "now": 2,
        "later": 0,
        "short": 0,
        "available_on": day(0).isoformat(),
        "sources": [
            {"warehouse": "york", "quantity": 2, "comes_from": "stock", "on": day(0).isoformat()}
        ],
    }
    answer = ask(shop, [("A", 9)]).json()
    assert (answer["complete"], answer["available_on"]) == (False, None)


@pytest.mark.parametrize(
    ("pairs", "fields", "field", "reason"),
    [
        ([], {}, "sku", "empty"),
        ([("NOPE", 1)], {}, "sku", "There is no active product 'NOPE'"),
        ([("OLD", 1)], {}, "sku", "There is no active product 'OLD'"),
        ([("A", 1), ("A", 2)], {}, "sku", "'A' is named twice"),
        ([("A\0", 1)], {}, "sku[0]", "Null characters"),
        ([("", 1)], {}, "sku[0]", "blank"),
        ([("A", 0)], {}, "quantity[0]", "greater than or equal to 1"),
        ([("A", -1)], {}, "quantity[0]", "whole number"),
        ([("A", "1.5")], {}, "quantity[0]", "whole number"),
        ([("A", "1.0")], {}, "quantity[0]", "whole number"),
        ([("A", "x")], {}, "quantity[0]", "whole number"),
        ([("A", 10**9 + 1)], {}, "quantity[0]", "less than or equal to 1000000000"),
        ([("A", "9" * 400)], {}, "quantity[0]", "whole number"),
        ([("A", 1)], {"latitude": ""}, "latitude", "valid number"),
        ([("A", 1)], {"latitude": 91}, "latitude", "less than or equal to 90"),
        ([("A", 1)], {"longitude": "nan"}, "longitude", ""),
        ([("A", 1)], {"longitude": "inf"}, "longitude", ""),
        ([("A", 1)], {"quantity": 2}, "quantity", "1 SKUs and 2 quantities"),
        ([(f"A{n}", 1) for n in range(51)], {}, "sku", "no more than 50"),
    ],
)
def test_an_odd_question_is_refused_by_field(shop, pairs, fields, field, reason):
    product("A", "OLD")
    Product.objects.filter(sku="OLD").update(active=False)
    response = ask(shop, pairs, **fields)
    assert response.status_code == 400
    found = {e["field"]: e["reason"] for e in response.json()["errors"]}
    assert reason in found[field]


def test_nobody_asks_unknown(client):
    assert ask(client, [("A", 1)]).status_code in {401, 403}


def test_the_day_is_the_warehouses_own():
    stocked(A={"york": 1})
    Warehouse.objects.update(time_zone="Pacific/Kiritimati")
    ahead = promise(A=1)["A"].available_on
    Warehouse.objects.update(time_zone="Pacific/Pago_Pago")
    assert ahead - promise(A=1)["A"].available_on in {timedelta(days=1), timedelta(days=2)}
