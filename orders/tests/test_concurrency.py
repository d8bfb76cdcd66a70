"""What happens at once, on connections of their own."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from django.db import connection, transaction
from django.utils import timezone
from rest_framework.authtoken.models import Token

from conftest import eventually
from orders import changing, saga, services
from orders.models import CatalogueItem, Order, OrderLine, Status
from orders.serializers import OrderIn

from .conftest import URL, at_once, body, drive, names, place, product, reserved, rows, told

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
CONNECTIONS = 16


def checked(**fields):
    order = OrderIn(data=body(**fields), context={"orderable": {"A", "B"}})
    order.is_valid(raise_exception=True)
    return order.validated_data


def post(address, token, content, url=URL):
    """One request on a connection of its own."""
    http = HTTPConnection(address, timeout=60)
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    http.request("POST", url, json.dumps(content), headers)
    answer = http.getresponse()
    result = answer.status, json.loads(answer.read())
    http.close()
    return result


def test_the_same_order_from_sixteen_connections_is_one_order(web, live_server):
    channel, _ = web
    address = urlsplit(live_server.url).netloc
    token = Token.objects.get(user=channel.user).key
    for number in range(3):
        content = body(external_id=f"W-{number}")
        answers = at_once(*[lambda c=content: post(address, token, c)] * CONNECTIONS)
        assert sorted(code for code, _ in answers) == [200] * (CONNECTIONS - 1) + [201]
        [order] = Order.objects.filter(external_id=f"W-{number}")
        assert {answer["id"] for _, answer in answers} == {str(order.pk)}
        assert [e.sequence for e in told(order.pk)] == [1]
    assert rows() == [3, 6, 3, 3]


def test_sixteen_different_orders_for_one_external_id_are_one_order(web, live_server):
    channel, _ = web
    address = urlsplit(live_server.url).netloc
    token = Token.objects.get(user=channel.user).key
    contents = [body(lines__0__quantity=n) for n in range(1, CONNECTIONS + 1)]
    answers = at_once(*[lambda c=c: post(address, token, c) for c in contents])
    assert sorted(code for code, _ in answers) == [201] + [409] * (CONNECTIONS - 1)
    [made] = [answer for code, answer in answers if code == 201]
    assert OrderLine.objects.filter(order_id=made["id"]).count() == 2
    assert rows() == [1, 2, 1, 1]


def test_an_order_is_cancelled_once_by_many(channel):
    order = place(channel)
    cancel = lambda: changing.cancel_order(order_id=order.pk, reason="", by="web")  # noqa: E731
    results = at_once(*[cancel] * CONNECTIONS)
    assert {getattr(result, "status", result) for result in results} == {Status.CANCELLED}
    assert names(order.pk) == ["placed", "cancelled"]


def waits_for_a_lock():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return cursor.fetchone()[0]


def behind(transaction_of_mine, action):
    """Let an action run into a transaction that then commits; gives what it gave or raised."""
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            transaction_of_mine()
            other = pool.submit(at_once, action)
            eventually(waits_for_a_lock)
        [result] = other.result(60)
    return result


def test_bulks_that_share_orders_do_not_lock_each_other_out(channel):
    """The middle one is held back until both bulks stand before it, each with its first."""

    def call(*external_ids):
        bodies = [checked(external_id=external_id) for external_id in external_ids]
        journeys = list(external_ids)
        return lambda: services.place_orders(
            channel=channel, bodies=bodies, correlation_ids=journeys
        )

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            place(channel, external_id="M")
            bulks = pool.submit(at_once, call("A", "M", "Z"), call("Z", "M", "A"))
            eventually(lambda: waits_for_a_lock() == 2)
            transaction.set_rollback(True)
        results = bulks.result(60)
    for result in results:
        assert not isinstance(result, Exception), result
    assert sorted(sum(placed.created for placed in result) for result in results) == [0, 3]
    assert rows() == [3, 6, 3, 3]


def test_a_cancellation_that_waited_sees_that_the_order_has_left(channel):
    order = place(channel)
    news = [reserved(order, {1: 4}), *drive(order, "planned", "dispatched")]
    result = behind(
        lambda: saga.advance(events=[envelope.open() for envelope in news]),
        lambda: changing.cancel_order(order_id=order.pk, reason="", by="web"),
    )
    assert isinstance(result, changing.OrderNotCancellable)
    assert names(order.pk)[-1] == "dispatched"


def test_news_that_waited_see_that_the_order_is_cancelled(channel):
    order = place(channel)
    result = behind(
        lambda: changing.cancel_order(order_id=order.pk, reason="", by="web"),
        lambda: saga.advance(events=[reserved(order, {1: 4}).open()]),
    )
    assert result is None
    assert names(order.pk) == ["placed", "cancelled"]
    assert [e.sequence for e in told(order.pk)] == [1, 2]


@pytest.mark.parametrize("known", [True, False])
def test_older_news_of_a_product_that_waited_do_not_win(db, known):
    if known:
        services.keep_catalogue(changes=[product("C", 1, name="1").open()])
    result = behind(
        lambda: services.keep_catalogue(changes=[product("C", 3, name="new").open()]),
        lambda: services.keep_catalogue(changes=[product("C", 2, name="old").open()]),
    )
    assert result is None
    assert CatalogueItem.objects.get().name == "new"


def test_catalogue_news_in_any_order_wait_for_each_other(db):
    skus = [f"C-{n:03}" for n in range(200)]
    calls = [
        lambda some=some, n=n: services.keep_catalogue(
            changes=[product(sku, n, name=str(n)).open() for sku in some]
        )
        for n, some in enumerate([skus, skus[::-1], skus, skus[::-1]], start=1)
    ]
    assert at_once(*calls) == [None] * 4
    assert set(CatalogueItem.objects.values_list("name", flat=True)) == {"4"}
    assert threading.active_count() < 50


def test_an_order_is_confirmed_once_by_many(channel):
    order = place(channel, confirm_by=(timezone.now() + timedelta(hours=1)).isoformat())
    confirm = lambda: changing.confirm_order(order_id=order.pk, by="web")  # noqa: E731
    results = at_once(*[confirm] * CONNECTIONS)
    assert len({getattr(result, "confirmed_at", result) for result in results}) == 1
    assert names(order.pk) == ["placed", "confirmed"]
    assert order.history.count() == 2


@pytest.mark.parametrize("turn", range(4))
def test_confirmed_cut_and_cancelled_at_once_all_tell_one_story(web, live_server, turn):
    """Whoever comes first: what is answered 200 has happened, in the order in which it is told."""
    channel, _ = web
    address = urlsplit(live_server.url).netloc
    token = Token.objects.get(user=channel.user).key
    order = place(channel, confirm_by=(timezone.now() + timedelta(hours=1)).isoformat())
    path = f"{URL}{order.pk}/"
    one = {"lines": [{"sku": "A", "quantity": 1}]}
    asked = [("confirm/", {}), ("cancel/", one), ("cancel/", one), ("confirm/", {})]
    if turn % 2:
        asked.append(("cancel/", {}))
    results = at_once(*[lambda a=a: post(address, token, a[1], path + a[0]) for a in asked])
    answers = [code for code, _ in results]
    assert set(answers) <= {200, 409}
    order.refresh_from_db()
    said, envelopes = names(order.pk), told(order.pk)
    assert [e.sequence for e in envelopes] == list(range(1, len(said) + 1))
    assert (
        ("confirmed" in said)
        == (order.confirmed_at is not None)
        == (200 in (answers[0], answers[3]))
    )
    cut = said.count("lines_cancelled")
    assert order.cancelled_quantity == cut == OrderLine.objects.get(order=order, sku="A").cancelled
    assert cut == answers[1:3].count(200)
    if turn % 2:
        assert (said[-1], order.status, answers[4]) == ("cancelled", Status.CANCELLED, 200)
    else:
        assert (answers, said.count("confirmed"), order.wanted) == ([200] * 4, 1, 2)
