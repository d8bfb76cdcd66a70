"""emit(): recorded if and only if committed, numbered without gaps."""

import threading

import pytest
from django.db import connection, transaction

from supplychain.events import context
from supplychain.events.models import OutboxEvent
from supplychain.events.outbox import Emission, EmitOutsideTransaction, emit, emit_all
from tests.lab.events import Tried
from tests.lab.models import Thing

pytestmark = pytest.mark.django_db(transaction=True)


def test_outside_a_transaction_it_is_an_error():
    thing = Thing.objects.create(name="anvil")
    with pytest.raises(EmitOutsideTransaction):
        emit(Tried(thing="anvil", number=1), of=thing)
    assert not OutboxEvent.objects.exists()


def test_a_rollback_takes_the_event_and_its_number_with_it():
    thing = Thing.objects.create(name="anvil")
    with pytest.raises(RuntimeError), transaction.atomic():
        emit(Tried(thing="anvil", number=1), of=thing)
        raise RuntimeError
    with transaction.atomic():
        sealed = emit(Tried(thing="anvil", number=2), of=thing)
    assert sealed.sequence == 1
    assert OutboxEvent.objects.get().event_id == sealed.event_id


def test_a_signal_receiver_is_part_of_the_transaction():
    heard = []

    def listen(sender, envelopes, **_):
        heard.append((sender, [e.data["number"] for e in envelopes], connection.in_atomic_block))

    Tried.signal.connect(listen)
    try:
        with transaction.atomic():
            thing = Thing.objects.create(name="anvil")
            emit_all([Emission(Tried(thing="anvil", number=n), thing) for n in (1, 2)])
    finally:
        Tried.signal.disconnect(listen)
    assert heard == [(Tried, [1, 2], True)]


def test_numbers_have_no_gaps_when_many_emit_at_once():
    Thing.objects.create(name="anvil")

    def emit_some():
        for number in range(10):
            with transaction.atomic():
                emit(Tried(thing="anvil", number=number), of=Thing(name="anvil"))
        connection.close()

    threads = [threading.Thread(target=emit_some) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = OutboxEvent.objects.order_by("pk").values_list("envelope", flat=True)
    sequences = [int(row.split('"sequence":')[1].split(",")[0]) for row in rows]
    assert sequences == list(range(1, 81))


def test_the_number_of_statements_does_not_grow(django_assert_num_queries):
    things = Thing.objects.bulk_create(Thing(name=f"t{n}") for n in range(60))
    with transaction.atomic(), django_assert_num_queries(3):
        emit_all([Emission(Tried(thing=t.name, number=1), t) for t in things])


def test_journey_and_cause_travel_on():
    with context.using(context.Context("journey", traceparent="00-aa-bb-01")), transaction.atomic():
        thing = Thing.objects.create(name="anvil")
        first = emit(Tried(thing="anvil", number=1), of=thing)
    with transaction.atomic():
        second = emit(Tried(thing="anvil", number=2), of=thing, cause=first.open())
    assert (first.correlation_id, second.correlation_id) == ("journey", "journey")
    assert (first.causation_id, second.causation_id) == (None, first.event_id)
    assert second.traceparent == "00-aa-bb-01"
