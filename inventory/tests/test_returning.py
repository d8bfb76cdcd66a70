"""Goods that customers send back: each unit once, and only what is fit is sold again."""

import pytest
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from inventory.events import BackorderFilled, GoodsReturned, StockReserved
from inventory.models import Reservation, StockLevel, StockMovement
from inventory.returning import InvalidReturn, ReturnLine, take_back
from inventory.selectors import books_off
from supplychain.events.context import new_id

from .conftest import (
    at_once,
    consume,
    dispatched,
    follow,
    levels,
    placed,
    returned,
    stocked,
    told,
    waiting,
)

pytestmark = pytest.mark.django_db(transaction=True)
URL = "/api/v1/returns/"


def sent(number=1, **units):
    """An order's only shipment, on its way or there."""
    consume(placed(number, **units))
    shipment = told(StockReserved)[-1].shipments[0].shipment_id
    consume(dispatched(shipment, number))
    return shipment


def back(shipment, *lines, reference="RMA 1"):
    made = [ReturnLine(*line) for line in lines]
    return take_back(shipment_id=shipment, lines=made, reference=reference, actor="clerk")


def figures(sku):
    level = StockLevel.objects.get(product__sku=sku)
    return level.on_hand, level.reserved, level.quarantined


def test_each_unit_goes_where_its_condition_sends_it():
    stocked(A={"york": 9})
    shipment = sent(A=6)
    assert back(shipment, ("A", 3, "restock"), ("A", 2, "quarantine"), ("A", 1, "scrap"))
    assert figures("A") == (6, 0, 2)
    lines = StockMovement.objects.filter(reference=f"{shipment} RMA 1").order_by("pk")
    assert [(m.bucket, m.reason, m.delta, m.actor) for m in lines] == [
        ("on_hand", "return", 3, "clerk"),
        ("quarantined", "return", 3, "clerk"),
        ("quarantined", "scrap", -1, "clerk"),
    ]
    [event] = told(GoodsReturned)
    assert (event.warehouse, event.reference, event.skus) == ("york", "RMA 1", {"A"})
    assert [line.disposition for line in event.lines] == ["restock", "quarantine", "scrap"]
    row = Reservation.objects.get()
    assert (row.state, row.quantity, row.returned) == ("committed", 6, 6)
    assert list(books_off()) == []


def test_what_is_restocked_goes_to_those_who_wait_and_the_rest_does_not():
    stocked(A={"york": 4}, B={"york": 4})
    shipment = sent(A=4, B=4)
    consume(placed(2, A=1, B=1))
    back(shipment, ("A", 1, "restock"), ("B", 1, "quarantine"))
    follow()
    assert (waiting(), len(told(BackorderFilled))) == ([(2, "B", 1)], 1)
    assert told(GoodsReturned)[0].skus == {"A"}


def test_the_same_reference_counts_once():
    stocked(A={"york": 9})
    shipment = sent(A=6)
    assert back(shipment, ("A", 1, "restock"))
    assert not back(shipment, ("A", 1, "restock"))
    assert figures("A") == (4, 0, 0)
    with pytest.raises(InvalidReturn, match="is taken by another return"):
        back(shipment, ("A", 2, "restock"))
    assert back(shipment, ("A", 1, "restock"), reference="RMA 2")
    assert (figures("A"), len(told(GoodsReturned))) == ((5, 0, 0), 2)
    other = sent(2, A=1)
    assert back(other, ("A", 1, "restock"))


def test_no_more_comes_back_than_had_left():
    stocked(A={"york": 9}, B={"york": 9})
    shipment = sent(A=3)
    back(shipment, ("A", 2, "restock"))
    for lines, reason in (
        ([("A", 2, "restock")], "3 have left and 2 of them are back; 2 can't"),
        ([("A", 1, "restock"), ("A", 1, "scrap")], "2 can't come back"),
        ([("B", 1, "restock")], "No B has left"),
        ([("A", 0, "restock")], "at least one unit"),
        ([("A", -1, "scrap")], "at least one unit"),
        ([], "at least one unit"),
    ):
        with pytest.raises(InvalidReturn, match=reason):
            back(shipment, *lines, reference="RMA 2")
    with pytest.raises(InvalidReturn, match="reference"):
        back(shipment, ("A", 1, "restock"), reference=" ")
    with pytest.raises(InvalidReturn, match="no shipment"):
        back(new_id(), ("A", 1, "restock"))
    assert (figures("A"), len(told(GoodsReturned))) == ((8, 0, 0), 1)


def test_what_has_not_left_does_not_come_back():
    stocked(A={"york": 9})
    consume(placed(1, A=3))
    with pytest.raises(InvalidReturn, match="No A has left"):
        back(told(StockReserved)[0].shipments[0].shipment_id, ("A", 1, "restock"))
    assert levels("A") == {"york": (9, 3)}


def test_a_shipment_that_comes_back_as_a_whole_brings_only_what_is_not_back_yet():
    stocked(A={"york": 9})
    shipment = sent(A=5)
    back(shipment, ("A", 2, "scrap"))
    consume(returned(shipment, 1))
    assert figures("A") == (7, 0, 0)
    assert list(books_off()) == []


def test_two_clerks_with_one_parcel_book_it_once(deadlocks):
    stocked(A={"york": 9})
    shipment = sent(A=5)
    booked = []
    at_once(*[lambda: booked.append(back(shipment, ("A", 5, "restock"))) for _ in range(8)])
    assert (sorted(booked), figures("A")) == ([False] * 7 + [True], (9, 0, 0))
    assert deadlocks() == 0


# --- API ----------------------------------------------------------------------------------


def api(**user):
    client = APIClient()
    person = User.objects.create_user("clerk", **user)
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=person).key}")
    return client


def body(shipment, **fields):
    line = {"sku": "A", "quantity": 1, "disposition": "restock"}
    return {"shipment_id": str(shipment), "reference": "RMA 1", "lines": [line], **fields}


def test_staff_books_returns_and_again_is_no_error():
    stocked(A={"york": 9})
    shipment, clerk = sent(A=5), api(is_staff=True, is_superuser=True)
    first = clerk.post(URL, body(shipment), format="json")
    again = clerk.post(URL, body(shipment), format="json")
    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json(), again.json()) == ({"booked": True}, {"booked": False})
    assert StockMovement.objects.get(reason="return").actor == "clerk"
    too_many = body(shipment, reference="2", lines=[{**body(1)["lines"][0], "quantity": 5}])
    answer = clerk.post(URL, too_many, format="json")
    assert answer.status_code == 409
    assert "1 of them are back" in answer.json()["errors"][0]["reason"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shipment_id", "7"),
        ("reference", ""),
        ("reference", "x" * 81),
        ("lines", []),
        ("lines", [{"sku": "A", "quantity": 0, "disposition": "restock"}]),
        ("lines", [{"sku": "A", "quantity": 1.5, "disposition": "restock"}]),
        ("lines", [{"sku": "A", "quantity": 10**9 + 1, "disposition": "restock"}]),
        ("lines", [{"sku": "A", "quantity": 1, "disposition": "burn"}]),
    ],
)
def test_a_bad_return_is_refused_with_its_field(field, value):
    answer = api(is_staff=True, is_superuser=True).post(
        URL, body(new_id(), **{field: value}), format="json"
    )
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"].startswith(field)


def test_who_is_not_staff_books_no_return():
    assert api().post(URL, body(new_id()), format="json").status_code == 403
