"""The admin's pages: to look at, and to cancel by the service alone."""

import pytest
from django.contrib.auth.models import Permission, User

from orders.models import Channel, Order
from supplychain.events.context import new_id

from .conftest import consume, drive, names, place, reserved, shop

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
LIST = "/admin/orders/order/"


@pytest.fixture
def orders(web):
    channel, _ = web
    other, _ = shop("shop")
    made = [
        place(channel),
        place(channel, external_id="W-2", customer__name="Bob", customer__email="bob@example.org"),
        place(other, external_id="S-1", ship_to__country="FR"),
    ]
    consume([reserved(made[1], {1: 4}), *drive(made[1], "planned", "dispatched")])
    return made


def clerk(client, *codenames):
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return client


@pytest.fixture
def browser():
    from django.test import Client

    return Client()


def cancel(client, *chosen):
    data = {"action": "cancel", "_selected_action": [str(order.pk) for order in chosen]}
    return client.post(LIST, data, follow=True)


def said(page):
    return [str(message) for message in page.context["messages"]]


def statuses():
    return dict(Order.objects.values_list("external_id", "status"))


def test_orders_are_listed_filtered_and_found(admin_client, orders):
    channel = Channel.objects.get(code="shop")
    for query, found in {
        "": ["S-1", "W-2", "W-1"],
        "?status__exact=dispatched": ["W-2"],
        f"?channel__id__exact={channel.pk}": ["S-1"],
        "?country=FR": ["S-1"],
        "?placed_at__year=2001": [],
        "?q=W-1": ["W-1"],
        "?q=bob@example.org": ["W-2"],
        "?q=O'Neill": ["S-1", "W-1"],
        f"?q={orders[0].pk}": ["W-1"],
        f"?q={orders[1].correlation_id.split()[1]}": [],
        "?q=nothing": [],
        f"?q={new_id()}": [],
    }.items():
        page = admin_client.get(LIST + query)
        assert page.status_code == 200, query
        assert [row.external_id for row in page.context["cl"].result_list] == found, query


def test_an_order_is_found_by_its_journey(admin_client, orders):
    Order.objects.filter(pk=orders[0].pk).update(correlation_id="shop/17")
    page = admin_client.get(LIST + "?q=shop/17")
    assert [row.external_id for row in page.context["cl"].result_list] == ["W-1"]


def test_an_order_shows_its_lines_shipments_and_history(admin_client, orders):
    text = admin_client.get(f"{LIST}{orders[1].pk}/change/").content.decode()
    for shown in ("Bob", "3 × A", "Dispatched", "W1", "Partially" not in text and "Reserved"):
        assert shown in text
    assert "_save" not in text


def test_an_order_can_be_neither_added_nor_changed_nor_deleted(admin_client, orders):
    order = orders[0]
    assert admin_client.get(LIST + "add/").status_code == 403
    assert admin_client.post(f"{LIST}{order.pk}/change/", {"status": "returned"}).status_code == 403
    assert admin_client.post(f"{LIST}{order.pk}/delete/", {"post": "yes"}).status_code == 403
    assert statuses()["W-1"] == "placed"


def test_cancelling_goes_through_the_service(admin_client, orders):
    page = cancel(admin_client, *orders)
    assert statuses() == {"W-1": "cancelled", "W-2": "dispatched", "S-1": "cancelled"}
    refusal = "W-2: The order is dispatched and can no longer be cancelled."
    assert said(page) == [refusal, "2 orders cancelled."]
    assert names(orders[0].pk) == ["placed", "cancelled"]
    assert orders[0].history.last().reason == "by staff (admin)"
    assert names(orders[1].pk)[-1] == "dispatched"


def test_cancelling_needs_the_right(browser, orders):
    viewer = clerk(browser, "view_order")
    assert viewer.get(LIST).status_code == 200
    assert said(cancel(viewer, orders[0])) == ["You may not change orders."]
    assert statuses()["W-1"] == "placed"


def test_who_may_change_orders_may_cancel(browser, orders):
    changer = clerk(browser, "view_order", "change_order")
    assert said(cancel(changer, orders[0])) == ["1 orders cancelled."]
    assert orders[0].history.last().reason == "by staff (clerk)"


def test_who_may_see_nothing_sees_nothing(browser, orders):
    nobody = clerk(browser)
    assert nobody.get(LIST).status_code == 403
    assert cancel(nobody, orders[0]).status_code == 403
    assert statuses()["W-1"] == "placed"


def test_channels_and_the_catalogue_have_pages(admin_client, orders):
    channel = Channel.objects.get(code="web")
    for path in (
        "channel/?q=web",
        "channel/?active__exact=1",
        f"channel/{channel.pk}/change/",
        "channel/add/",
        "catalogueitem/?q=A",
        "catalogueitem/?active__exact=0",
        "catalogueitem/A/change/",
    ):
        assert admin_client.get(f"/admin/orders/{path}").status_code == 200, path
    assert admin_client.get("/admin/orders/catalogueitem/add/").status_code == 403


def test_a_channel_is_switched_off_in_the_admin(admin_client, web):
    channel, client = web
    form = {"code": "web", "name": "Web shop", "user": channel.user_id}
    admin_client.post(f"/admin/orders/channel/{channel.pk}/change/", form)
    assert client.get("/api/v1/orders/").status_code == 403
