"""The relay hears of commits, and a burst of them costs one notification."""

import select
import threading
from types import SimpleNamespace

import psycopg2
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from conftest import eventually
from supplychain.events import relay, wakeup
from tests.lab.act import try_things

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def heard():
    """Gives how many notifications have come to a listener since it was asked last."""
    own = connection.settings_dict
    listener = psycopg2.connect(
        host=own["HOST"],
        port=own["PORT"],
        user=own["USER"],
        password=own["PASSWORD"],
        dbname=own["NAME"],
    )
    listener.autocommit = True
    with listener.cursor() as cursor:
        cursor.execute(f"LISTEN {wakeup.CHANNEL}")

    def count(wait=0.0):
        select.select([listener], [], [], wait)
        listener.poll()
        number = len(listener.notifies)
        listener.notifies.clear()
        return number

    pass_the_gap()
    yield count
    listener.close()


def pass_the_gap():
    threading.Event().wait(1.5 * wakeup.GAP)


def test_a_commit_is_heard_and_a_rollback_is_not(heard):
    with pytest.raises(RuntimeError), transaction.atomic():
        try_things({1: "ok"})
        raise RuntimeError
    assert heard(0.1) == 0
    try_things({1: "ok"})
    eventually(lambda: heard(0.1) == 1)


def test_nothing_is_sent_within_the_transaction(heard):
    """NOTIFY in it would take a lock that lets commits through one at a time."""
    wakeup.local.clear()
    with CaptureQueriesContext(connection) as queries:
        with transaction.atomic():
            try_things({1: "ok"})
            inside = len(queries)
        assert wakeup.local.is_set()
    statements = [query["sql"] for query in queries]
    assert not [sql for sql in statements[:inside] if "NOTIFY" in sql]
    assert [sql for sql in statements[inside:] if "NOTIFY" in sql]
    assert "COMMIT" in statements[inside]


def test_one_transaction_is_one_notification_however_much_it_tells(heard):
    try_things({n: "ok" for n in range(50)})
    try_things({n: "ok" for n in range(50, 60)}, thing="other")
    assert 1 <= heard(0.1) + heard(0.1) <= 2


def test_a_burst_is_coalesced_and_after_the_gap_one_is_sent_again(heard, monkeypatch):
    """The clock stands still, so that the burst is one however slow this machine is."""
    now = [1000.0]
    monkeypatch.setattr(wakeup, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(wakeup, "_last_sent", 0.0)
    for _ in range(100):
        wakeup.wake_relay()
    assert heard(0.2) == 1
    now[0] += wakeup.GAP * 0.9
    wakeup.wake_relay()
    assert heard(0.2) == 0
    now[0] += wakeup.GAP * 0.2
    wakeup.wake_relay()
    assert heard(1) == 1


def test_a_relay_lingers_longer_than_notifications_may_be_held_back():
    """Else an event committed in the gap would wait for the slow poll."""
    assert relay.LINGER > wakeup.GAP


def test_a_relay_within_the_process_is_woken_each_time():
    """By an Event, which costs nothing: no gap."""
    for _ in range(3):
        wakeup.local.clear()
        wakeup.wake_relay()
        assert wakeup.local.is_set()


def test_the_name_of_the_channel_is_what_the_relay_listens_to(heard):
    waiter = relay._Waiter(alarm=0)
    waiter.prepare()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_listening_channels()")
        assert cursor.fetchall() == [(wakeup.CHANNEL,)]
    connection.close()
