"""The consumer: each event once, in one chain, in few statements."""

import threading

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from audit.models import ChainHead, StoredEvent
from audit.selectors import chain_faults
from audit.services import link
from supplychain.events.models import InboxEntry

from .conftest import happen, record

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_row_says_what_the_envelope_said():
    (sent,) = happen(1, correlation_id="journey-1")
    record([sent])
    row = StoredEvent.objects.get()
    assert (row.position, row.event_id, row.event_type) == (1, sent.event_id, "lab.counted")
    assert (row.subject, row.sequence, row.correlation_id) == ("thing/anvil", 1, "journey-1")
    assert row.body == sent.to_json()
    assert row.hash == link("0" * 64, 1, row.body)


def test_positions_and_hashes_follow_each_other_over_batches():
    sent = happen(5)
    record(sent[:2])
    record(sent[2:])
    rows = list(StoredEvent.objects.order_by("position"))
    assert [r.position for r in rows] == [1, 2, 3, 4, 5]
    assert [r.previous_hash for r in rows[1:]] == [r.hash for r in rows[:-1]]
    head = ChainHead.objects.get()
    assert (head.position, head.hash) == (5, rows[-1].hash)


def test_delivered_twice_is_stored_once():
    sent = happen(3)
    record(sent)
    outcome = record(sent)
    assert (outcome.handled, outcome.duplicates) == (0, 3)
    assert StoredEvent.objects.count() == 3


def test_stored_once_even_when_the_inbox_has_forgotten():
    sent = happen(3)
    record(sent[:2])
    InboxEntry.objects.all().delete()
    record([*sent, sent[2]])
    assert [r.event_id for r in StoredEvent.objects.order_by("position")] == [
        e.event_id for e in sent
    ]


def test_a_hundred_events_take_as_many_statements_as_one():
    sent = happen(102)
    record(sent[:1])

    def statements(envelopes):
        with CaptureQueriesContext(connection) as captured:
            record(envelopes)
        return len(captured)

    # Four, the inbox's one, and begin, commit, savepoint and its release.
    assert statements(sent[1:2]) == statements(sent[2:]) == 9


def test_writers_at_once_keep_one_chain():
    parts = [happen(40, thing=f"anvil-{n}") for n in range(3)]
    start = threading.Barrier(3)

    def work(part):
        start.wait()
        for at in range(0, len(part), 8):
            record(part[at : at + 8])
        connections.close_all()

    threads = [threading.Thread(target=work, args=[part]) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert StoredEvent.objects.count() == 120
    assert [fault for fault in chain_faults() if fault[1]] == []


@pytest.mark.parametrize("statement", ["UPDATE {} SET sequence = 9", "DELETE FROM {}"])
def test_the_database_refuses_changes(statement):
    record(happen(2))
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format(StoredEvent._meta.db_table))
    assert list(StoredEvent.objects.values_list("sequence", flat=True)) == [1, 2]
