"""GET /api/v1/analytics/summary/ and the figures behind it."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from analytics import selectors
from analytics.models import OrderFact, ShipmentFact
from orders import events as told

from .conftest import (
    START,
    delayed,
    event,
    handed_over,
    journey,
    measure,
    part,
    promised,
    retimed,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
ADDRESS = "/api/v1/analytics/summary/"


class Shop:
    """What a user of a channel has, as far as analytics knows."""

    def __init__(self, code, active=True):
        self.code, self.active = code, active


def client(*, staff=False, shop=None):
    user = User(username="somebody", is_staff=staff, pk=1)
    if shop:
        user.__dict__["channel"] = shop
        user._state.fields_cache["channel"] = shop
    found = APIClient()
    found.force_authenticate(user)
    return found


@pytest.fixture
def measured():
    measure(journey(1, channel="web", step=10.0, first=5))
    measure(journey(2, channel="shop", step=20.0, first=1))
    measure([event(told.OrderPlaced, 3, 1, after=3600, channel="shop")])


def test_staff_sees_all(measured):
    body = client(staff=True).get(ADDRESS).json()
    assert body["orders"] == 3
    assert body["orders_by_status"] == {"delivered": 2, "placed": 1}
    assert [(row["hour"], row["orders"]) for row in body["orders_by_hour"]] == [
        ("2026-05-04T10:00:00Z", 1),
        ("2026-05-04T09:00:00Z", 2),
    ]
    assert body["fill_rate"] == 0.6  # (5 + 1) of the 10 units whose allocation is known
    assert body["seconds_from_placed"]["delivered"] == {"p50": 75.0, "p90": 95.0, "p99": 99.5}
    assert body["events_by_type"]["orders.order_placed"] == 3


def test_promises_that_were_kept_are_those_that_held_until_the_delivery(measured):
    """Of six delivered: one in time, one late, one delayed, one at another time, one at another
    within its window, one without a promise; and one that is promised and not yet delivered."""
    for number in range(4, 9):
        measure(journey(number))  # delivered 50 s after the start
    measure([promised(n) for n in range(4, 8)])
    measure([promised(8, until=49), promised(9)])
    measure([delayed(5), retimed(6), retimed(7, within_window=True)])
    body = client(staff=True).get(ADDRESS, {"channel": "web"}).json()
    shares = {"kept": 0.4, "early": 0.0, "late": 0.2, "changed": 0.4}
    assert body["promises"] == {"orders": 5, "delivered": 5, **shares}
    assert body["seconds_from_placed"]["promised"]["p50"] == 5.0
    measure([event(told.OrderPlaced, 9, 1)])
    body = client(staff=True).get(ADDRESS).json()
    assert (body["promises"]["orders"], body["promises"]["delivered"]) == (6, 5)


def test_what_comes_before_its_window_opens_is_early_and_no_promise_kept():
    """Of five: to the second in time at both ends, early, late, and one whose parts are both."""
    for number in range(1, 6):
        measure(journey(number))
        measure([promised(number, opens=30, until=60)])
    moments = {1: 30, 2: 60, 3: 29.9, 4: 60.1, 5: 61}
    measure([handed_over(number, after=after) for number, after in moments.items()])
    measure([promised(5, sequence=21, opens=10, until=70, of="b"), handed_over(5, after=5, of="b")])
    figures = client(staff=True).get(ADDRESS).json()["promises"]
    shares = {"kept": 0.4, "early": 0.2, "late": 0.4, "changed": 0.0}
    assert figures == {"orders": 5, "delivered": 5, **shares}


def test_an_early_part_is_not_hidden_by_one_that_comes_in_time():
    measure(journey(1))
    measure([promised(1, opens=0, until=20), promised(1, sequence=21, opens=30, of="b")])
    measure([handed_over(1, after=15), handed_over(1, after=29, of="b")])
    assert client(staff=True).get(ADDRESS).json()["promises"]["early"] == 1.0


def test_a_channel_sees_its_own(measured):
    shop = client(shop=Shop("shop"))
    body = shop.get(ADDRESS).json()
    assert body["orders_by_status"] == {"delivered": 1, "placed": 1}
    assert body["fill_rate"] == 0.2
    assert body["events_by_type"] is None
    assert shop.get(ADDRESS, {"channel": "shop"}).json() == body
    assert shop.get(ADDRESS, {"channel": "web"}).status_code == 403


def test_who_is_nobody_sees_nothing(measured):
    assert client().get(ADDRESS).status_code == 403
    assert client(shop=Shop("shop", active=False)).get(ADDRESS).status_code == 403
    assert APIClient().get(ADDRESS).status_code == 401


def test_the_range_and_the_channel_choose(measured):
    staff = client(staff=True)
    ten = "2026-05-04T10:00:00Z"
    assert staff.get(ADDRESS, {"from": ten}).json()["orders"] == 1
    before = staff.get(ADDRESS, {"until": ten, "channel": "shop"}).json()
    assert (before["orders"], before["orders_by_status"]) == (1, {"delivered": 1})
    within = staff.get(ADDRESS, {"from": "2026-05-04T10:20:00Z"}).json()["events_by_type"]
    assert within == {"orders.order_placed": 1}  # whole hours


def test_without_orders_there_are_no_figures():
    body = client(staff=True).get(ADDRESS).json()
    assert (body["orders"], body["fill_rate"]) == (0, None)
    assert set(body["seconds_from_placed"].values()) == {None}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"until": "2026-13-45"}, "until"),
        ({"from": "0001-01-01T00:00:00+14:00"}, "from"),
        ({"from": "2026-05-05", "until": "2026-05-04"}, "until"),
        ({"channel": "no such name"}, "channel"),
        ({"channel": "x\0"}, "channel"),
        ({"channel": "x" * 41}, "channel"),
        ({"form": "2026-05-05"}, "form"),
    ],
)
def test_a_bad_parameter_is_named(query, field):
    response = client(staff=True).get(ADDRESS, query)
    assert response.status_code == 400
    assert {error["field"] for error in response.json()["errors"]} == {field}


def test_both_ways_to_percentiles_agree():
    gaps = [0.5, 1, 1, 2, 3.25, 5, 8, 13, 21, 34, 1000.125]
    OrderFact.objects.bulk_create(
        OrderFact(
            order_id=f"00000000-0000-0000-0000-{n:012}",
            placed_at=START,
            planned_at=START + timedelta(seconds=gap),
        )
        for n, gap in enumerate(gaps)
    )
    rows = OrderFact.objects.all()
    in_sql = selectors._percentiles_in_sql(rows, "planned_at")
    in_python = selectors._percentiles_in_python(rows, "planned_at")
    assert in_sql == pytest.approx(in_python)
    assert in_sql is not None and in_sql[0] == 5


def test_the_admin_opens_and_finds(admin_client, measured):
    assert admin_client.get("/admin/analytics/eventcount/").status_code == 200
    for query, count in {"": 3, "?q=shop": 2, "?status=placed": 1, "?q=sho": 0}.items():
        page = admin_client.get(f"/admin/analytics/orderfact/{query}")
        assert page.status_code == 200
        assert len(page.context["cl"].result_list) == count
    first = OrderFact.objects.earliest("placed_at")
    page = admin_client.get(f"/admin/analytics/orderfact/?q={first.pk}")
    assert [row.pk for row in page.context["cl"].result_list] == [first.pk]
    assert admin_client.get("/admin/analytics/orderfact/add/").status_code == 403


def test_the_admin_tells_early_from_late(admin_client):
    measure([promised(n, opens=30) for n in range(1, 5)])
    measure([handed_over(1, after=5), handed_over(2, after=50), handed_over(3, after=70)])
    address = "/admin/analytics/shipmentfact/"
    found = {
        how: [row.pk for row in admin_client.get(f"{address}?came={how}").context["cl"].result_list]
        for how in ("early", "in time", "late")
    }
    assert found == {"early": [part(1)], "in time": [part(2)], "late": [part(3)]}
    for how, (pk,) in found.items():
        assert ShipmentFact.objects.get(pk=pk).came == how
    page = admin_client.get(f"{address}?q={part(3)}")
    assert [row.pk for row in page.context["cl"].result_list] == [part(3)]
    assert "late" in page.content.decode()
