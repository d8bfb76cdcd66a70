"""The consumer: the same rows whatever the order and however the batches fall."""

import random
import threading
from datetime import timedelta
from itertools import permutations

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from analytics.models import EventCount, OrderFact, ShipmentFact
from orders import events as told
from supplychain.events.models import InboxEntry

from .conftest import (
    START,
    delayed,
    event,
    handed_over,
    journey,
    measure,
    order,
    part,
    promised,
    retimed,
)

pytestmark = pytest.mark.django_db(transaction=True)


def fact(number=1):
    return OrderFact.objects.filter(pk=order(number)).values().get()


def forget():
    for model in (OrderFact, ShipmentFact, EventCount, InboxEntry):
        model.objects.all().delete()


def test_a_journey_leaves_its_facts():
    measure(journey())
    row = fact()
    assert (row["status"], row["status_sequence"], row["channel"]) == ("delivered", 6, "web")
    assert (row["quantity"], row["first_reserved"]) == (5, 3)
    dated = ["placed", "allocated", "reserved", "planned", "dispatched", "delivered"]
    assert [(row[f"{step}_at"] - START).total_seconds() for step in dated] == [
        0,
        10,
        20,
        30,
        40,
        50,
    ]
    assert row["ended_at"] == row["delivered_at"]


def test_any_order_of_events_and_any_batches_give_the_same_row():
    steps = journey()
    measure(steps)
    expected = fact()
    orders = random.Random(7).sample(list(permutations(steps)), 30)
    for arriving in [steps[::-1], *orders]:
        forget()
        if arriving[0].sequence % 2:
            measure(arriving)  # merged within a batch
        else:
            for one in arriving:  # merged in the database
                measure([one])
        assert fact() == expected


def test_a_promise_leaves_its_facts_and_is_no_step():
    steps = [*journey(), promised(until=60), promised(sequence=23, after=6, until=90), delayed()]
    for arriving in permutations(steps[3:]):
        forget()
        measure(steps[:3])
        for one in arriving:
            measure([one])
        row = fact()
        assert (row["status"], row["status_sequence"]) == ("delivered", 6)
        dated = ["promised_at", "promised_until", "broken_at"]
        assert [(row[name] - START).total_seconds() for name in dated] == [5, 90, 35]
    forget()
    measure(steps)
    assert fact() == row


def test_a_part_s_window_and_its_delivery_are_those_told_in_any_order():
    steps = [
        promised(opens=30, until=90, sequence=20),
        promised(opens=40, until=95, sequence=23),
        handed_over(after=35),
    ]
    for arriving in permutations(steps):
        for batches in ([arriving], [[one] for one in arriving]):
            forget()
            for batch in batches:
                measure(list(batch))
            row = ShipmentFact.objects.get()
            assert (row.pk, row.order_id, row.came) == (part(1), order(1), "early")
            assert row.window_from == START + timedelta(seconds=40)
            assert row.window_until == START + timedelta(seconds=95)
            assert row.delivered_at == START + timedelta(seconds=35)


def test_a_part_that_nothing_was_promised_or_that_is_on_its_way_came_at_no_time():
    measure([promised(1), handed_over(2, after=5)])
    assert [row.came for row in ShipmentFact.objects.all()] == ["", ""]


def test_another_time_within_the_window_breaks_no_promise():
    measure([promised(), retimed(within_window=True)])
    assert fact()["broken_at"] is None
    measure([retimed(sequence=22, after=40)])
    assert fact()["broken_at"] == START + timedelta(seconds=40)


def test_a_later_repetition_of_a_step_does_not_move_its_first_date():
    measure(journey())
    measure([event(told.OrderDeliveryFailed, 1, 7, after=60, reason="nobody at home")])
    measure([event(told.OrderPlanned, 1, 8, after=70)])
    row = fact()
    assert (row["status"], row["planned_at"]) == ("planned", START + timedelta(seconds=30))


def test_nothing_reserved_at_first_counts_as_zero():
    measure([event(told.OrderReserved, 1, 3, after=20, quantity=5, reserved=5)])
    measure([event(told.OrderBackordered, 1, 2, after=10, quantity=5)])
    assert fact()["first_reserved"] == 0


def test_delivered_twice_counts_once():
    steps = journey()
    measure(steps)
    before = fact()
    outcome = measure(steps)
    assert (outcome.handled, outcome.duplicates) == (0, 6)
    assert fact() == before
    assert sum(EventCount.objects.values_list("count", flat=True)) == 6


def test_events_are_counted_by_type_and_hour():
    minutes = [0, 29, 30, 31]
    measure([event(told.OrderPlanned, n, 1, after=60 * m) for n, m in enumerate(minutes[:2])])
    measure([event(told.OrderPlanned, n, 2, after=60 * m) for n, m in enumerate(minutes[2:])])
    rows = EventCount.objects.order_by("hour").values_list("event_type", "hour__hour", "count")
    assert list(rows) == [("orders.order_planned", 9, 2), ("orders.order_planned", 10, 2)]


def test_a_hundred_events_take_as_many_statements_as_one():
    def statements(envelopes):
        with CaptureQueriesContext(connection) as captured:
            measure(envelopes)
        return len(captured)

    many = [event(told.OrderPlanned, n, 4) for n in range(100)]
    # Two, the inbox's one, and begin, commit, savepoint and its release.
    assert statements([event(told.OrderPlanned, 1, 4)]) == statements(many) == 7


def test_workers_at_once_lose_nothing():
    """Four workers get each order's events in different batches."""
    steps = [e for n in range(12) for e in journey(n)]
    random.Random(3).shuffle(steps)
    start = threading.Barrier(4)

    def work(part):
        start.wait()
        for at in range(0, len(part), 6):
            measure(part[at : at + 6])
        connections.close_all()

    threads = [threading.Thread(target=work, args=[steps[n::4]]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(EventCount.objects.values_list("count", flat=True)) == len(steps)
    rows = OrderFact.objects.values_list("status", "quantity", "first_reserved").distinct()
    assert list(rows) == [("delivered", 5, 3)]
