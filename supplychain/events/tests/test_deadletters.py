"""Dead letters as rows: kept whole, whatever they hold; decided on once; shown and told."""

import json
import threading
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.utils import timezone
from kombu import Connection

from conftest import eventually
from supplychain.events import deadletters, inbox
from supplychain.events.context import new_id
from supplychain.events.deadletters import (
    DeadLetterNotOpen,
    NothingToRedrive,
    discard,
    ingest,
    redrive,
    send_redrives,
)
from supplychain.events.envelope import task_body, task_headers
from supplychain.events.handling import Message
from supplychain.events.ingester import Ingester, Redriver
from supplychain.events.models import DeadLetter, InboxEntry, OutboxEvent, SuspectDelivery
from supplychain.events.names import HOME_EXCHANGE
from supplychain.events.wire import BrokerUnavailable
from tests.lab.act import try_things

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
State = DeadLetter.State
LIST = "/admin/events/deadletter/"
DEATH = {
    "dead_reason": "exhausted",
    "dead_queue": "lab",
    "dead_consumer": "lab.try_it",
    "dead_exception": "ValueError",
    "dead_message": "no such thing",
    "dead_traceback": 'File "consumers.py", line 1',
    "dead_attempts": 4,
}


class Recorder:
    """A wire that keeps what it is given, refuses some of it, or is broken."""

    def __init__(self, refused=None, broken=False):
        self.sent, self.refused, self.broken = [], refused or {}, broken

    def publish(self, messages):
        if self.broken:
            raise BrokerUnavailable
        self.sent += messages
        return self.refused

    def close(self):
        pass


def dead(envelope, **headers):
    """The message of an event that died, as it lies in its dead-letter queue."""
    body = task_body(envelope.to_json()).encode()
    return Message("lab", body, {**task_headers(envelope), **DEATH, **headers})


def letter(number=1, **headers):
    return ingest(dead(try_things({number: "ok"})[0], **headers))


def state_of(row):
    return DeadLetter.objects.get(pk=row.pk).state


# --- ingesting ----------------------------------------------------------------------------


def test_what_is_known_of_the_failure_is_kept():
    envelope = try_things({1: "ok"})[0]
    row = ingest(dead(envelope))
    row.refresh_from_db()
    assert (row.queue, row.consumer, row.reason) == ("lab", "lab.try_it", "exhausted")
    assert (row.event_id, row.event_type) == (envelope.event_id, "lab.tried")
    assert (row.subject, row.correlation_id) == ("thing/anvil", envelope.correlation_id)
    assert (row.exception, row.message, row.attempts) == ("ValueError", "no such thing", 4)
    assert "consumers.py" in row.traceback
    assert bytes(row.body) == task_body(envelope.to_json()).encode()
    assert row.state == State.OPEN
    assert row.first_seen_at == row.last_seen_at


def test_a_second_failure_updates_the_row_and_opens_it_again():
    envelope = try_things({1: "ok"})[0]
    first = ingest(dead(envelope))
    discard(first, by="ada", note="no need")
    ingest(dead(envelope, dead_message="another reason", dead_attempts=6))
    row = DeadLetter.objects.get()
    assert (row.state, row.times_seen, row.attempts) == (State.OPEN, 2, 6)
    assert (row.message, row.resolved_at, row.resolved_by) == ("another reason", None, "")
    assert row.last_seen_at > row.first_seen_at


def test_another_consumer_or_another_body_is_another_row():
    one, two = try_things({1: "ok", 2: "ok"})
    ingest(dead(one))
    ingest(dead(one, dead_consumer="lab_other.watch_it", dead_queue="lab_other"))
    ingest(dead(two))
    # Two messages that claim one id and say different things are both evidence.
    ingest(dead(two.model_copy(update={"event_id": one.event_id})))
    assert DeadLetter.objects.count() == 4


def test_a_second_failure_does_not_undo_a_redrive_that_was_asked_for():
    envelope = try_things({1: "ok"})[0]
    row = ingest(dead(envelope))
    redrive(row)
    ingest(dead(envelope))
    assert state_of(row) == State.REDRIVING


@pytest.mark.parametrize(
    ("deaths", "reason", "attempts"),
    [
        ([{"reason": "delivery_limit", "queue": "lab", "count": 1}], "delivery_limit", 21),
        ([{"reason": "expired"}, {"reason": "rejected"}], "expired", 0),
        ([{"queue": "lab"}], "unknown", 0),
        (["nonsense"], "unknown", 0),
        ("nonsense", "unknown", 0),
        ([], "unknown", 0),
        (None, "unknown", 0),
    ],
)
def test_what_the_broker_gave_up_has_the_broker_s_reason(deaths, reason, attempts):
    envelope = try_things({1: "ok"})[0]
    headers = {**task_headers(envelope), "x-death": deaths, "x-delivery-count": 3}
    row = ingest(Message("lab", task_body(envelope.to_json()).encode(), headers))
    row.refresh_from_db()
    assert (row.reason, row.queue, row.consumer, row.attempts) == (reason, "lab", "", attempts)
    assert reason in row.message
    assert "x-death" not in row.headers


@pytest.mark.parametrize(("handled_by", "state"), [("lab.try_it", "discarded"), ("x.y", "open")])
def test_what_was_handled_before_the_broker_gave_it_up_needs_nobody(handled_by, state):
    envelope = try_things({1: "ok"})[0]
    inbox.claim(handled_by, [envelope.event_id])
    headers = {**task_headers(envelope), "x-death": [{"reason": "delivery_limit"}]}
    row = ingest(Message("lab", task_body(envelope.to_json()).encode(), headers))
    assert state_of(row) == state


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\xff not text",
        b"[" * 100_000,
        b"[[1],{},{}]",
        b'[{"0": 1},{},{}]',
        json.dumps([[{"event_id": "\ud800"}], {}, {}]).encode(),
    ],
)
def test_a_body_that_is_no_event_is_kept_byte_for_byte(body):
    known = new_id()
    row = ingest(Message("lab", body, {"task": "lab.tried", "event_id": str(known)}, False, "x/y"))
    row.refresh_from_db()
    assert bytes(row.body) == body
    assert (row.event_id, row.event_type, row.content_type) == (known, "lab.tried", "x/y")
    assert row.subject == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"dead_message": "a\x00b", "dead_traceback": "\x00" * 5, "other": "c\x00d"},
        {"dead_exception": "E" * 5000, "dead_reason": "r" * 5000, "dead_queue": "q" * 5000},
        {"dead_consumer": ["not", {"a": "text"}], "dead_queue": 5, "task": {"x": 1}},
        {"dead_attempts": "many"},
        {"dead_attempts": -1, "x-delivery-count": 10**15},
        {"dead_attempts": 10**15},
        {"event_id": "no id", "half": "\ud83d", "k\x00y": "v", "\ud83d": "v"},
        {"nan": float("nan"), "inf": float("inf"), "list": [None, None], "bytes": b"\xff"},
        {"unknown": "header", "number": 2**63 - 1},
    ],
)
def test_no_header_keeps_a_message_from_becoming_a_row(headers):
    """Else it would come back for ever and hold up all that is behind it."""
    row = ingest(Message("lab", b"garbage", headers))
    row.refresh_from_db()
    assert bytes(row.body) == b"garbage"
    assert all(isinstance(v, str | int | float | None) for v in row.headers.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "s" * 5000},
        {"correlation_id": "c" * 5000},
        {"event_type": "t" * 5000},
        {"subject": "thing/\x00", "correlation_id": "\x00", "data": {"x": "\x00"}},
    ],
)
def test_no_envelope_keeps_a_message_from_becoming_a_row(changes):
    envelope = try_things({1: "ok"})[0].model_copy(update=changes)
    row = ingest(dead(envelope))
    row.refresh_from_db()
    assert row.event_id == envelope.event_id
    assert "\x00" not in row.subject + row.correlation_id


def test_plain_headers_are_kept_and_go_with_a_redrive():
    row = letter(tenant="acme", priority=3, ratio=0.5, ok=True, nothing=None)
    redrive(row)
    wire = Recorder()
    send_redrives(wire)
    kept = {"tenant": "acme", "priority": 3, "ratio": 0.5, "ok": True, "nothing": None}
    assert kept.items() <= wire.sent[0].headers.items()


# --- deciding -----------------------------------------------------------------------------


def test_a_redrive_goes_to_the_queue_it_died_on_and_starts_from_the_first_attempt():
    envelope = try_things({1: "ok"})[0]
    row = ingest(dead(envelope, retries=3))
    redrive(row, by="ada", note="fixed")
    assert state_of(row) == State.REDRIVING
    wire = Recorder()
    assert send_redrives(wire) == 1
    sent = wire.sent[0]
    assert (sent.exchange, sent.routing_key) == (HOME_EXCHANGE, "lab")
    assert sent.body == task_body(envelope.to_json()).encode()
    assert sent.headers["task"] == "lab.tried"
    assert sent.headers["retries"] == 0
    assert not any(name.startswith(("dead_", "x-")) for name in sent.headers)
    row.refresh_from_db()
    assert (row.state, row.resolved_by, row.note) == (State.REDRIVEN, "ada", "fixed")
    assert row.resolved_at is not None
    assert send_redrives(wire) == 0
    assert len(wire.sent) == 1


def test_while_the_broker_is_away_a_redrive_stays_asked_for():
    row = letter()
    redrive(row, by="ada")
    with pytest.raises(BrokerUnavailable):
        send_redrives(Recorder(broken=True))
    assert state_of(row) == State.REDRIVING
    send_redrives(Recorder())
    assert state_of(row) == State.REDRIVEN


def test_what_the_broker_refuses_is_open_again_with_the_reason_and_the_rest_goes():
    first, second = letter(1), letter(2)
    redrive(first, by="ada", note="fixed")
    redrive(second)
    assert send_redrives(Recorder(refused={0: "no queue is bound"})) == 2
    first.refresh_from_db()
    assert (first.state, first.note) == (State.OPEN, "Not redriven: no queue is bound")
    assert (first.resolved_at, first.resolved_by) == (None, "")
    assert state_of(second) == State.REDRIVEN


def test_redrivers_side_by_side_send_each_once():
    rows = [letter(number) for number in range(20)]
    for row in rows:
        redrive(row)
    wires = [Recorder() for _ in range(4)]

    def work(wire):
        while send_redrives(wire, limit=3):
            pass
        connections.close_all()

    threads = [threading.Thread(target=work, args=[wire]) for wire in wires]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while send_redrives(wires[0]):  # what was locked by another when a thread looked
        pass
    sent = [message.headers["event_id"] for wire in wires for message in wire.sent]
    assert sorted(sent) == sorted(str(row.event_id) for row in rows)


@pytest.mark.parametrize("decide", [redrive, discard])
@pytest.mark.parametrize("state", [State.REDRIVING, State.REDRIVEN, State.DISCARDED])
def test_only_an_open_one_can_be_decided_on(decide, state):
    row = letter()
    DeadLetter.objects.update(state=state, resolved_by="ada", note="first")
    with pytest.raises(DeadLetterNotOpen, match=f"{row.pk} is already {state}"):
        decide(row, by="bob", note="second")
    row.refresh_from_db()
    assert (row.state, row.resolved_by, row.note) == (state, "ada", "first")


def test_who_decides_while_another_does_waits_and_is_refused():
    row, refused = letter(), threading.Event()

    def be_second():
        try:
            discard(row)
        except DeadLetterNotOpen:
            refused.set()
        connections.close_all()

    second = threading.Thread(target=be_second)
    with transaction.atomic():
        redrive(row)
        second.start()
        eventually(somebody_waits_for_a_lock)
    second.join(20)
    assert refused.is_set()
    assert state_of(row) == State.REDRIVING


def somebody_waits_for_a_lock():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return cursor.fetchone()[0]


def test_a_discarded_one_stays_with_who_and_why():
    row = letter()
    discard(row, by="ada", note="n\x00" * 1000)
    row.refresh_from_db()
    assert (row.state, row.resolved_by, len(row.note)) == (State.DISCARDED, "ada", 500)
    assert send_redrives(Recorder()) == 0


def parked():
    """An event that the relay has given up on, and its dead letter."""
    envelope = try_things({1: "ok"})[0]
    OutboxEvent.objects.update(parked_at=timezone.now(), attempts=10, last_error="no way")
    row = ingest(dead(envelope, dead_reason=deadletters.UNPUBLISHABLE, dead_consumer="relay"))
    return row, OutboxEvent.objects.get()


def test_an_unpublishable_event_goes_by_the_relay_again():
    row, event = parked()
    redrive(row, by="ada")
    event.refresh_from_db()
    assert (event.parked_at, event.not_before, event.attempts) == (None, None, 0)
    assert state_of(row) == State.REDRIVEN
    wire = Recorder()
    assert send_redrives(wire) == 0
    assert wire.sent == []


def test_an_unpublishable_event_that_is_gone_from_the_outbox_is_not_said_to_be_redriven():
    row, event = parked()
    event.delete()
    with pytest.raises(NothingToRedrive, match=str(row.event_id)):
        redrive(row)
    assert state_of(row) == State.OPEN


def test_the_redriver_backs_off_while_the_broker_takes_none():
    row = letter()
    redrive(row)
    wire = Recorder(broken=True)
    redriver = Redriver(wire)
    assert redriver.look() == 0
    wire.broken = False
    assert redriver.look() == 0  # not at once
    assert wire.sent == []
    redriver._next = 0.0
    assert redriver.look() == 1
    assert state_of(row) == State.REDRIVEN


def test_an_ingester_whose_broker_is_away_ends_when_asked_to():
    tried, ended = threading.Event(), []

    class Watched(Ingester):
        def on_connection_error(self, exc, interval):
            tried.set()

    ingester = Watched(Connection("amqp://guest@127.0.0.1:1//", connect_timeout=1))

    def run():
        try:
            ingester.run()
        except SystemExit as end:
            ended.append(end.code)

    thread = threading.Thread(target=run)
    thread.start()
    assert tried.wait(10)
    ingester.should_stop = True
    thread.join(10)
    assert ended == [0]


# --- command ------------------------------------------------------------------------------


def run(*arguments):
    out, err = StringIO(), StringIO()
    call_command("deadletters", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_list_groups_the_open_ones(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    letter(1), letter(2)
    discard(letter(3, dead_exception="KeyError"))
    run("list")
    shown = capsys.readouterr().out
    assert "2 dead letters" in shown
    assert "ValueError" in shown
    assert "KeyError" not in shown
    run("list", "--all")
    shown = capsys.readouterr().out
    assert "3 dead letters" in shown
    assert "KeyError" in shown


def test_show_tells_everything_of_one():
    row = letter()
    shown, _ = run("show", str(row.pk))
    assert '"subject": "thing/anvil"' in shown
    assert "no such thing" in shown
    assert "consumers.py" in shown


def test_show_of_garbage_and_of_nothing():
    row = ingest(Message("lab", b"\x00\xff", {}))
    assert "\\xff" in run("show", str(row.pk))[0]
    with pytest.raises(CommandError, match="no dead letter 99999"):
        run("show", "99999")


def test_redrive_and_discard_by_id_and_by_selection():
    one, two, three, four = (letter(n) for n in range(4))
    other = letter(5, dead_exception="KeyError", dead_consumer="lab_other.watch_it")
    run("redrive", str(one.pk), str(two.pk), "--note", "fixed")
    run("discard", "--exception", "KeyError")
    assert [state_of(row) for row in (one, two, three, other)] == [
        State.REDRIVING,
        State.REDRIVING,
        State.OPEN,
        State.DISCARDED,
    ]
    one.refresh_from_db()
    assert (one.note, one.resolved_by) == ("fixed", "command line")
    run("redrive", "--queue", "lab", "--consumer", "lab.try_it")
    assert state_of(three) == state_of(four) == State.REDRIVING


def test_one_that_is_decided_keeps_none_of_the_others_from_it():
    done, todo = letter(1), letter(2)
    discard(done)
    with pytest.raises(CommandError, match="1 were left"):
        run("redrive", str(done.pk), str(todo.pk))
    assert (state_of(done), state_of(todo)) == (State.DISCARDED, State.REDRIVING)


@pytest.mark.parametrize("action", ["redrive", "discard"])
def test_without_a_selection_nothing_happens(action):
    row = letter()
    with pytest.raises(CommandError, match="Say which"):
        run(action)
    with pytest.raises(CommandError, match="no dead letter 99999"):
        run(action, "99999")
    assert state_of(row) == State.OPEN
    run(action, "--all")
    assert state_of(row) != State.OPEN


# --- admin --------------------------------------------------------------------------------


def found(client, query="", where=LIST):
    response = client.get(where + query)
    assert response.status_code == 200, response.content
    return {row.pk for row in response.context["cl"].result_list}


def decide(client, decision, *rows, note="because", follow=True):
    data = {"ids": ",".join(str(row.pk) for row in rows), "note": note}
    return client.post(f"{LIST}{decision}/decide/", data, follow=follow)


def told(response):
    return [str(message) for message in response.context["messages"]]


def test_the_list_shows_open_ones_unless_told_otherwise(admin_client):
    open_, gone = letter(1), letter(2)
    discard(gone)
    assert found(admin_client) == {open_.pk}
    assert found(admin_client, "?state=discarded") == {gone.pk}
    assert found(admin_client, "?state=all") == {open_.pk, gone.pk}


def test_filters_and_whole_value_search(admin_client):
    row = letter(1)
    other = letter(2, dead_reason="permanent", dead_exception="Hopeless", dead_queue="audit")
    assert found(admin_client, "?reason=permanent") == {other.pk}
    assert found(admin_client, "?exception=ValueError&queue=lab") == {row.pk}
    assert found(admin_client, "?consumer=lab.try_it&event_type=lab.tried") == {row.pk, other.pk}
    assert found(admin_client, f"?q={row.event_id}") == {row.pk}
    assert found(admin_client, "?q=thing/anvil") == {row.pk, other.pk}
    row.refresh_from_db()
    assert found(admin_client, f"?q={row.correlation_id}") >= {row.pk}
    assert found(admin_client, "?q=anvil") == set()
    discard(row)  # a search finds decided ones, too
    assert found(admin_client, f"?q={row.event_id}") == {row.pk}


def test_the_detail_shows_all_and_leads_to_the_journey(admin_client):
    row = letter(dead_message="<b>bad</b>")
    row.refresh_from_db()
    page = admin_client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert "consumers.py" in page
    assert "&quot;number&quot;: 1" in page
    assert "&lt;b&gt;bad" in page
    assert f"/admin/audit/storedevent/?q={row.correlation_id}" in page
    assert f"{LIST}redrive/decide/?ids={row.pk}" in page
    discard(row)
    assert "redrive/decide" not in admin_client.get(f"{LIST}{row.pk}/change/").content.decode()


def test_the_detail_of_garbage_opens(admin_client):
    for body in (b"\x00\xff<script>", b"[" * 100_000, b""):
        row = ingest(Message("lab", body, {}))
        page = admin_client.get(f"{LIST}{row.pk}/change/")
        assert page.status_code == 200
        assert b"<script>\n" not in page.content.split(b'<pre class="long">')[1]


def test_an_action_asks_for_a_note_and_changes_nothing_yet(admin_client):
    one, two = letter(1), letter(2)
    data = {"action": "ask_redrive", "_selected_action": [one.pk, two.pk]}
    page = admin_client.post(LIST, data)
    assert "Redrive 2 dead letters" in page.content.decode()
    assert page.context["form"].initial["ids"] == f"{one.pk},{two.pk}"
    assert state_of(one) == state_of(two) == State.OPEN


def test_a_decision_is_made_by_name_with_a_note(admin_client):
    back, away, left = letter(1), letter(2), letter(3)
    assert "Redrive of 1 dead letter asked" in told(decide(admin_client, "redrive", back))[0]
    assert told(decide(admin_client, "discard", away)) == ["1 dead letter discarded."]
    back.refresh_from_db()
    assert (back.state, back.resolved_by, back.note) == (State.REDRIVING, "admin", "because")
    assert (state_of(away), state_of(left)) == (State.DISCARDED, State.OPEN)


def test_a_decision_needs_a_note_and_ids(admin_client):
    row = letter()
    page = decide(admin_client, "redrive", row, note=" ")
    assert "This field is required" in page.content.decode()
    admin_client.post(f"{LIST}redrive/decide/", {"ids": "1,x", "note": "n"})
    admin_client.post(f"{LIST}redrive/decide/", {"note": "n"})
    assert admin_client.get(f"{LIST}explode/decide/?ids={row.pk}").status_code == 404
    assert state_of(row) == State.OPEN


def test_what_is_no_longer_open_is_told_and_the_rest_is_decided(admin_client):
    gone, row = letter(1), letter(2)
    discard(gone, by="bob")
    messages = told(decide(admin_client, "redrive", gone, row))
    assert f"Dead letter {gone.pk} is already discarded." in messages
    assert (state_of(gone), state_of(row)) == (State.DISCARDED, State.REDRIVING)
    page = admin_client.get(f"{LIST}redrive/decide/?ids={gone.pk}", follow=True)
    assert told(page) == ["None of these is open."]


@pytest.fixture
def viewer(client):
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_deadletter"))
    client.force_login(user)
    return client


def test_who_may_only_look_can_decide_nothing(viewer):
    row = letter()
    assert found(viewer) == {row.pk}
    assert decide(viewer, "redrive", row).status_code == 403
    assert viewer.get(f"{LIST}discard/decide/?ids={row.pk}").status_code == 403
    data = {"action": "ask_redrive", "_selected_action": [row.pk]}
    assert "Redrive 1" not in viewer.post(LIST, data, follow=True).content.decode()
    assert "redrive/decide" not in viewer.get(f"{LIST}{row.pk}/change/").content.decode()
    assert state_of(row) == State.OPEN


def test_change_permission_is_what_it_takes(viewer):
    row = letter()
    user = User.objects.get(username="viewer")
    user.user_permissions.add(Permission.objects.get(codename="change_deadletter"))
    decide(viewer, "discard", row)
    assert state_of(row) == State.DISCARDED


def test_outsiders_are_sent_to_the_login(client):
    row = letter()
    response = decide(client, "discard", row, follow=False)
    assert response.status_code == 302
    assert "login" in response["Location"]
    assert state_of(row) == State.OPEN


def test_nothing_can_be_added_changed_or_deleted(admin_client):
    row = letter()
    for model in ("deadletter", "outboxevent", "inboxentry", "suspectdelivery"):
        assert admin_client.get(f"/admin/events/{model}/add/").status_code == 403
    assert admin_client.post(f"{LIST}{row.pk}/change/", {"state": "redriven"}).status_code == 403
    assert admin_client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert state_of(row) == State.OPEN


def test_the_outbox_by_stage(admin_client):
    where = "/admin/events/outboxevent/"
    try_things({n: "ok" for n in range(4)})
    pending, held, given_up, sent = OutboxEvent.objects.order_by("pk")
    later = timezone.now() + timedelta(minutes=5)
    OutboxEvent.objects.filter(pk=held.pk).update(not_before=later, last_error="no queue")
    OutboxEvent.objects.filter(pk=given_up.pk).update(parked_at=timezone.now())
    OutboxEvent.objects.filter(pk=sent.pk).update(published_at=timezone.now())
    assert found(admin_client, "", where) == {pending.pk, held.pk, given_up.pk, sent.pk}
    assert found(admin_client, "?stage=pending", where) == {pending.pk, held.pk}
    assert found(admin_client, "?stage=held+back", where) == {held.pk}
    assert found(admin_client, "?stage=parked", where) == {given_up.pk}
    assert found(admin_client, "?stage=published", where) == {sent.pk}
    assert found(admin_client, f"?q={sent.event_id}", where) == {sent.pk}
    assert found(admin_client, "?q=thing/anvil", where) == {pending.pk, held.pk}
    page = admin_client.get(f"{where}{held.pk}/change/").content.decode()
    assert "&quot;number&quot;: 1" in page
    assert "/admin/audit/storedevent/?q=" in page
    OutboxEvent.objects.filter(pk=held.pk).update(envelope="{damaged")
    assert b"{damaged" in admin_client.get(f"{where}{held.pk}/change/").content


@pytest.mark.parametrize("model", [InboxEntry, SuspectDelivery])
def test_inbox_and_suspects_by_consumer_and_event(admin_client, model):
    where = f"/admin/events/{model._meta.model_name}/"
    name = "handled_at" if model is InboxEntry else "last_started_at"
    rows = [
        model.objects.create(consumer=consumer, event_id=new_id(), **{name: timezone.now()})
        for consumer in ("lab.try_it", "lab_other.watch_it")
    ]
    assert found(admin_client, "", where) == {row.pk for row in rows}
    assert found(admin_client, "?consumer=lab.try_it", where) == {rows[0].pk}
    assert found(admin_client, f"?q={rows[1].event_id}", where) == {rows[1].pk}
    assert found(admin_client, "?q=lab", where) == set()
    assert admin_client.get(f"{where}{rows[0].pk}/change/").status_code == 200


def test_parked_events_are_found_by_an_index_of_their_own():
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            "EXPLAIN SELECT id FROM events_outboxevent WHERE parked_at IS NOT NULL ORDER BY id"
        )
        assert "outbox_parked" in str(cursor.fetchall())
