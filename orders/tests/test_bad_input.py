"""What a channel must not send: each is answered 4xx with fields and reasons, and leaves nothing
behind. The test client raises whatever would be a 500."""

import base64
import json

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import RequestFactory
from rest_framework.test import APIClient

from orders.models import CatalogueItem, Channel, Order
from supplychain.events.context import new_id

from .conftest import BULK, URL, body, client_of, client_with, place, rows, stocked, without

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
NOTHING = [0, 0, 0, 0]
MANY_DIGITS = "9" * 4000


def refusal(answer, status=400):
    """The fields that an answer names, after a look at its shape."""
    assert answer.status_code == status, answer.content[:500]
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json()) == ["errors"]
    for error in answer.json()["errors"]:
        assert list(error) == ["field", "reason"]
        assert error["reason"].strip()
    return [error["field"] for error in answer.json()["errors"]]


def send(client, text, url=URL, **extra):
    """Post a body as it stands; json.dumps would not write what some of these are."""
    content = text.encode() if isinstance(text, str) else text
    return client.post(url, content, content_type="application/json", **extra)


def with_raw(path, literal):
    """A good body with one value written as this very JSON text."""
    return json.dumps(body(**{path: "@@"})).replace('"@@"', literal)


# --- not JSON, or not an order ------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b'{"external_id": "W-1"',
        b"nonsense",
        b"\xff\xfe\x00",
        json.dumps(body()).encode("utf-16"),
        json.dumps(body(customer__name="Andr\u00e9"), ensure_ascii=False).encode("latin-1"),
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"external_id": ' + b"1" * 5000 + b"}",
        with_raw("ship_to__latitude", "NaN").encode(),
        with_raw("ship_to__longitude", "-Infinity").encode(),
        with_raw("lines__0__unit_price", "Infinity").encode(),
        b"\x00",
        b"   ",
    ],
    ids=range(15),
)
@pytest.mark.parametrize("url", [URL, BULK])
def test_what_is_not_json_is_refused(client, url, content):
    assert refusal(send(client, content, url)) == ["body"]
    assert rows() == NOTHING


@pytest.mark.parametrize("content", ["null", "[]", "[1]", '"order"', "5", "true", "1e999"])
def test_what_is_not_an_object_is_refused(client, content):
    assert refusal(send(client, content)) == ["body"]
    assert rows() == NOTHING


@pytest.mark.parametrize("content", ["", "{}"])
def test_an_order_of_nothing_names_all_that_is_missing(client, content):
    fields = refusal(send(client, content))
    assert fields == ["external_id", "customer", "ship_to", "lines", "currency"]
    assert rows() == NOTHING


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("external_number", "external_number"),
        ("customer__fax", "customer.fax"),
        ("ship_to__lattitude", "ship_to.lattitude"),
        ("lines__1__price", "lines[1].price"),
        ("confirmed_at", "confirmed_at"),
        ("status", "status"),
        ("\ud800", "\\ud800"),
        ("\0", "\0"),
        ("", "body"),
        ("x" * 5000, "x" * 80),
    ],
    ids=range(10),
)
def test_a_field_that_nobody_reads_is_named(client, path, field):
    sent = json.dumps(body(**{path: 1}))
    answer = send(client, sent)
    assert refusal(answer) == [field]
    assert answer.json()["errors"][0]["reason"] == "There is no such field."
    [item] = send(client, f'{{"orders": [{sent}]}}', BULK).json()["results"]
    assert (item["status"], item["errors"]) == ("refused", answer.json()["errors"])
    assert rows() == NOTHING


def test_a_field_that_nobody_reads_is_named_beside_what_else_is_wrong(client):
    wrong = body(currency="euro", colour="red", lines__0__quantity=0, lines__0__colour="red")
    fields = refusal(client.post(URL, wrong, format="json"))
    assert fields == ["lines[0].quantity", "lines[0].colour", "currency", "colour"]


def test_of_many_fields_that_nobody_reads_the_first_are_named(client):
    many = {f"f{n}": n for n in range(1000)}
    fields = refusal(client.post(URL, body(**many), format="json"))
    assert fields == [f"f{n}" for n in range(5)]


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"lines": [{"sku": "A", "quantity": 1, "unit_price": "1.50"}]}, "lines[0].unit_price"),
        ({"line": [{"sku": "A", "quantity": 1}]}, "line"),  # else it would cancel all
    ],
)
def test_a_misspelt_cancellation_cancels_nothing(client, channel, sent, field):
    order = place(channel)
    answer = client.post(f"{URL}{order.pk}/cancel/", sent, format="json")
    assert refusal(answer) == [field]
    assert Order.objects.get().status == "placed"


def test_a_confirmation_and_a_bulk_say_nothing_more(client, channel):
    order = place(channel)
    assert refusal(client.post(f"{URL}{order.pk}/confirm/", {"by": 1}, format="json")) == ["by"]
    bulk = {"orders": [body(external_id="W-2")], "dry_run": True}
    assert refusal(client.post(BULK, bulk, format="json")) == ["dry_run"]
    assert Order.objects.count() == 1


@pytest.mark.parametrize("charset", ["hex", "zlib", "rot13", "utf-16", "undefined", "nonsense"])
def test_a_charset_makes_no_difference(client, charset):
    declared = f"application/json; charset={charset}"
    answer = client.post(URL, json.dumps(body()).encode(), content_type=declared)
    assert answer.status_code == 201
    answer = client.post(URL, b"\xff" * 100, content_type=declared)
    assert refusal(answer) == ["body"]


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"],
)
@pytest.mark.parametrize("url", [URL, BULK])
def test_another_content_type_is_refused(client, url, content_type):
    answer = client.post(url, json.dumps(body()), content_type=content_type)
    assert refusal(answer, 415) == ["Content-Type"]
    assert rows() == NOTHING


@pytest.mark.parametrize("url", [URL, BULK])
def test_five_megabytes_are_refused_unread(client, url):
    large = body(customer__name="x" * 5_000_000)
    answer = send(client, json.dumps({"orders": [large]} if url == BULK else large), url)
    assert refusal(answer, 413) == ["body"]
    assert "2,500,000 bytes" in answer.json()["errors"][0]["reason"]
    assert rows() == NOTHING


# --- fields -------------------------------------------------------------------------------

_TEXTS = [
    "external_id",
    "customer__name",
    "customer__phone",
    "ship_to__address",
    "ship_to__city",
    "ship_to__region",
    "ship_to__postal_code",
    "lines__0__sku",
]
_PATTERNED = ["customer__email", "ship_to__country", "currency"]
_NO_TEXT = ["5", "1e400", "true", "[]", "{}", '["x"]', "null", '"a\\u0000b"', '"\\ud800"']


def dotted(path):
    """``lines__0__sku`` as the answer writes it: ``lines[0].sku``."""
    return path.replace("__0__", "[0].").replace("__", ".")


@pytest.mark.parametrize("path", _TEXTS + _PATTERNED)
@pytest.mark.parametrize("literal", [*_NO_TEXT, f'"{"x" * 300}"', MANY_DIGITS])
def test_a_text_must_be_a_text(client, path, literal):
    assert set(refusal(send(client, with_raw(path, literal)))) == {dotted(path)}
    assert rows() == NOTHING


@pytest.mark.parametrize(
    "path", sorted({*_TEXTS, *_PATTERNED} - {"customer__phone", "ship_to__region"})
)
@pytest.mark.parametrize("literal", ['""', '"   "', '"\\n"'])
def test_a_text_must_say_something(client, path, literal):
    assert set(refusal(send(client, with_raw(path, literal)))) == {dotted(path)}
    assert rows() == NOTHING


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("customer__email", "ada"),
        ("customer__email", "ada@"),
        ("customer__email", "ada@example.org\nBcc: eve@example.org"),
        ("ship_to__country", "gb"),
        ("ship_to__country", "GBR"),
        ("ship_to__country", "G1"),
        ("currency", "gbp"),
        ("currency", "£"),
    ],
)
def test_a_text_must_have_its_form(client, path, value):
    assert refusal(client.post(URL, body(**{path: value}), format="json")) == [dotted(path)]
    assert rows() == NOTHING


@pytest.mark.parametrize(
    "path",
    [
        "external_id",
        "customer",
        "customer__name",
        "customer__email",
        "ship_to",
        "ship_to__address",
        "ship_to__city",
        "ship_to__postal_code",
        "ship_to__country",
        "ship_to__latitude",
        "ship_to__longitude",
        "lines",
        "lines__0__sku",
        "lines__0__quantity",
        "lines__0__unit_price",
        "currency",
    ],
)
def test_what_is_missing_is_named(client, path):
    assert refusal(client.post(URL, without(path), format="json")) == [dotted(path)]
    assert rows() == NOTHING


@pytest.mark.parametrize("path", ["customer", "ship_to"])
@pytest.mark.parametrize("literal", ["null", "[]", '"x"', "5", "[{}]"])
def test_an_object_must_be_an_object(client, path, literal):
    assert refusal(send(client, with_raw(path, literal))) == [path]
    assert rows() == NOTHING


@pytest.mark.parametrize("path", ["ship_to__latitude", "ship_to__longitude"])
@pytest.mark.parametrize(
    "literal",
    ["null", '"53"', "true", "[]", "{}", "181", "-180.001", "1e400", "-1e400", MANY_DIGITS],
)
def test_a_coordinate_must_be_on_earth(client, path, literal):
    assert refusal(send(client, with_raw(path, literal))) == [dotted(path)]
    assert rows() == NOTHING


@pytest.mark.parametrize(
    "literal",
    [
        "0",
        "-1",
        "1000001",
        "1.0",
        "1.5",
        "1e3",
        "1e400",
        '"3"',
        "true",
        "null",
        "[]",
        "{}",
        MANY_DIGITS,
    ],
)
def test_a_quantity_must_be_a_sensible_whole_number(client, literal):
    answer = send(client, with_raw("lines__0__quantity", literal))
    assert refusal(answer) == ["lines[0].quantity"]
    assert rows() == NOTHING


@pytest.mark.parametrize(
    "literal",
    [
        "-0.01",
        "0.001",
        "1e400",
        "1e10",
        '"1e400"',
        '"1e999999999999"',
        '"1e-999999999999"',
        "10000000000",
        MANY_DIGITS,
        '"NaN"',
        '"sNaN"',
        '"Infinity"',
        '"ten"',
        '""',
        '"\\u0000"',
        '"\\ud800"',
        "true",
        "null",
        "[1]",
        '{"amount": 1}',
        "[" * 900 + "]" * 900,
    ],
    ids=lambda literal: literal[:20],
)
def test_a_price_must_be_an_amount(client, literal):
    answer = send(client, with_raw("lines__0__unit_price", literal))
    assert refusal(answer) in (["lines[0].unit_price"], ["body"])
    assert rows() == NOTHING


def test_a_total_beyond_what_can_be_kept_is_refused(client):
    most = {"quantity": 1_000_000, "unit_price": "9999999999.99"}
    sent = body(lines=[{"sku": "A", **most}, {"sku": "B", **most}])
    assert refusal(client.post(URL, sent, format="json")) == ["lines"]
    assert rows() == NOTHING


def test_the_greatest_order_is_placed(client):
    most = {"quantity": 1_000_000, "unit_price": "9999999999.99"}
    sent = body(lines=[{"sku": "A", **most}], external_id="x" * 80, customer__name="x" * 120)
    answer = client.post(URL, sent, format="json")
    assert (answer.status_code, answer.json()["total"]) == (201, "9999999999990000.00")


# --- lines --------------------------------------------------------------------------------


@pytest.mark.parametrize("literal", ["null", "{}", "[]", '"A"', "5", '{"0": {}}'])
def test_lines_must_be_a_list_of_some(client, literal):
    assert refusal(send(client, with_raw("lines", literal))) == ["lines"]
    assert rows() == NOTHING


@pytest.mark.parametrize("literal", ["null", "[]", '"A"', "5", "[[]]"])
def test_a_line_must_be_an_object(client, literal):
    fields = refusal(send(client, with_raw("lines__1", literal)))
    assert fields == ["lines[1]"]
    assert rows() == NOTHING


def test_each_bad_line_is_named(client):
    lines = [dict(line) for line in body()["lines"]]
    sent = body(lines=[lines[0], {"sku": "B"}, {**lines[1], "quantity": 0, "sku": "C"}])
    assert refusal(client.post(URL, sent, format="json")) == [
        "lines[1].quantity",
        "lines[1].unit_price",
        "lines[2].sku",
        "lines[2].quantity",
    ]
    assert rows() == NOTHING


@pytest.mark.parametrize("count", [501, 10_000])
def test_too_many_lines_are_refused(client, count):
    lines = [{"sku": f"S-{n}", "quantity": 1, "unit_price": 1} for n in range(count)]
    assert refusal(client.post(URL, body(lines=lines), format="json")) == ["lines"]
    assert rows() == NOTHING


def test_five_hundred_lines_are_not_too_many(client):
    stocked(*(f"S-{n}" for n in range(500)))
    lines = [{"sku": f"S-{n}", "quantity": 1, "unit_price": 1} for n in range(500)]
    assert client.post(URL, body(lines=lines), format="json").status_code == 201


@pytest.mark.parametrize("sku", ["A", " A "])
def test_a_product_stands_in_one_line_only(client, sku):
    answer = client.post(URL, body(lines__1__sku=sku), format="json")
    assert refusal(answer) == ["lines[1].sku"]
    assert "lines[0]" in answer.json()["errors"][0]["reason"]
    assert rows() == NOTHING


@pytest.mark.parametrize(
    "sku", ["nope", "a", "A\u200b", "\u00adA", "A\x01", "A\x7fB", "\U000e0041"]
)
def test_an_unknown_product_is_refused(client, sku):
    answer = client.post(URL, body(lines__0__sku=sku), format="json")
    assert refusal(answer) == ["lines[0].sku"]
    assert "no active product" in answer.json()["errors"][0]["reason"]
    assert rows() == NOTHING


def test_a_product_that_is_no_longer_sold_is_refused(client):
    CatalogueItem.objects.filter(sku="A").update(active=False)
    assert refusal(client.post(URL, body(), format="json")) == ["lines[0].sku"]
    assert rows() == NOTHING


# --- the window ---------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["requested_from", "requested_until"])
@pytest.mark.parametrize(
    "literal",
    [
        '"tomorrow"',
        '"2026-02-30T12:00:00Z"',
        '"2026-05-04T25:00:00Z"',
        '"0001-01-01T00:00:00+14:00"',
        '"9999-12-31T23:59:59-12:00"',
        '"10000-01-01T00:00:00Z"',
        '"0000-01-01T00:00:00Z"',
        '"-0001-01-01T00:00:00Z"',
        '"2026-05-04T12:00:00+99:00"',
        '"\\u0000"',
        '"\\ud800"',
        '""',
        "1777896000",
        "true",
        "[]",
        "{}",
    ],
)
def test_a_window_must_be_dates(client, field, literal):
    assert refusal(send(client, with_raw(field, literal))) == [field]
    assert rows() == NOTHING


@pytest.mark.parametrize("end", ["2026-05-04T12:00:00Z", "2026-05-04T12:30:00+01:00"])
def test_a_window_must_not_end_before_it_begins(client, end):
    sent = body(requested_from="2026-05-04T12:00:00Z", requested_until=end)
    assert refusal(client.post(URL, sent, format="json")) == ["requested_until"]
    assert rows() == NOTHING


# --- credentials --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Token",
        "Token x",
        "Token a b",
        "Token \u00e9",
        "Bearer x",
        "Token " + "x" * 5000,
        "Basic YTpi",
        "Token ' OR 1=1 --",
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_an_unknown_token_is_refused(client, header, method):
    stranger = APIClient()
    if header is not None:
        stranger.credentials(HTTP_AUTHORIZATION=header)
    for url in (URL, f"{URL}{new_id()}/", BULK, f"{URL}{new_id()}/cancel/"):
        answer = getattr(stranger, method)(url, body(), format="json")
        assert refusal(answer, 401) == ["Authorization"]
    assert rows() == NOTHING


def test_a_user_without_a_channel_is_refused(client):
    stranger = client_of(User.objects.create_user("bob"))
    for answer in (stranger.get(URL), stranger.post(URL, body(), format="json")):
        refusal(answer, 403)
    assert rows() == NOTHING


def test_an_inactive_channel_is_refused(client, channel):
    order = place(channel)
    before = rows()
    Channel.objects.update(active=False)
    for answer in (
        client.get(URL),
        client.post(URL, body(external_id="W-2"), format="json"),
        client.post(BULK, {"orders": [body(external_id="W-2")]}, format="json"),
        client.get(f"{URL}{order.pk}/"),
        client.post(f"{URL}{order.pk}/cancel/"),
    ):
        refusal(answer, 403)
    assert rows() == before


def test_an_inactive_user_is_refused(client, channel):
    User.objects.filter(pk=channel.user_id).update(is_active=False)
    assert refusal(client.post(URL, body(), format="json"), 401) == ["Authorization"]
    assert rows() == NOTHING


def test_a_browser_session_needs_its_csrf_token(client, channel):
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(channel.user)
    refusal(browser.post(URL, body(), format="json"), 403)
    assert rows() == NOTHING


# --- addresses, methods, queries ----------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["abc/", "1/", "%00/", f"{'f' * 36}/", "0192-0000/", "bulk/x/", "../secret/", "%ff/cancel/"],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_what_is_no_id_is_not_found(client, path, method):
    refusal(getattr(client, method)(URL + path), 404)


def test_an_unknown_order_is_not_found(client):
    refusal(client.get(f"{URL}{new_id()}/"), 404)
    refusal(client.post(f"{URL}{new_id()}/cancel/"), 404)


def test_a_page_outside_the_api_is_not_found_in_html(client):
    answer = client.get("/nowhere/")
    assert (answer.status_code, answer.headers["Content-Type"][:9]) == (404, "text/html")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("put", ""),
        ("patch", ""),
        ("delete", ""),
        ("get", "bulk/"),
        ("delete", "{order}/"),
        ("put", "{order}/"),
        ("post", "{order}/"),
        ("get", "{order}/cancel/"),
        ("trace", ""),
    ],
)
def test_another_method_is_refused(client, channel, method, path):
    order = place(channel)
    refusal(getattr(client, method)(URL + path.format(order=order.pk)), 405)
    assert Order.objects.get().status == "placed"


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*"])
def test_another_representation_is_refused(client, accept):
    assert refusal(client.get(URL, headers={"Accept": accept}), 406) == ["Accept"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=lost", "status"),
        ("status=PLACED", "status"),
        ("status=%00", "status"),
        ("channel=%00", "channel"),
        ("channel=web%00", "channel"),
        ("status=placed&channel=a%00b", "channel"),
    ],
)
def test_a_bad_query_is_refused(client, query, field):
    assert refusal(client.get(f"{URL}?{query}")) == [field]


@pytest.mark.parametrize(
    "query", ["status=%ff", "channel=%ED%A0%80", "page_size=%00", "page_size=" + MANY_DIGITS]
)
def test_an_odd_query_is_no_error_of_ours(client, query):
    assert client.get(f"{URL}?{query}").status_code in (200, 400)


@pytest.mark.parametrize(
    "cursor",
    [
        "nonsense",
        "%00",
        "\u00e9",
        "cD0=",
        base64.b64encode(b"p=abc").decode(),
        base64.b64encode(b"p=%00").decode(),
        base64.b64encode(b"p=2026-13-45").decode(),
        base64.b64encode(b"p=10000-01-01T00:00:00Z").decode(),
        base64.b64encode(b"o=-5").decode(),
        base64.b64encode(b"o=abc").decode(),
        base64.b64encode(b"\xff\xff").decode(),
    ],
)
def test_a_bad_cursor_is_refused(client, channel, cursor):
    place(channel)
    answer = client.get(URL, {"cursor": cursor})
    if answer.status_code != 200:  # one that reads as "from the start" is none
        refusal(answer, 404)


def test_a_bad_position_in_a_cursor_is_refused(client):
    cursor = base64.b64encode(b"p=abc").decode()
    refusal(client.get(URL, {"cursor": cursor}), 404)


@pytest.mark.parametrize("text", ['{"reason": 5}', '{"reason": "\\u0000"}', "[]", "null", "{", "5"])
def test_a_bad_reason_cancels_nothing(client, channel, text):
    order = place(channel)
    before = rows()
    fields = refusal(send(client, text, f"{URL}{order.pk}/cancel/"))
    assert fields in (["reason"], ["body"])
    assert (rows(), Order.objects.get().status) == (before, "placed")


# --- in bulk ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "literal",
    [
        with_raw("ship_to__latitude", MANY_DIGITS),
        with_raw("external_id", '"\\u0000"'),
        with_raw("lines__0__sku", '"\\ud800"'),
        with_raw("lines__0__unit_price", "1e400"),
        with_raw("lines", '[null, {"sku": []}, {"sku": {}}]'),
        with_raw("lines", '{"sku": "A"}'),
        "null",
        "[]",
        "5",
        "[[[]]]",
    ],
    ids=range(10),
)
def test_a_bad_order_in_a_bulk_stops_no_other(client, literal):
    good = json.dumps(body(external_id="good"))
    answer = send(client, f'{{"orders": [{literal}, {good}]}}', BULK)
    first, second = answer.json()["results"]
    assert (first["status"], second["status"]) == ("refused", "created")
    assert first["errors"]
    assert rows() == [1, 2, 1, 1]


def test_the_token_of_nobody_is_refused_before_the_body_is_read():
    assert refusal(send(client_with("x"), "{"), 401) == ["Authorization"]


# --- outside of any view ------------------------------------------------------------------


def test_another_host_is_refused(client):
    refusal(client.get(URL, headers={"Host": "elsewhere.example"}), 400)


@pytest.mark.parametrize("charset", ["hex", "zlib", "rot13"])
def test_a_charset_of_no_text_breaks_no_query(client, charset):
    """Below Django: its request class fails on these while it is being made."""
    from supplychain.wsgi import application

    address = RequestFactory().get(
        URL, {"status": "lost"}, content_type=f"application/json; charset={charset}"
    )
    answered = []
    application(address.environ, lambda status, headers: answered.append(status))
    assert answered == ["401 Unauthorized"]


def test_what_goes_wrong_here_is_answered_in_the_same_shape_and_undone(client):
    client.raise_request_exception = False
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE orders_statuschange RENAME TO elsewhere")
        answer = client.post(URL, body(), format="json")
        cursor.execute("ALTER TABLE elsewhere RENAME TO orders_statuschange")
    refusal(answer, 500)
    assert "lsewhere" not in answer.content.decode()
    assert rows() == NOTHING
