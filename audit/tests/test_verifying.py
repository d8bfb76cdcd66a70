"""`manage.py audit`: what was tampered with is found and named."""

import hashlib
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from audit import selectors
from audit.models import ChainHead, StoredEvent
from supplychain.events.context import new_id

from .conftest import happen, record

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stored():
    sent = happen(6)
    record(sent)
    return sent


def faults():
    return {position: fault for position, fault in selectors.chain_faults() if fault}


def audit(*arguments):
    out = StringIO()
    call_command("audit", *arguments, stdout=out)
    return out.getvalue()


def test_an_untouched_chain_is_whole_and_tells_its_head(stored, monkeypatch):
    monkeypatch.setattr(selectors, "CHUNK", 4)  # the slices must join up
    said = audit("verify")
    assert "6 events, the chain is whole." in said
    assert f"Head: 6 {ChainHead.objects.get().hash}" in said


def test_an_empty_store_is_whole():
    assert "0 events, the chain is whole." in audit("verify")


def test_a_changed_body_is_found(stored, tamper):
    tamper("UPDATE audit_storedevent SET body = replace(body, 'anvil', 'gold!') WHERE position=3")
    assert faults() == {3: "changed: its hash is not that of its body and position"}
    with pytest.raises(CommandError, match="1 of 6 positions"):
        audit("verify")


def test_a_changed_body_with_a_hash_to_match_is_found(stored, tamper):
    row = StoredEvent.objects.get(position=3)
    body = row.body.replace("anvil", "gold!")
    forged = hashlib.sha256(f"{row.previous_hash}\n3\n{body}".encode()).hexdigest()
    sql = "UPDATE audit_storedevent SET body=%s, subject='thing/gold!', hash=%s WHERE position=3"
    tamper(sql, body, forged)
    assert faults() == {4: "changed: it does not follow from the row before it"}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("subject", "'thing/other'"),
        ("sequence", "77"),
        ("correlation_id", "'another'"),
        ("causation_id", "event_id"),
        ("timestamp", "timestamp - interval '1 day'"),
        ("event_version", "2"),
    ],
)
def test_a_changed_column_is_found(stored, tamper, column, value):
    tamper(f"UPDATE audit_storedevent SET {column} = {value} WHERE position = 2")
    assert faults() == {2: f"changed: {column} not as in its body"}


def test_rows_taken_from_the_middle_are_found(stored, tamper):
    tamper("DELETE FROM audit_storedevent WHERE position IN (2, 4, 5)")
    assert faults() == {2: "missing", 4: "missing, up to 5"}


def test_the_first_row_missing_is_found(stored, tamper):
    tamper("DELETE FROM audit_storedevent WHERE position = 1")
    assert faults() == {1: "missing"}


def test_a_cut_off_end_is_found(stored, tamper):
    tamper("DELETE FROM audit_storedevent WHERE position >= 5")
    assert faults() == {5: "missing, up to 6 at the end of the chain"}


def test_a_store_that_was_emptied_is_found(stored, tamper):
    tamper("DELETE FROM audit_storedevent")
    assert faults() == {1: "missing, up to 6 at the end of the chain"}


def test_swapped_rows_are_found(stored, tamper):
    tamper("UPDATE audit_storedevent SET position = 99 WHERE position = 2")
    tamper("UPDATE audit_storedevent SET position = 2 WHERE position = 3")
    tamper("UPDATE audit_storedevent SET position = 3 WHERE position = 99")
    assert {2, 3} <= set(faults())


@pytest.mark.parametrize("position", [0, 8])
def test_an_added_row_is_found(stored, tamper, position):
    last = StoredEvent.objects.get(position=6)
    last.pk, last.event_id = position, "0199a1b2-0000-7000-8000-000000000000"
    last.save(force_insert=True)
    assert "added" in faults()[position]


def test_a_last_row_put_in_the_place_of_the_true_one_is_found(stored, tamper):
    row = StoredEvent.objects.get(position=6)
    body = row.body.replace("anvil", "gold!")
    forged = hashlib.sha256(f"{row.previous_hash}\n6\n{body}".encode()).hexdigest()
    sql = "UPDATE audit_storedevent SET body=%s, subject='thing/gold!', hash=%s WHERE position=6"
    tamper(sql, body, forged)
    assert faults() == {6: "changed: its hash is not the one that the chain's head has"}


def test_what_is_appended_meanwhile_is_no_fault(stored):
    walk = selectors.chain_faults()
    next(walk)
    record(happen(3))
    assert [fault for _, fault in walk if fault] == []


def test_gaps_and_repeats_are_counted(stored):
    assert "without gaps" in audit("gaps")
    lost = happen(3, thing="hammer")
    record([lost[0], lost[2], lost[2].model_copy(update={"event_id": new_id()})])
    (gap,) = selectors.sequence_gaps()
    assert (gap["subject"], gap["last"], gap["stored"], gap["distinct"]) == (
        "thing/hammer",
        3,
        3,
        2,
    )
    with pytest.raises(CommandError, match="missing or doubled"):
        audit("gaps")


def test_a_journey_is_shown_by_correlation_and_by_subject():
    sent = [*happen(2, "anvil", "journey-7"), *happen(1, "hammer", "journey-7")]
    record([*sent, *happen(1, "saw", "another")])
    for key in ("journey-7", "thing/anvil"):
        assert [r.event_id for r in selectors.journey(key)] == [e.event_id for e in sent]
    said = audit("show", "journey-7")
    assert "lab.counted" in said and "hammer" in said and "saw" not in said
    with pytest.raises(CommandError, match="Nothing is stored"):
        audit("show", "nobody")
