"""Every service locks in the one order; read off the statements, since a race may not show it."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inventory.events import ShipmentCutRequested, StockReserved
from inventory.holding import expire_holds
from inventory.models import StockLevel
from inventory.returning import ReturnLine, take_back
from inventory.services import adjust_stock

from .conftest import (
    cancelled,
    confirmed,
    consume,
    dispatched,
    granted,
    in_time,
    placed,
    product,
    publish,
    receive,
    returned,
    shipment_cancelled,
    stocked,
    taken_back,
    told,
    too_late,
)

pytestmark = pytest.mark.django_db
ORDER = ["product", "stocklevel", "allocation"]
#: By the key, or by the first column of what is selected, and then that is the key.
LOCK = re.compile(
    r'FROM "inventory_(\w+)" .* ORDER BY "inventory_\1"."(id|order_id)" ASC FOR NO KEY'
    r'|^SELECT "inventory_(\w+)"."(id|order_id)" AS .* ORDER BY 1 ASC FOR NO KEY'
)
NEW = re.compile(r'INSERT INTO "inventory_(stocklevel|allocation)" .* ON CONFLICT DO NOTHING')
#: Which column of an insertion makes its order; a value per row in each column's array.
KEY_COLUMN = {"stocklevel": 2, "allocation": 1}
COLUMN = re.compile(r"ARRAY\[([^]]*)\]")
#: The key in a row of an insertion that is written row by row: of an allocation, after its number.
ROW = re.compile(r"\(1, '([0-9a-f-]{36})'::uuid")


def keys_of(table, sql):
    if row_by_row := ROW.findall(sql):
        return row_by_row
    keys = COLUMN.findall(sql)[KEY_COLUMN[table]].split(",")
    return [int(key) if key.isdigit() else key for key in keys]


def locks_of(action):
    """The tables in the order in which their rows are locked, each by primary key."""
    taken = []
    with CaptureQueriesContext(connection) as captured:
        action()
    for sql in (query["sql"] for query in captured):
        if "FOR NO KEY UPDATE" in sql or "FOR UPDATE" in sql:
            lock = LOCK.search(sql)
            assert lock, sql
            taken.append(lock[1] or lock[3])
        elif new := NEW.search(sql):
            keys = keys_of(new[1], sql)
            assert len(keys) > 1
            assert keys == sorted(keys)
            taken.append(new[1])
    return taken


def shipments(*numbers):
    events = {event.order_id: event for event in told(StockReserved)}
    found = [events[placed(n).open().order_id].shipments[0].shipment_id for n in numbers]
    return list(zip(found, numbers, strict=True))


@pytest.mark.parametrize(
    ("action", "order"),
    [
        (lambda: consume(*[placed(n, C=1, B=1) for n in range(10, 20)]), ORDER),
        (lambda: consume(*[cancelled(n) for n in range(20)]), ["allocation"]),
        (lambda: consume(*[dispatched(*s) for s in shipments(4, 2, 3)]), ORDER[1:]),
        (lambda: consume(*[shipment_cancelled(*s) for s in shipments(4, 2, 3)]), ORDER[1:]),
        (lambda: receive(D=1, C=1, E=1), ["stocklevel"]),
        (lambda: adjust_stock(level_id=level(), delta=1, reason="x", actor="x"), ["stocklevel"]),
        (lambda: product("C", "A", weight="3"), ["product"]),
    ],
    ids=["reserve", "cancel", "commit", "release", "receive", "adjust", "register"],
)
def test_one_order(action, order):
    stocked(A={"york": 9}, B={"york": 5}, C={"york": 5}, D={}, E={})
    consume(*[placed(n, A=1) for n in range(2, 6)])
    taken = locks_of(action)
    assert list(dict.fromkeys(taken)) == order
    assert taken == sorted(taken, key=ORDER.index)


def level():
    return StockLevel.objects.earliest("pk").pk


def test_returning_and_filling_keep_the_order_too():
    stocked(A={"york": 9}, B={"york": 0})
    consume(*[placed(n, A=1, B=2) for n in range(2, 6)])
    leaving = shipments(4, 2, 3)
    consume(*[dispatched(*s) for s in leaving])
    assert locks_of(lambda: consume(*[returned(*s) for s in leaving])) == ORDER[1:]
    publish()
    receive(B=5)
    events = publish()
    assert locks_of(lambda: consume(*events)) == ORDER


def held(*numbers, until=in_time):
    consume(*[placed(n, B=1, A=1, confirm_by=until()) for n in numbers])


def test_holding_confirming_and_expiring_keep_the_order_too():
    stocked(A={"york": 99}, B={"york": 99})
    held(*range(10, 20))
    held(*range(20, 40), until=too_late)
    assert locks_of(lambda: consume(*[cancelled(n) for n in range(10, 15)])) == [
        "stocklevel",
        "allocation",  # rows for cancellations that overtake
        "allocation",
    ]
    assert locks_of(lambda: consume(*[confirmed(n) for n in range(15, 20)])) == ["allocation"]
    assert locks_of(lambda: consume(*[taken_back(n, C=1) for n in range(20, 30)])) == ORDER[1:]
    assert locks_of(expire_holds) == ORDER[1:]
    assert locks_of(lambda: consume(*[confirmed(n) for n in range(20, 40)])) == ORDER


def test_cutting_and_taking_back_keep_the_order_too():
    stocked(A={"york": 99}, B={"york": 99})
    consume(*[placed(n, B=2, A=2) for n in range(2, 6)])
    assert locks_of(lambda: consume(*[taken_back(n, A=1) for n in (4, 2, 3)])) == ["allocation"]
    numbers = {placed(n).open().order_id: n for n in range(2, 6)}
    answers = [granted(cut, numbers[cut.order_id]) for cut in told(ShipmentCutRequested)]
    assert locks_of(lambda: consume(*answers)) == ORDER[1:]
    [(shipment, _)] = shipments(5)
    consume(dispatched(shipment, 5))
    lines = [ReturnLine("B", 1, "restock"), ReturnLine("A", 1, "scrap")]
    again = {"shipment_id": shipment, "lines": lines, "reference": "x", "actor": "x"}
    assert locks_of(lambda: take_back(**again)) == ORDER[1:]
