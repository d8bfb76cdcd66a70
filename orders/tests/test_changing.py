"""What a channel says of an order after placing it: confirmed, or a part of it taken back; and
what inventory's answers do to it."""

import random
from datetime import timedelta
from itertools import groupby, pairwise

import pytest
from django.utils import timezone

from conftest import eventually
from inventory import events as stock
from orders import changing, saga
from orders.lifecycle import TRANSITIONS
from orders.models import Order, OrderLine, OrderShipment
from supplychain.events.models import InboxEntry
from supplychain.operations.loading.targets import InProcess

from .conftest import (
    BULK,
    URL,
    allocation,
    at_once,
    body,
    consume,
    drive,
    event,
    filled,
    names,
    parcel,
    place,
    reserved,
    rows,
    short,
    statements,
    told,
)
from .test_concurrency import behind

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]


def soon(**later):
    return (timezone.now() + timedelta(**(later or {"hours": 1}))).isoformat()


def again(order):
    return Order.objects.get(pk=order.pk)


def line(order, sku="A"):
    return OrderLine.objects.get(order=order, sku=sku)


def history(order):
    return list(order.history.values_list("status", "reason"))


# --- what inventory tells -----------------------------------------------------------------


def held(order, parcels, *, short=0, sequence=1):
    made = allocation(stock.StockHeld, order, parcels, short=short, sequence=sequence)
    return made.model_copy(update={"data": {**made.data, "confirm_by": soon()}})


def expired(order, sequence=2):
    return event(
        stock.ReservationExpired,
        subject=f"order/{order.pk}",
        sequence=sequence,
        order_id=str(order.pk),
        confirm_by="2026-05-04T12:00:00Z",
        lines=[{"sku": "A", "quantity": 4}],
    )


def reduced(order, shipments=None, *, short=0, kept=None, sequence=2):
    """``shipments``: {number: units left}; ``kept``: {sku: units}."""
    left = [
        {"shipment_id": str(parcel(order, n)), "quantity": units}
        for n, units in (shipments or {}).items()
    ]
    return event(
        stock.AllocationReduced,
        subject=f"order/{order.pk}",
        sequence=sequence,
        order_id=str(order.pk),
        outstanding=[{"sku": "A", "quantity": short}] if short else [],
        kept=[{"sku": sku, "quantity": n} for sku, n in (kept or {}).items()],
        shipments=left,
        reason="The shipment is dispatched." if kept else "",
    )


# --- placing ------------------------------------------------------------------------------


def test_priority_and_confirm_by_are_kept_and_told(client):
    until = soon()
    answer = client.post(URL, body(priority=7, confirm_by=until), format="json")
    made = answer.json()
    assert (answer.status_code, made["priority"], made["status"]) == (201, 7, "placed")
    assert (made["confirmed_at"], made["cancelled_quantity"]) == (None, 0)
    [placed] = told(made["id"])
    assert (placed.data["priority"], bool(placed.data["confirm_by"])) == (7, True)
    assert client.post(URL, body(priority=7, confirm_by=until), format="json").status_code == 200
    assert client.post(URL, body(priority=8, confirm_by=until), format="json").status_code == 409


def test_priority_0_says_nothing(client):
    assert client.post(URL, body(), format="json").status_code == 201
    assert client.post(URL, body(priority=0, confirm_by=None), format="json").status_code == 200
    [placed] = told(Order.objects.get().pk)
    assert (placed.data["priority"], placed.data["confirm_by"]) == (0, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", -1),
        ("priority", 10),
        ("priority", "1"),
        ("priority", 1.0),
        ("priority", None),
        ("confirm_by", "2026-05-04T12:00:00Z"),
        ("confirm_by", soon(days=8)),
        ("confirm_by", (timezone.now() + timedelta(hours=1)).replace(tzinfo=None).isoformat()),
        ("confirm_by", "soon"),
        ("confirm_by", 1777896000),
    ],
)
def test_a_bad_priority_or_time_is_refused(client, field, value):
    before = rows()
    answer = client.post(URL, body(**{field: value}), format="json")
    assert answer.status_code == 400
    assert [e["field"] for e in answer.json()["errors"]] == [field]
    bulk = client.post(BULK, {"orders": [body(**{field: value})]}, format="json")
    assert bulk.json()["results"][0]["status"] == "refused"
    assert rows() == before


def test_the_same_order_is_the_same_though_its_time_to_be_confirmed_is_over(client, channel):
    sent = body(confirm_by=soon(seconds=2))
    made = client.post(URL, sent, format="json").json()
    eventually(lambda: Order.objects.filter(confirm_by__lt=timezone.now()))
    before = rows()
    again = client.post(URL, sent, format="json")
    assert (again.status_code, again.json()) == (200, made)
    assert client.post(URL, {**sent, "currency": "EUR"}, format="json").status_code == 409
    new = client.post(URL, {**sent, "external_id": "W-2"}, format="json")
    [error] = new.json()["errors"]
    assert (new.status_code, error["field"]) == (400, "confirm_by")
    assert error["reason"] == "Must be in the future, and at most 7 days ahead."
    bodies = [sent, {**sent, "external_id": "W-2"}, {**sent, "currency": "EUR"}]
    bulk = client.post(BULK, {"orders": bodies}, format="json").json()["results"]
    assert [item["status"] for item in bulk] == ["existing", "refused", "conflict"]
    assert bulk[1]["errors"] == [error]
    [loaded] = InProcess(channel).send([sent])  # as load_orders does
    assert loaded.status == "existing"
    assert rows() == before


# --- confirming ---------------------------------------------------------------------------


def confirm(client, order):
    return client.post(f"{URL}{order.pk}/confirm/")


def test_an_order_is_confirmed_once_however_often_asked(client, channel):
    order = place(channel, confirm_by=soon())
    first, second = confirm(client, order), confirm(client, order)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["confirmed_at"] == second.json()["confirmed_at"] is not None
    assert (first.json()["status"], names(order.pk)) == ("placed", ["placed", "confirmed"])
    assert told(order.pk)[1].correlation_id == order.correlation_id
    assert history(order) == [("placed", ""), ("placed", "confirmed by channel-web")]


def test_a_confirmed_order_may_be_confirmed_again_when_its_time_is_over(client, channel):
    order = place(channel, confirm_by=soon())
    confirm(client, order)
    Order.objects.update(confirm_by=timezone.now() - timedelta(hours=1))
    consume([reserved(order, {1: 4})])
    assert confirm(client, order).json()["status"] == "reserved"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"confirm_by": timezone.now() - timedelta(seconds=1)}, "had to be confirmed by"),
        ({"confirm_by": None}, "nothing to confirm"),
        ({"status": "cancelled"}, "is cancelled and can't be confirmed"),
        ({"status": "cancelled", "confirmed_at": timezone.now()}, "is cancelled and can't"),
        ({"status": "rejected"}, "is rejected and can't be confirmed"),
    ],
)
def test_what_can_not_be_confirmed_is_a_conflict(client, channel, change, reason):
    order = place(channel, confirm_by=soon())
    Order.objects.update(**change)
    answer = confirm(client, order)
    assert answer.status_code == 409
    assert reason in answer.json()["errors"][0]["reason"]
    assert names(order.pk) == ["placed"]


def test_nobody_confirms_an_order_of_another_channel(channel):
    from .conftest import shop

    order = place(channel, confirm_by=soon())
    assert confirm(shop("other")[1], order).status_code == 404


def test_what_is_held_shows_and_moves_nothing(channel):
    order = place(channel, confirm_by=soon())
    consume([held(order, {1: 1}, short=3), held(order, {2: 3}, sequence=2)])
    made = again(order)
    assert (made.status, made.reserved_quantity) == ("placed", 4)
    assert not OrderShipment.objects.exists()
    changing.confirm_order(order_id=order.pk, by="web")
    consume([allocation(stock.StockReserved, order, {1: 1, 2: 3}, sequence=3)])
    assert (again(order).status, again(order).reserved_quantity) == ("reserved", 4)
    consume([held(order, {1: 1}, short=3)])
    assert (again(order).status, again(order).reserved_quantity) == ("reserved", 4)


def test_an_order_that_is_not_confirmed_in_time_is_cancelled(channel):
    order = place(channel, confirm_by=soon())
    gone = expired(order)
    consume([held(order, {1: 4}), gone])
    made = again(order)
    assert (made.status, made.reserved_quantity) == ("cancelled", 0)
    assert names(order.pk) == ["placed", "cancelled"]
    assert told(order.pk)[1].data["reason"] == "not confirmed by 2026-05-04 12:00:00 UTC"
    assert told(order.pk)[1].causation_id == gone.event_id
    with pytest.raises(changing.OrderNotConfirmable):
        changing.confirm_order(order_id=order.pk, by="web")


def test_an_expiry_of_an_order_that_was_confirmed_in_time_does_nothing(channel):
    order = place(channel, confirm_by=soon())
    consume([held(order, {1: 4})])
    changing.confirm_order(order_id=order.pk, by="web")
    later = [expired(order), allocation(stock.StockReserved, order, {2: 4}, sequence=3)]
    consume(later)
    assert (again(order).status, again(order).reserved_quantity) == ("reserved", 4)
    InboxEntry.objects.all().delete()
    consume(later[::-1])
    assert (again(order).status, again(order).reserved_quantity) == ("reserved", 4)


@pytest.mark.django_db(transaction=True)
def test_an_expiry_that_waited_for_the_confirmation_does_nothing(channel):
    order = place(channel, confirm_by=soon())
    result = behind(
        lambda: changing.confirm_order(order_id=order.pk, by="web"),
        lambda: saga.advance(events=[expired(order).open()]),
    )
    assert (result, names(order.pk)) == (None, ["placed", "confirmed"])


@pytest.mark.django_db(transaction=True)
def test_a_confirmation_that_waited_for_the_expiry_is_refused(channel):
    order = place(channel, confirm_by=soon())
    result = behind(
        lambda: saga.advance(events=[expired(order).open()]),
        lambda: changing.confirm_order(order_id=order.pk, by="web"),
    )
    assert isinstance(result, changing.OrderNotConfirmable)
    assert names(order.pk) == ["placed", "cancelled"]


# --- a part taken back --------------------------------------------------------------------


def take(client, order, *lines, **fields):
    asked = [{"sku": sku, "quantity": units} for sku, units in lines]
    return client.post(f"{URL}{order.pk}/cancel/", {"lines": asked, **fields}, format="json")


def test_a_part_is_taken_back_and_the_rest_stands(client, channel):
    order = place(channel)
    answer = take(client, order, ("A", 2), reason="too many")
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["status"], shown["quantity"], shown["cancelled_quantity"]) == ("placed", 4, 2)
    assert [row["cancelled"] for row in shown["lines"]] == [2, 0]
    assert shown["history"][-1]["reason"] == "2 × A taken back too many (channel-web)"
    take(client, order, ("A", 1))
    said = [e.data["lines"] for e in told(order.pk)[1:]]
    assert said == [
        [{"sku": "A", "quantity": 2, "total": 2}],
        [{"sku": "A", "quantity": 1, "total": 3}],
    ]
    assert names(order.pk) == ["placed", "lines_cancelled", "lines_cancelled"]
    assert [e.sequence for e in told(order.pk)] == [1, 2, 3]


def test_all_that_is_left_is_the_whole_order(client, channel):
    order = place(channel)
    take(client, order, ("A", 2))
    answer = take(client, order, ("A", 1), ("B", 1))
    assert answer.json()["status"] == "cancelled"
    assert names(order.pk) == ["placed", "lines_cancelled", "cancelled"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([("A", 4)], "3 × A are left in the order; 4 can't be taken."),
        ([("C", 1)], "0 × C are left"),
        ([("A", 1), ("B", 2)], "1 × B are left"),
    ],
)
def test_more_than_there_is_can_not_be_taken_back(client, channel, lines, reason):
    order = place(channel)
    before = rows()
    answer = take(client, order, *lines)
    assert answer.status_code == 409
    assert reason in answer.json()["errors"][0]["reason"]
    assert (rows(), again(order).cancelled_quantity) == (before, 0)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        {},
        "A",
        None,
        ["A"],
        [{"sku": "A"}],
        [{"quantity": 1}],
        [{"sku": "A", "quantity": 0}],
        [{"sku": "A", "quantity": -1}],
        [{"sku": "A", "quantity": 1.5}],
        [{"sku": "A", "quantity": "1"}],
        [{"sku": "A", "quantity": 10**9 + 1}],
        [{"sku": "A", "quantity": 1}, {"sku": "A", "quantity": 1}],
    ],
)
def test_bad_lines_cancel_nothing(client, channel, lines):
    order = place(channel)
    before = rows()
    answer = client.post(f"{URL}{order.pk}/cancel/", {"lines": lines}, format="json")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"].startswith("lines")
    assert (rows(), again(order).status) == (before, "placed")


def test_nothing_is_taken_back_of_an_order_that_has_left(client, channel):
    order = place(channel)
    consume([reserved(order, {1: 4}), *drive(order, "planned", "dispatched")])
    answer = take(client, order, ("A", 1))
    assert answer.status_code == 409
    assert "is dispatched and can no longer be cancelled" in answer.json()["errors"][0]["reason"]


def test_what_waits_may_be_taken_back_though_the_rest_has_come(client, channel):
    order = place(channel)
    consume([reserved(order, {1: 2}, short=2), *drive(order, "planned", "dispatched", "delivered")])
    assert take(client, order, ("A", 2)).json()["status"] == "partially_reserved"
    consume([reduced(order)])
    assert again(order).status == "delivered"
    whole = place(channel, external_id="W-2")
    consume([reserved(whole, {1: 2}, short=2), *drive(whole, "planned", "dispatched", "delivered")])
    assert take(client, whole, ("A", 3), ("B", 1)).status_code == 409


def test_a_shipment_shrinks_when_inventory_says_so(channel):
    order = place(channel)
    consume([reserved(order, {1: 3, 2: 1})])
    changing.cancel_lines(order_id=order.pk, units={"A": 2}, reason="", by="web")
    consume([reduced(order, {1: 1})])
    made = again(order)
    assert (made.reserved_quantity, made.wanted, made.status) == (2, 2, "reserved")
    assert dict(made.shipments.values_list("warehouse", "quantity")) == {"W1": 1, "W2": 1}


def test_what_had_left_is_back_in_its_line_and_the_history_says_why(client, channel):
    order = place(channel)
    consume([reserved(order, {1: 4})])
    take(client, order, ("A", 2))
    news = reduced(order, {1: 4}, kept={"A": 2})
    consume([news])
    made = again(order)
    assert (made.cancelled_quantity, line(order).cancelled) == (0, 0)
    note = order.history.last()
    assert note.reason == "2 × A could not be taken back: The shipment is dispatched."
    assert (note.status, note.cause) == ("reserved", news.event_id)
    [kept] = [e for e in told(order.pk) if e.event_type == "orders.order_lines_kept"]
    assert kept.data["lines"] == [{"sku": "A", "quantity": 2, "total": 2}]
    assert kept.data["reason"] == "The shipment is dispatched."
    assert (kept.causation_id, kept.correlation_id) == (news.event_id, order.correlation_id)
    before = rows()
    InboxEntry.objects.all().delete()
    consume([news])
    assert (rows(), again(order).cancelled_quantity) == (before, 0)
    assert take(client, order, ("A", 3)).status_code == 200  # it may be tried again
    assert told(order.pk)[-1].data["lines"] == [{"sku": "A", "quantity": 3, "total": 5}]
    assert (again(order).cancelled_quantity, line(order).cancelled) == (3, 3)


def test_statements_of_answers_do_not_grow(channel):
    orders = [place(channel, external_id=f"W-{n}") for n in range(60)]
    for order in orders:
        changing.cancel_lines(order_id=order.pk, units={"A": 1}, reason="", by="web")
    consume([reserved(order, {1: 4}) for order in orders])
    counts = [
        statements(
            lambda some=some: consume([reduced(o, {1: 4}, kept={"A": 1}) for o in orders[some]])
        )
        for some in (slice(1), slice(1, 11), slice(11, 60))
    ]
    assert counts[0] == counts[1] == counts[2]


def test_a_part_is_taken_back_once_per_reference(client, channel):
    order = place(channel)
    first = take(client, order, ("A", 1), reference="RMA 1")
    again = take(client, order, ("A", 1), reference="RMA 1")
    assert (first.status_code, again.status_code) == (200, 200)
    assert (again.json(), line(order).cancelled) == (first.json(), 1)
    other = take(client, order, ("A", 2), reference="RMA 1")
    assert other.status_code == 409
    assert "'RMA 1'" in other.json()["errors"][0]["reason"]
    take(client, order, ("A", 1), reference="RMA 2")
    assert line(order).cancelled == 2
    whole = [take(client, order, ("A", 1), ("B", 1), reference="RMA 3") for _ in range(2)]
    assert [answer.json()["status"] for answer in whole] == ["cancelled"] * 2
    assert names(order.pk) == ["placed", "lines_cancelled", "lines_cancelled", "cancelled"]


def test_a_reference_of_what_was_refused_is_free(client, channel):
    order = place(channel)
    assert take(client, order, ("A", 9), reference="RMA 1").status_code == 409
    assert take(client, order, ("A", 1), reference="RMA 1").status_code == 200
    other = place(channel, external_id="W-2")
    assert take(client, other, ("A", 1), reference="RMA 1").status_code == 200
    assert line(other).cancelled == 1


@pytest.mark.django_db(transaction=True)
def test_many_at_once_with_one_reference_take_back_once(channel):
    order = place(channel)
    said = {"reason": "", "by": "web", "reference": "RMA 1"}
    results = at_once(
        *[lambda: changing.cancel_lines(order_id=order.pk, units={"A": 1}, **said)] * 8
    )
    assert {getattr(result, "cancelled_quantity", result) for result in results} == {1}
    assert (line(order).cancelled, names(order.pk)) == (1, ["placed", "lines_cancelled"])


@pytest.mark.django_db(transaction=True)
def test_many_at_once_take_back_no_more_than_there_is(channel):
    order = place(channel)
    results = at_once(
        *[
            lambda: changing.cancel_lines(order_id=order.pk, units={"A": 1}, reason="", by="web")
            for _ in range(8)
        ]
    )
    refusals = [r for r in results if isinstance(r, changing.OrderNotCancellable)]
    assert (len(refusals), line(order).cancelled) == (5, 3)
    assert names(order.pk) == ["placed"] + ["lines_cancelled"] * 3


# --- any order of arrival -----------------------------------------------------------------


def a_part_of_what_waits(order):
    changing.cancel_lines(order_id=order.pk, units={"A": 2}, reason="", by="web")
    return [
        reserved(order, {1: 2}, short=2),
        reduced(order),
        *drive(order, "planned", "dispatched", "delivered"),
    ]


def a_part_of_a_shipment(order):
    changing.cancel_lines(order_id=order.pk, units={"A": 2}, reason="", by="web")
    return [
        reserved(order, {1: 3, 2: 1}),
        *drive(order, "planned"),
        reduced(order, {1: 1}),
        *drive(order, "dispatched", "delivered", start=2),
        *drive(order, "planned", number=2),
    ]


def a_whole_shipment(order):
    changing.cancel_lines(order_id=order.pk, units={"B": 1}, reason="", by="web")
    return [
        reserved(order, {1: 3, 2: 1}),
        *drive(order, "planned", "dispatched"),
        reduced(order, {2: 0}),
        *drive(order, "planned", "cancelled", number=2),
    ]


def what_had_left(order):
    changing.cancel_lines(order_id=order.pk, units={"A": 2}, reason="", by="web")
    return [
        reserved(order, {1: 4}),
        *drive(order, "planned", "dispatched"),
        reduced(order, {1: 4}, kept={"A": 2}),
    ]


def confirmed_late(order):
    Order.objects.filter(pk=order.pk).update(confirm_by=timezone.now() + timedelta(hours=1))
    changing.confirm_order(order_id=order.pk, by="web")
    return [
        held(order, {1: 4}),
        expired(order),
        allocation(stock.StockReserved, order, {2: 3}, short=1, sequence=3),
        filled(order, {3: 1}, sequence=4),
        *drive(order, "planned", number=2),
        *drive(order, "planned", number=3),
    ]


def never_confirmed(order):
    Order.objects.filter(pk=order.pk).update(confirm_by=timezone.now() + timedelta(hours=1))
    return [held(order, {1: 1}, short=3), held(order, {2: 3}, sequence=2), expired(order, 3)]


#: News in the order in which they happened, and (status, reserved, taken back) in the end.
LIVES = {
    a_part_of_what_waits: ("delivered", 2, 2),
    a_part_of_a_shipment: ("planned", 2, 2),
    a_whole_shipment: ("dispatched", 3, 1),
    what_had_left: ("dispatched", 4, 0),
    confirmed_late: ("planned", 4, 0),
    never_confirmed: ("cancelled", 0, 0),
}


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("turn", range(12))
def test_any_order_of_arrival_leads_to_the_same_end(channel, life, turn):
    order = place(channel)
    news = life(order)
    chance = random.Random(turn)
    if turn:
        chance.shuffle(news)
    edges = [0, *sorted(chance.sample(range(1, len(news)), k=turn % len(news))), len(news)]
    for start, stop in pairwise(edges):
        assert consume(news[start:stop]).handled == stop - start
    made = again(order)
    assert (made.status, made.reserved_quantity, made.cancelled_quantity) == LIVES[life]
    steps = [status for status, _ in groupby(order.history.values_list("status", flat=True))]
    assert all(after in TRANSITIONS[before] for before, after in pairwise(steps)), steps
    assert [e.sequence for e in told(order.pk)] == list(range(1, len(told(order.pk)) + 1))


@pytest.mark.parametrize("life", LIVES)
def test_repeats_change_nothing(channel, life):
    order = place(channel)
    news = life(order)
    consume(news)
    before = (rows(), list(order.shipments.order_by("pk").values()), history(order))
    assert consume(news).duplicates == len(news)
    InboxEntry.objects.all().delete()
    assert consume(news).handled == len(news)
    after = (rows(), list(order.shipments.order_by("pk").values()), history(order))
    assert after == before


def test_an_unconfirmed_order_that_waits_for_stock_is_still_only_placed(channel):
    order = place(channel, confirm_by=soon())
    consume([held(order, {}, short=4)])
    assert (again(order).status, again(order).reserved_quantity) == ("placed", 0)
    changing.confirm_order(order_id=order.pk, by="web")
    late = short(order)
    consume([late.model_copy(update={"sequence": 2})])
    assert again(order).status == "backordered"
