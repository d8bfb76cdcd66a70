"""Policies per channel and regions that a warehouse does not ship to, through the consumers."""

from decimal import Decimal

import pytest

from inventory import services
from inventory.events import StockReserved
from inventory.models import Backorder, RegionExclusion, SourcingRule, Warehouse
from inventory.rules import Rules
from inventory.services import WarehouseRules
from inventory.sourcing import balanced, fewest_shipments, lowest_cost, nearest

from .conftest import (
    PLACES,
    assert_nobody_waits_in_vain,
    consume,
    follow,
    levels,
    placed,
    publish,
    receive,
    statements,
    stocked,
    told,
    waiting,
)

pytestmark = pytest.mark.django_db


def rule(policy, channel=""):
    SourcingRule.objects.create(channel=channel, policy=policy)


def excluded(code, country="GB", region="", channel=""):
    place = Warehouse.objects.get(code=code)
    RegionExclusion.objects.create(warehouse=place, country=country, region=region, channel=channel)


def going_to(envelope, **fields):
    """The same order, for another channel, country or region."""
    channel = fields.pop("channel", envelope.data["channel"])
    ship_to = {**envelope.data["ship_to"], **fields}
    data = {**envelope.data, "ship_to": ship_to, "channel": channel}
    return envelope.model_copy(update={"data": data})


def sent_from():
    return [sorted(s.warehouse for s in event.shipments) for event in told(StockReserved)]


def test_a_channel_has_its_own_policy_or_the_default_or_the_fewest_shipments():
    assert Rules.read().policy("web") is fewest_shipments
    rule("nearest")
    rule("lowest_cost", "shop")
    rules = Rules.read()
    assert (rules.policy("web"), rules.policy("shop")) == (nearest, lowest_cost)
    SourcingRule.objects.filter(channel="").update(policy="balanced")
    assert Rules.read().policy("web") is balanced


@pytest.mark.parametrize(
    ("policy", "warehouses"),
    [
        ("fewest_shipments", ["leeds"]),
        ("nearest", ["leeds", "york"]),
        ("balanced", ["leeds", "london"]),
        ("lowest_cost", ["london", "york"]),
    ],
)
def test_an_order_is_sent_as_its_channel_wants_it(policy, warehouses):
    stocked(A={"york": 1, "leeds": 2, "london": 50}, B={"york": 3, "leeds": 9, "london": 1})
    latitude, longitude = PLACES["leeds"]
    services.register_warehouse(
        code="leeds",
        name="Leeds",
        latitude=latitude,
        longitude=longitude,
        rules=WarehouseRules(handling_cost=Decimal(100)),
    )
    rule(policy, "web")
    rule("nearest", "shop")
    consume(placed(1, A=2, B=3))
    assert sent_from() == [warehouses]


@pytest.mark.parametrize(
    ("exclusion", "shut"),
    [
        ({}, True),
        ({"region": " yorkshire "}, True),
        ({"region": "Kent"}, False),
        ({"country": "gb", "channel": "web"}, True),
        ({"channel": "shop"}, False),
        ({"country": "FR"}, False),
    ],
)
def test_a_warehouse_does_not_ship_where_it_is_excluded(exclusion, shut):
    stocked(A={"york": 5, "london": 5})
    excluded("york", **exclusion)
    consume(going_to(placed(1, A=1), region="Yorkshire"))
    assert sent_from() == [["london" if shut else "york"]]


def test_what_may_not_be_sent_waits_and_keeps_nobody_else_from_it():
    stocked(A={"york": 5})
    excluded("york", region="Kent")
    consume(going_to(placed(1, A=2), region="Kent"))
    assert waiting() == [(1, "A", 2)]
    consume(placed(2, A=2))  # may be sent from York: it has come later, but nobody can have it
    assert sent_from() == [["york"]]
    consume(going_to(placed(3, A=1), region="Kent"), placed(4, A=3))
    assert waiting() == [(1, "A", 2), (3, "A", 1)]
    assert levels("A") == {"york": (5, 5)}


def test_who_waits_for_a_warehouse_is_not_overtaken_there():
    stocked(A={"york": 0, "london": 0})
    excluded("london", region="Kent")
    consume(going_to(placed(1, A=2), region="Kent"))
    receive("york", A=2)  # the fill is on its way
    consume(placed(2, A=1))
    assert waiting() == [(1, "A", 2), (2, "A", 1)]


def test_the_line_does_not_end_at_the_first_who_may_not_have_it():
    """More is waited for by those in front than there is; they may not have it."""
    stocked(A={"york": 0, "london": 0})
    excluded("york", region="Kent")
    consume(*[going_to(placed(n, A=5), region="Kent") for n in range(3)])
    consume(placed(10, A=2), placed(11, A=4))
    publish()
    receive("york", A=5)
    follow()
    assert waiting() == [*[(n, "A", 5) for n in range(3)], (11, "A", 1)]
    receive("london", A=7)
    follow()
    assert waiting() == [(1, "A", 3), (2, "A", 5), (11, "A", 1)]
    Backorder.objects.all().delete()
    assert_nobody_waits_in_vain()


def test_safety_stock_is_never_promised():
    stocked(A={"york": 5, "london": 5})
    Warehouse.objects.get(code="york").levels.update(safety_stock=4)
    consume(placed(1, A=2))
    assert sent_from() == [["london"]]
    consume(placed(2, A=5))
    assert levels("A") == {"york": (5, 1), "london": (5, 5)}
    assert waiting() == [(2, "A", 1)]


def test_rules_and_limits_cost_the_same_few_statements_for_any_number_of_orders(settings):
    stocked(A={"york": 500, "leeds": 500}, B={"york": 500, "leeds": 500}, C={})
    for code in ("york", "leeds"):
        latitude, longitude = PLACES[code]
        services.register_warehouse(
            code=code,
            name=code,
            latitude=latitude,
            longitude=longitude,
            rules=WarehouseRules(daily_picks=7),
        )
    rule("balanced")
    rule("lowest_cost", "web")
    excluded("leeds", region="Kent")
    publish()
    counts, first = {}, 0
    for size in (1, 10, 100):
        batch = [
            going_to(placed(first + n, A=1, B=1, C=1), region="Kent" if n % 2 else "")
            for n in range(size)
        ]
        counts[size] = statements(lambda batch=batch: consume(*batch))
        first += size
    assert counts[1] == counts[10] == counts[100] <= 24
