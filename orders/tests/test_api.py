"""The API as channels and staff use it."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from orders import services
from orders.models import CatalogueItem, Order, Status

from .conftest import (
    BULK,
    NOON,
    URL,
    body,
    client_of,
    consume,
    drive,
    names,
    place,
    reserved,
    rows,
    shop,
    statements,
    told,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]


def ids(answer):
    return [row["external_id"] for row in answer.json()["results"]]


# --- placing ------------------------------------------------------------------------------


def test_an_order_is_placed_and_shown_with_its_history(client):
    answer = client.post(URL, body(requested_from=NOON.isoformat()), format="json")
    assert answer.status_code == 201
    made = answer.json()
    assert (made["channel"], made["status"], made["external_id"]) == ("web", "placed", "W-1")
    assert (made["quantity"], made["total"], made["currency"]) == (4, "14.50", "GBP")
    assert made["customer"] == body()["customer"]
    assert made["ship_to"] == body()["ship_to"]
    assert made["lines"] == [{**line, "cancelled": 0} for line in body()["lines"]]
    assert made["requested_from"] == "2026-05-04T12:00:00Z"
    assert [step["status"] for step in made["history"]] == ["placed"]
    assert client.get(f"{URL}{made['id']}/").json() == made


def test_what_is_left_out_and_optional_is_empty(client):
    bare = body()
    del bare["customer"]["phone"], bare["ship_to"]["region"]
    made = client.post(URL, bare, format="json").json()
    assert (made["customer"]["phone"], made["ship_to"]["region"]) == ("", "")
    assert (made["requested_from"], made["requested_until"]) == (None, None)


def test_placing_emits_order_placed_once_with_number_one(client):
    made = client.post(URL, body(), format="json", headers={"X-Correlation-ID": "shop/17"})
    assert made.headers["X-Correlation-ID"] == "shop/17"
    order = made.json()
    assert order["correlation_id"] == "shop/17"
    [placed] = told(order["id"])
    assert (placed.event_type, placed.sequence) == ("orders.order_placed", 1)
    assert (placed.correlation_id, placed.causation_id) == ("shop/17", None)
    assert placed.data["lines"] == body()["lines"]
    assert placed.data["customer"] == body()["customer"]
    assert placed.data["total"] == "14.50"


@pytest.mark.parametrize("header", ["X-Correlation-ID", "X-Request-ID"])
def test_the_journey_keeps_the_correlation_id_to_the_end(client, header):
    made = client.post(URL, body(), format="json", headers={header: "shop/17"}).json()
    order = Order.objects.get(pk=made["id"])
    consume([reserved(order, {1: 4}), *drive(order, "planned", "dispatched", "delivered")])
    assert names(order.pk) == ["placed", "reserved", "planned", "dispatched", "delivered"]
    assert {envelope.correlation_id for envelope in told(order.pk)} == {"shop/17"}
    assert [envelope.sequence for envelope in told(order.pk)] == [1, 2, 3, 4, 5]


def test_a_correlation_id_that_can_not_be_kept_is_replaced(client):
    made = client.post(URL, body(), format="json", headers={"X-Correlation-ID": "a b" * 100})
    kept = made.json()["correlation_id"]
    assert made.headers["X-Correlation-ID"] == kept
    assert UUID(kept)


@pytest.mark.parametrize(
    "again",
    [
        body(),
        dict(reversed(body().items())),
        body(lines__0__unit_price=1.5),
        body(customer__name="  Ada O'Neill "),
        body(requested_from=None),
    ],
    ids=["same", "keys in another order", "price as a number", "spaces", "null for nothing"],
)
def test_the_same_body_again_is_the_same_order(client, again):
    first = client.post(URL, body(), format="json")
    before = rows()
    second = client.post(URL, again, format="json")
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()
    assert rows() == before


@pytest.mark.parametrize(
    "other",
    [
        body(lines__0__quantity=4),
        body(lines__1__unit_price="10.01"),
        body(customer__email="eve@example.org"),
        body(ship_to__latitude=53.97),
        body(currency="EUR"),
        body(requested_from=NOON.isoformat()),
        body(lines=body()["lines"][::-1]),
    ],
    ids=["quantity", "price", "email", "latitude", "currency", "window", "lines"],
)
def test_another_body_is_a_conflict_that_names_the_field(client, other):
    client.post(URL, body(), format="json")
    before = rows()
    answer = client.post(URL, other, format="json")
    assert answer.status_code == 409
    [error] = answer.json()["errors"]
    assert error["field"] == "external_id"
    assert "'W-1'" in error["reason"]
    assert rows() == before


def test_external_ids_of_two_channels_have_nothing_to_do_with_each_other(client):
    _, other = shop("shop")
    first = client.post(URL, body(), format="json")
    second = other.post(URL, body(currency="EUR"), format="json")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]


def test_the_same_order_is_the_same_though_a_product_is_no_longer_sold(client):
    first = client.post(URL, body(), format="json")
    CatalogueItem.objects.filter(sku="B").update(active=False)
    before = rows()
    second = client.post(URL, body(), format="json")
    assert (second.status_code, second.json()) == (200, first.json())
    bodies = [body(), body(external_id="W-2"), body(lines__0__quantity=1)]
    bulk = client.post(BULK, {"orders": bodies}, format="json").json()["results"]
    assert [item["status"] for item in bulk] == ["existing", "refused", "conflict"]
    assert [error["field"] for error in bulk[1]["errors"]] == ["lines[1].sku"]
    assert rows() == before


# --- looking ------------------------------------------------------------------------------


def test_a_channel_sees_its_own_orders_only(client, channel):
    other_channel, other = shop("shop")
    mine, theirs = place(channel), place(other_channel, external_id="S-1")
    assert ids(client.get(URL)) == ["W-1"]
    assert ids(other.get(URL)) == ["S-1"]
    assert ids(client.get(URL, {"channel": "shop"})) == []
    for answer in (
        client.get(f"{URL}{theirs.pk}/"),
        client.post(f"{URL}{theirs.pk}/cancel/", {}, format="json"),
    ):
        assert answer.status_code == 404
    theirs.refresh_from_db()
    assert theirs.status == Status.PLACED
    assert client.get(f"{URL}{mine.pk}/").status_code == 200


def test_staff_sees_every_channels_orders(channel, staff):
    other_channel, _ = shop("shop")
    place(channel)
    theirs = place(other_channel, external_id="S-1")
    assert ids(staff.get(URL)) == ["S-1", "W-1"]
    assert ids(staff.get(URL, {"channel": "web"})) == ["W-1"]
    assert staff.get(f"{URL}{theirs.pk}/").json()["channel"] == "shop"


@pytest.mark.parametrize(
    ("action", "sent"),
    [("cancel", {}), ("cancel", {"lines": [{"sku": "A", "quantity": 1}]}), ("confirm", {})],
)
def test_staff_needs_the_right_to_change_an_order(channel, staff, action, sent):
    order = place(channel, confirm_by=(timezone.now() + timedelta(hours=1)).isoformat())
    answer = staff.post(f"{URL}{order.pk}/{action}/", sent, format="json")
    assert answer.status_code == 403
    assert "orders.change_order" in answer.json()["errors"][0]["reason"]
    assert names(order.pk) == ["placed"]
    right = Permission.objects.get(codename="change_order")
    User.objects.get(username="clerk").user_permissions.add(right)
    assert staff.post(f"{URL}{order.pk}/{action}/", sent, format="json").status_code == 200
    assert len(names(order.pk)) == 2


def test_staff_that_is_a_channel_changes_its_own_orders_only(client, channel):
    other_channel, _ = shop("shop")
    mine, theirs = place(channel), place(other_channel, external_id="S-1")
    User.objects.filter(channel=channel).update(is_staff=True)
    assert client.post(f"{URL}{theirs.pk}/cancel/").status_code == 403
    assert client.post(f"{URL}{mine.pk}/cancel/").status_code == 200


def test_the_right_to_change_orders_does_not_make_staff(channel, django_user_model):
    order = place(channel)
    somebody = django_user_model.objects.create_user("somebody")
    somebody.user_permissions.add(Permission.objects.get(codename="change_order"))
    assert client_of(somebody).post(f"{URL}{order.pk}/cancel/").status_code == 403


def test_staff_without_a_channel_places_nothing(staff, channel):
    for url in (URL, BULK):
        assert staff.post(url, body(), format="json").status_code == 403
    assert rows() == [0, 0, 0, 0]


def test_the_list_can_be_narrowed_by_status(client, channel):
    place(channel)
    order = place(channel, external_id="W-2")
    consume([reserved(order, {1: 4})])
    assert ids(client.get(URL, {"status": "reserved"})) == ["W-2"]
    assert ids(client.get(URL, {"status": "placed", "channel": "web"})) == ["W-1"]
    assert ids(client.get(URL, {"status": "delivered"})) == []
    assert ids(client.get(URL, {"status": "", "channel": ""})) == ["W-2", "W-1"]


def pages(client, between=lambda: None):
    page = client.get(URL, {"page_size": 3})
    yield ids(page)
    between()
    while following := page.json()["next"]:
        page = client.get(following)
        yield ids(page)


def test_pages_hold_each_order_once_though_new_ones_come_in(client, channel):
    for number in range(7):
        place(channel, external_id=f"W-{number}")
    seen = pages(client, between=lambda: place(channel, external_id="late"))
    assert list(seen) == [["W-6", "W-5", "W-4"], ["W-3", "W-2", "W-1"], ["W-0"]]


def test_pages_hold_each_order_once_though_all_came_in_one_moment(client, channel):
    for number in range(7):
        place(channel, external_id=f"W-{number}")
    Order.objects.update(placed_at=NOON)
    assert list(pages(client)) == [["W-6", "W-5", "W-4"], ["W-3", "W-2", "W-1"], ["W-0"]]


def test_a_page_takes_as_many_statements_for_many_orders_as_for_one(client, channel):
    place(channel)
    one = statements(lambda: client.get(URL))
    for number in range(2, 20):
        place(channel, external_id=f"W-{number}")
    assert statements(lambda: client.get(URL)) == one


# --- cancelling ---------------------------------------------------------------------------


def test_an_order_is_cancelled_once_however_often_asked(client, channel):
    order = place(channel)
    url = f"{URL}{order.pk}/cancel/"
    first = client.post(url, {"reason": "changed my mind"}, format="json")
    again = client.post(url)
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["status"] == again.json()["status"] == "cancelled"
    assert again.json()["history"][1]["reason"] == "changed my mind (channel-web)"
    assert len(again.json()["history"]) == 2
    placed, cancelled = told(order.pk)
    assert (cancelled.sequence, cancelled.data["reason"]) == (2, "changed my mind")
    assert cancelled.correlation_id == placed.correlation_id


def test_the_longest_reason_is_kept_in_history(client, channel):
    order = place(channel)
    answer = client.post(f"{URL}{order.pk}/cancel/", {"reason": "x" * 200}, format="json")
    assert answer.json()["history"][1]["reason"].startswith("x" * 200)


@pytest.mark.parametrize("steps", [("planned",), ()])
def test_what_has_not_left_can_be_cancelled(client, channel, steps):
    order = place(channel)
    consume([reserved(order, {1: 4}), *drive(order, *steps)])
    assert client.post(f"{URL}{order.pk}/cancel/").status_code == 200


@pytest.mark.parametrize(
    "steps",
    [
        ("planned", "dispatched"),
        ("planned", "dispatched", "failed"),
        ("planned", "dispatched", "delivered"),
        ("planned", "dispatched", "failed", "returned"),
    ],
    ids=lambda steps: steps[-1],
)
def test_too_late_is_a_conflict_and_changes_nothing(client, channel, steps):
    order = place(channel)
    consume([reserved(order, {1: 4}), *drive(order, *steps)])
    before, last = rows(), Order.objects.get().status
    answer = client.post(f"{URL}{order.pk}/cancel/")
    assert answer.status_code == 409
    assert "can no longer be cancelled" in answer.json()["errors"][0]["reason"]
    assert (rows(), Order.objects.get().status) == (before, last)


@pytest.mark.parametrize("last", ["dispatched", "failed", "delivered"])
def test_an_order_of_which_a_part_has_left_can_not_be_cancelled(client, channel, last):
    order = place(channel)
    steps = ["planned", "dispatched"] + ([last] if last != "dispatched" else [])
    consume([reserved(order, {1: 3, 2: 1}), *drive(order, *steps)])
    assert Order.objects.get().status == Status.RESERVED
    answer = client.post(f"{URL}{order.pk}/cancel/")
    assert answer.status_code == 409
    assert "A part of the order has left" in answer.json()["errors"][0]["reason"]


# --- in bulk ------------------------------------------------------------------------------


def test_each_item_of_a_bulk_is_answered_on_its_own(client):
    bodies = [
        body(),
        body(external_id="W-2", lines__0__quantity=0),
        body(),
        body(currency="EUR"),
        body(external_id="W-3", lines__1__sku="nope"),
        "not an order",
        body(external_id="W-4"),
    ]
    answer = client.post(BULK, {"orders": bodies}, format="json")
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [item["index"] for item in results] == list(range(7))
    assert [item["status"] for item in results] == [
        "created",
        "refused",
        "existing",
        "conflict",
        "refused",
        "refused",
        "created",
    ]
    assert results[0]["id"] == results[2]["id"] != results[6]["id"]
    fields = [[error["field"] for error in item["errors"]] for item in results]
    assert fields == [
        [],
        ["lines[0].quantity"],
        [],
        ["external_id"],
        ["lines[1].sku"],
        ["body"],
        [],
    ]
    assert sorted(Order.objects.values_list("external_id", flat=True)) == ["W-1", "W-4"]
    for order in Order.objects.all():
        assert [(e.event_type, e.sequence) for e in told(order.pk)] == [("orders.order_placed", 1)]


def test_a_bulk_again_finds_all_it_made(client):
    bodies = [body(external_id=f"W-{n}") for n in range(500)]
    first = client.post(BULK, {"orders": bodies}, format="json").json()["results"]
    before = rows()
    again = client.post(BULK, {"orders": bodies[::-1]}, format="json").json()["results"]
    assert {item["status"] for item in first} == {"created"}
    assert {item["status"] for item in again} == {"existing"}
    assert [item["id"] for item in again] == [item["id"] for item in first][::-1]
    assert rows() == before == [500, 1000, 500, 500]


def test_each_order_of_a_bulk_has_a_journey_of_its_own(client):
    bodies = [body(), body(external_id="W-2")]
    client.post(BULK, {"orders": bodies}, format="json", headers={"X-Correlation-ID": "shop"})
    assert len(set(Order.objects.values_list("correlation_id", flat=True))) == 2


def test_a_bulk_takes_as_many_statements_for_many_orders_as_for_two(client):
    def needed(numbers):
        bodies = [body(external_id=f"W-{n}") for n in numbers]
        return statements(lambda: client.post(BULK, {"orders": bodies}, format="json"))

    assert needed(range(2)) == needed(range(10, 200))


@pytest.mark.parametrize(
    "sent", [{}, [], {"orders": []}, {"orders": {}}, {"orders": [None] * 501}, {"orders": "x"}]
)
def test_a_bulk_must_be_a_list_of_1_to_500(client, sent):
    answer = client.post(BULK, sent, format="json")
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert error == {"field": "orders", "reason": "A list of 1 to 500 orders is required."}


def test_a_service_call_says_what_is_taken(channel):
    place(channel)
    with pytest.raises(services.ExternalIdTaken, match="'W-1' is taken"):
        place(channel, currency="EUR")
