"""Orders move on by what inventory and routing tell, in whatever order it arrives."""

import random
from itertools import groupby, pairwise

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orders import changing, saga
from orders.lifecycle import TRANSITIONS
from orders.models import CatalogueItem, Order, OrderLine, OrderShipment, Status, StatusChange
from supplychain.events.consumers import get_consumer
from supplychain.events.context import new_id
from supplychain.events.handling import Message, handle
from supplychain.events.models import InboxEntry
from supplychain.events.testing import deliver, redeliver

from .conftest import (
    URL,
    Kept,
    body,
    consume,
    drive,
    filled,
    names,
    parcel,
    place,
    product,
    refused,
    reserved,
    rows,
    short,
    statements,
    told,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]

#: Every kind of journey: its news in the order in which it happened, and where it ends.
JOURNEYS = {
    "plain": (
        lambda o: [reserved(o, {1: 4}), *drive(o, "planned", "dispatched", "delivered")],
        "delivered",
    ),
    "split": (
        lambda o: [
            reserved(o, {1: 3, 2: 1}),
            *drive(o, "planned", "dispatched", "delivered"),
            *drive(o, "planned", "planned", "dispatched", "delivered", number=2),
        ],
        "delivered",
    ),
    "short at first": (
        lambda o: [
            reserved(o, {1: 2}, short=2),
            *drive(o, "planned", "dispatched", "delivered"),
            filled(o, {2: 1}, short=1),
            *drive(o, "planned", "dispatched", number=2),
            filled(o, {3: 1}, sequence=3),
            *drive(o, "planned", number=3),
        ],
        "planned",
    ),
    "nothing at first": (
        lambda o: [short(o), filled(o, {1: 4}), *drive(o, "planned", "dispatched", "delivered")],
        "delivered",
    ),
    "still short": (
        lambda o: [
            short(o),
            filled(o, {1: 1}, short=3),
            *drive(o, "planned", "dispatched", "delivered"),
        ],
        "partially_reserved",
    ),
    "nothing yet": (lambda o: [short(o)], "backordered"),
    "rejected": (lambda o: [refused(o)], "rejected"),
    "failed and planned again": (
        lambda o: [
            reserved(o, {1: 4}),
            *drive(o, "planned", "dispatched", "failed", "planned", "dispatched", "delivered"),
        ],
        "delivered",
    ),
    "failed": (
        lambda o: [reserved(o, {1: 4}), *drive(o, "planned", "dispatched", "failed")],
        "delivery_failed",
    ),
    "returned": (
        lambda o: [reserved(o, {1: 4}), *drive(o, "planned", "dispatched", "failed", "returned")],
        "returned",
    ),
    "one part returned": (
        lambda o: [
            reserved(o, {1: 3, 2: 1}),
            *drive(o, "planned", "dispatched", "failed", "returned"),
            *drive(o, "planned", "dispatched", "delivered", number=2),
        ],
        "returned",
    ),
    "the first part returned, the rest delivered": (
        lambda o: [
            reserved(o, {1: 2}, short=2),
            *drive(o, "planned", "dispatched", "failed", "returned"),
            filled(o, {2: 2}),
            *drive(o, "planned", "dispatched", "delivered", number=2),
        ],
        "returned",
    ),
    "one part failed, one waits": (
        lambda o: [
            reserved(o, {1: 3, 2: 1}),
            *drive(o, "planned", "dispatched", "failed"),
            *drive(o, "planned", number=2),
        ],
        "planned",
    ),
    "promised, delayed, delivered": (
        lambda o: [
            reserved(o, {1: 4}),
            *drive(o, "promised", "planned", "late", "delayed", "unplannable", "planned"),
            *drive(o, "dispatched", "delivered", start=7),
        ],
        "delivered",
    ),
    "promised, no route": (
        lambda o: [reserved(o, {1: 4}), *drive(o, "promised", "unplannable")],
        "reserved",
    ),
    "failed, no route": (
        lambda o: [
            reserved(o, {1: 4}),
            *drive(o, "planned", "dispatched", "failed", "unplannable", "delayed"),
        ],
        "delivery_failed",
    ),
}


def history(order):
    return list(order.history.values_list("status", flat=True))


def assert_whole(order):
    """No step skipped, each step told once, numbered without gaps, in the order's journey. (A note
    in the history repeats the status.)"""
    steps = [status for status, _ in groupby(history(order))]
    assert steps[0] == Status.PLACED
    assert all(after in TRANSITIONS[before] for before, after in pairwise(steps)), steps
    assert steps[-1] == Order.objects.get(pk=order.pk).status
    envelopes = told(order.pk)
    assert [name for name in names(order.pk) if name in Status.values] == steps
    assert [e.sequence for e in envelopes] == list(range(1, len(envelopes) + 1))
    assert {e.correlation_id for e in envelopes} == {order.correlation_id}


@pytest.mark.parametrize(
    ("journey", "expected"),
    [
        ("plain", "placed reserved planned dispatched delivered"),
        ("split", "placed reserved planned dispatched delivered"),
        ("short at first", "placed partially_reserved reserved planned"),
        ("nothing at first", "placed backordered reserved planned dispatched delivered"),
        ("still short", "placed backordered partially_reserved"),
        ("nothing yet", "placed backordered"),
        ("rejected", "placed rejected"),
        (
            "failed and planned again",
            "placed reserved planned dispatched delivery_failed planned dispatched delivered",
        ),
        ("failed", "placed reserved planned dispatched delivery_failed"),
        ("returned", "placed reserved planned dispatched delivery_failed returned"),
        ("one part failed, one waits", "placed reserved planned"),
        ("promised, delayed, delivered", "placed reserved planned dispatched delivered"),
        ("promised, no route", "placed reserved"),
        ("failed, no route", "placed reserved planned dispatched delivery_failed"),
    ],
)
@pytest.mark.parametrize("batch", [True, False], ids=["in one batch", "one by one"])
def test_a_journey_in_its_order(channel, journey, expected, batch):
    order = place(channel)
    news = JOURNEYS[journey][0](order)
    for part in [news] if batch else [[envelope] for envelope in news]:
        assert consume(part).handled == len(part)
    assert " ".join(status for status, _ in groupby(history(order))) == expected
    assert_whole(order)


def test_a_split_order_waits_for_its_last_shipment(channel):
    order = place(channel)
    consume([reserved(order, {1: 3, 2: 1}), *drive(order, "planned", "dispatched", "delivered")])
    assert history(order)[-1] == "reserved"
    for step, sequence in (("planned", 1), ("dispatched", 2), ("delivered", 3)):
        consume(drive(order, step, number=2, start=sequence))
        assert history(order)[-1] == step
    assert_whole(order)


def test_a_part_that_came_back_keeps_the_order_failed_until_the_rest_has_ended(channel):
    order = place(channel)
    consume([reserved(order, {1: 3, 2: 1})])
    for number in (1, 2):
        consume(drive(order, "planned", "dispatched", number=number))
    consume(drive(order, "failed", "returned", start=3))
    assert history(order)[-1] == "delivery_failed"
    consume(drive(order, "delivered", number=2, start=3))
    assert history(order)[-2:] == ["delivery_failed", "returned"]
    assert_whole(order)


@pytest.mark.parametrize("journey", JOURNEYS)
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(shuffler=st.randoms(use_true_random=False), cuts=st.sets(st.integers(1, 9)))
def test_any_order_of_arrival_leads_to_the_same_end(channel, journey, shuffler, cuts):
    make_news, end = JOURNEYS[journey]
    with transaction.atomic():
        order = place(channel, external_id=str(new_id()))
        news = make_news(order)
        shuffler.shuffle(news)
        edges = [0, *sorted(cut for cut in cuts if cut < len(news)), len(news)]
        for start, stop in pairwise(edges):
            assert consume(news[start:stop]).handled == stop - start
        assert Order.objects.get(pk=order.pk).status == end
        assert_whole(order)


def test_a_part_that_is_not_yet_known_of_is_not_overlooked(channel):
    order = place(channel)
    second = [filled(order, {2: 2}), *drive(order, "planned", "dispatched", "delivered", number=2)]
    consume(second)
    assert history(order) == ["placed", "partially_reserved"]
    consume([reserved(order, {1: 2}, short=2), *drive(order, "planned")])
    assert history(order) == ["placed", "partially_reserved", "reserved", "planned"]
    assert_whole(order)


def test_what_is_known_of_a_shipment_is_the_latest_that_happened(channel):
    order = place(channel)
    planned, dispatched = drive(order, "planned", "dispatched")
    consume([dispatched])
    early = OrderShipment.objects.get()
    assert (early.state, early.quantity, early.sequence) == ("dispatched", None, 2)
    consume([planned])
    consume([reserved(order, {1: 4})])
    late = OrderShipment.objects.get()
    assert (late.state, late.quantity, late.warehouse) == ("dispatched", 4, "W1")
    assert late.pk == parcel(order)


def test_each_step_names_its_cause_and_a_failure_its_reason(channel):
    order = place(channel)
    news = [reserved(order, {1: 4}), *drive(order, "planned", "dispatched", "failed")]
    consume(news)
    causes = list(order.history.values_list("cause", flat=True))
    assert causes == [None, *(envelope.event_id for envelope in news)]
    assert [e.causation_id for e in told(order.pk)] == causes
    assert list(order.history.values_list("reason", flat=True)) == ["", "", "", "", "nobody in"]
    assert told(order.pk)[-1].data["reason"] == "nobody in"


def test_steps_made_up_for_on_the_way_to_a_failure_have_no_reason(channel):
    order = place(channel)
    consume([reserved(order, {1: 4}), *drive(order, "failed", start=3)])
    assert list(order.history.values_list("reason", flat=True)) == ["", "", "", "", "nobody in"]


def test_amounts_and_arrival_are_told(channel):
    order = place(channel)
    consume([reserved(order, {1: 2}, short=2), filled(order, {2: 2})])
    consume([*drive(order, "planned"), *drive(order, "planned", number=2)])
    _, partly, fully, planned = told(order.pk)
    assert (partly.data["quantity"], partly.data["reserved"]) == (4, 2)
    assert (fully.data["quantity"], fully.data["reserved"]) == (4, 4)
    assert planned.data["eta"] == "2026-05-04T12:00:00Z"
    order.refresh_from_db()
    assert order.reserved_quantity == 4


def test_a_rejection_tells_why(channel):
    order = place(channel)
    consume([refused(order, "x" * 1000)])
    assert told(order.pk)[-1].data["reason"] == "x" * 1000
    assert order.history.last().reason == "x" * 300


@pytest.mark.parametrize("journey", JOURNEYS)
def test_news_of_a_cancelled_order_move_it_no_more(channel, journey):
    order = place(channel)
    changing.cancel_order(order_id=order.pk, reason="", by="web")
    consume(JOURNEYS[journey][0](order))
    assert history(order) == ["placed", "cancelled"]
    assert_whole(order)


def test_what_inventory_tells_is_kept_though_the_order_is_cancelled(channel):
    order = place(channel)
    changing.cancel_order(order_id=order.pk, reason="", by="web")
    consume([reserved(order, {1: 4}), *drive(order, "cancelled")])
    assert OrderShipment.objects.get().state == "cancelled"


def test_orders_of_a_batch_do_not_mix(channel):
    orders = [place(channel, external_id=f"W-{n}") for n in range(5)]
    news = [e for o in orders for e in [reserved(o, {1: 4}), *drive(o, "planned", "dispatched")]]
    random.Random(5).shuffle(news)
    consume(news)
    for order in orders:
        assert history(order)[-1] == "dispatched"
        assert_whole(order)


def test_a_hundred_events_take_as_many_statements_as_three(channel):
    def needed(numbers):
        orders = [place(channel, external_id=f"W-{n}") for n in numbers]
        news = [e for o in orders for e in [reserved(o, {1: 4}), *drive(o, "planned")]]
        return statements(lambda: consume(news))

    assert needed(range(1)) == needed(range(10, 60))


# --- repeats ------------------------------------------------------------------------------


def snapshot():
    models = (Order, OrderLine, OrderShipment, StatusChange, CatalogueItem)
    return [sorted(m.objects.values_list(), key=str) for m in models] + [rows()]


@pytest.mark.parametrize("journey", JOURNEYS)
def test_delivered_twice_changes_nothing(channel, journey):
    order = place(channel)
    news = JOURNEYS[journey][0](order)
    consume(news)
    before = snapshot()
    outcome = consume(news)
    assert (outcome.handled, outcome.duplicates) == (0, len(news))
    assert snapshot() == before


@pytest.mark.parametrize("journey", JOURNEYS)
def test_the_saga_itself_tolerates_repeats(channel, journey):
    """Its guards hold though the inbox has forgotten, as it may after its retention time."""
    order = place(channel)
    news = JOURNEYS[journey][0](order)
    consume(news)
    before = [history(order), names(order.pk), sorted(OrderShipment.objects.values_list())]
    InboxEntry.objects.all().delete()
    assert consume(news).handled == len(news)
    after = [history(order), names(order.pk), sorted(OrderShipment.objects.values_list())]
    assert after == before


def test_twice_in_one_batch_counts_once(channel):
    order = place(channel)
    news = reserved(order, {1: 4})
    outcome = consume([news, news])
    assert (outcome.handled, outcome.duplicates) == (1, 1)
    assert history(order) == ["placed", "reserved"]


# --- news of an order that is not here ----------------------------------------------------


def test_an_unknown_order_is_tried_again_and_hinders_no_other(channel):
    known, unknown = place(channel), place(channel, external_id="W-2")
    saved = list(Order.objects.filter(pk=unknown.pk))
    Order.objects.filter(pk=unknown.pk).delete()
    wire = Kept()
    news = [reserved(known, {1: 4}), reserved(unknown, {1: 4})]
    outcome = consume(news, wire=wire)
    assert (outcome.handled, len(outcome.retried), outcome.dead) == (1, 1, [])
    assert f"UnknownOrder: Orders not known here: {unknown.pk}" in outcome.retried[0]
    assert history(known) == ["placed", "reserved"]
    [again] = wire.sent
    assert (again.routing_key, again.headers["retries"]) == ("orders", 1)
    assert again.delay > 0
    # It comes to be known, and the retry comes back.
    Order.objects.bulk_create(saved)
    declared = get_consumer("orders.advance_orders")
    back = Message("orders", again.body, again.headers)
    assert handle(declared, [back], Kept()).handled == 1
    assert history(unknown)[-1] == "reserved"


def test_an_order_that_never_comes_ends_in_the_dead_letters(channel):
    ghost = Order(pk=new_id(), quantity=4)
    wire = Kept()
    consume([reserved(ghost, {1: 4})], wire=wire)
    for _ in range(7):
        sent = wire.sent[-1]
        assert "dead_reason" not in sent.headers
        back = Message("orders", sent.body, sent.headers)
        handle(get_consumer("orders.advance_orders"), [back], wire)
    dead = wire.sent[-1].headers
    assert (dead["dead_reason"], dead["dead_exception"]) == ("exhausted", "UnknownOrder")


def test_one_unknown_order_undoes_the_whole_call(channel):
    known, ghost = place(channel), Order(pk=new_id(), quantity=4)
    with pytest.raises(saga.UnknownOrder):
        saga.advance(events=[reserved(o, {1: 4}).open() for o in (known, ghost)])
    assert history(known) == ["placed"]


# --- through outbox and wire --------------------------------------------------------------


def test_an_order_goes_out_by_the_wire_and_inventorys_answer_comes_back(channel):
    order = place(channel)
    done = deliver()
    assert (done.handled["orders.advance_orders"], done.retried, done.dead) == (1, 0, 0)
    assert history(order) == ["placed", "rejected"]  # by an inventory without any products
    assert_whole(order)
    placed, rejected = told(order.pk)
    [answer] = told(order.pk, producer="inventory")
    assert (answer.causation_id, rejected.causation_id) == (placed.event_id, answer.event_id)
    before = snapshot()
    for envelope in [*told(order.pk), *told(order.pk, producer="inventory")]:
        redeliver(envelope)
    assert snapshot() == before


# --- the catalogue ------------------------------------------------------------------------


def catalogue():
    return list(CatalogueItem.objects.order_by("pk").values_list("sku", "name", "active"))


def test_the_catalogue_follows_inventory(db):
    first = [product("C"), product("D")]
    consume(first, "orders.keep_catalogue")
    assert catalogue() == [("C", "Anvil", True), ("D", "Anvil", True)]
    consume([product("C", 2, active=False, name="Old anvil")], "orders.keep_catalogue")
    assert catalogue() == [("C", "Old anvil", False), ("D", "Anvil", True)]


def test_older_news_of_a_product_never_win(db):
    one, two, three = (product("C", n, name=f"{n}") for n in (1, 2, 3))
    consume([two, one], "orders.keep_catalogue")
    assert catalogue() == [("C", "2", True)]
    consume([three], "orders.keep_catalogue")
    InboxEntry.objects.all().delete()
    consume([one, two], "orders.keep_catalogue")
    assert catalogue() == [("C", "3", True)]


def test_the_catalogue_delivered_twice_changes_nothing(db):
    news = [product("C"), product("C", 2, active=False)]
    consume(news, "orders.keep_catalogue")
    before = snapshot()
    outcome = consume(news, "orders.keep_catalogue")
    assert (outcome.handled, outcome.duplicates) == (0, 2)
    assert snapshot() == before


def test_a_product_switched_off_is_no_longer_ordered(client):
    consume([product("A", 2, active=False)], "orders.keep_catalogue")
    answer = client.post(URL, body(), format="json")
    assert answer.json()["errors"][0]["field"] == "lines[0].sku"
