"""Every service locks in the one order; read off the statements, since a race may not show it."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inventory.events import StockReserved
from inventory.models import StockLevel
from inventory.services import adjust_stock

from .conftest import (
    cancelled,
    consume,
    dispatched,
    placed,
    product,
    publish,
    receive,
    returned,
    shipment_cancelled,
    stocked,
    told,
)

pytestmark = pytest.mark.django_db
ORDER = ["product", "stocklevel", "allocation"]
LOCK = re.compile(
    r'FROM "inventory_(\w+)" .* ORDER BY "inventory_\1"."(id|order_id)" ASC FOR NO KEY'
)
NEW = re.compile(r'INSERT INTO "inventory_(stocklevel|allocation)" .* ON CONFLICT DO NOTHING')
#: Which column of an insertion makes its order; a value per row in each column's array.
KEY_COLUMN = {"stocklevel": 2, "allocation": 1}
COLUMN = re.compile(r"ARRAY\[([^]]*)\]")


def keys_of(table, sql):
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
            taken.append(lock[1])
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
