"""Event classes, envelopes and the wire format."""

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from pydantic import ValidationError

from supplychain.events.base import (
    Event,
    EventDefinitionError,
    InvalidEventData,
    UnknownEventType,
    UnknownEventVersion,
)
from supplychain.events.envelope import (
    Envelope,
    MalformedMessage,
    read_body,
    task_body,
    task_headers,
)
from tests.lab.events import Tried


def envelope(**changes):
    fields = {
        "event_id": uuid4(),
        "event_type": "lab.tried",
        "event_version": 2,
        "timestamp": datetime.now(UTC),
        "producer": "lab",
        "subject": "thing/anvil",
        "sequence": 1,
        "correlation_id": "journey",
        "data": {"thing": "anvil", "number": 1},
    }
    return Envelope(**{**fields, **changes})


def test_an_event_is_frozen():
    with pytest.raises(ValidationError):
        Tried(thing="anvil", number=1).number = 2


def test_unknown_fields_are_refused_when_publishing():
    with pytest.raises(ValidationError, match="colour"):
        Tried(thing="anvil", number=1, colour="red")


def test_unknown_fields_are_tolerated_when_consuming_even_nested():
    data = {"thing": "anvil", "number": 1, "colour": "red", "parts": [{"size": 1, "new": 2}]}
    event = envelope(data=data).open()
    assert isinstance(event, Tried)
    assert event.parts[0].size == 1


def test_an_older_version_is_brought_up_to_date():
    event = envelope(event_version=1, data={"name": "anvil", "number": 1}).open()
    assert event.thing == "anvil"


@pytest.mark.parametrize("version", [3, 99])
def test_a_newer_version_is_refused_for_good(version):
    with pytest.raises(UnknownEventVersion, match="only up to v2"):
        envelope(event_version=version).open()


def test_an_unknown_type_is_refused_for_good():
    with pytest.raises(UnknownEventType, match=r"lab\.nonsense"):
        envelope(event_type="lab.nonsense").open()


def test_data_that_does_not_fit_names_the_field():
    with pytest.raises(InvalidEventData, match="number"):
        envelope(data={"thing": "anvil", "number": "many"}).open()


def test_two_classes_cannot_claim_one_type():
    with pytest.raises(EventDefinitionError, match=r"lab\.tried"):

        class Again(Event, type="lab.tried", subject="thing/{thing}"):
            thing: str


def test_the_wire_form_is_a_celery_protocol_2_message():
    sent = envelope()
    args, kwargs, embed = json.loads(task_body(sent.to_json()))
    headers = task_headers(sent)
    assert (headers["task"], headers["id"]) == ("lab.tried", str(sent.event_id))
    assert kwargs == {}
    assert set(embed) == {"callbacks", "errbacks", "chain", "chord"}
    assert args[0]["correlation_id"] == "journey"
    assert read_body(task_body(sent.to_json())) == sent


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"[[]]", b"[[1],{},{}]", b"\xff\xfe", b"null", b"[[{}],{},{}]", b"1e999"],
)
def test_what_is_no_envelope_is_malformed(body):
    with pytest.raises(MalformedMessage):
        read_body(body)
