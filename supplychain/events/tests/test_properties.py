"""What holds for every envelope, message and policy, and not only for those one thinks of."""

import json
from datetime import UTC

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from supplychain.events import Payload
from supplychain.events.consumers import Retry, consumers
from supplychain.events.envelope import (
    Envelope,
    MalformedMessage,
    read_body,
    task_body,
    task_headers,
)
from supplychain.events.handling import Message
from supplychain.events.names import DELAY_LEVELS, delay_level

text = st.text(st.characters(codec="utf-8"))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=10,
)
envelopes = st.builds(
    Envelope,
    event_id=st.uuids(),
    event_type=text,
    event_version=st.integers(1, 10**6),
    timestamp=st.datetimes(timezones=st.just(UTC)),
    producer=text,
    subject=text,
    sequence=st.integers(1, 2**63),
    correlation_id=text,
    causation_id=st.none() | st.uuids(),
    traceparent=st.none() | text,
    data=st.dictionaries(text, json_values, max_size=4),
)


@given(envelopes)
def test_an_envelope_arrives_as_it_was_sent(sent):
    assert Envelope.model_validate_json(sent.to_json()) == sent
    assert read_body(task_body(sent.to_json())) == sent
    assert read_body(task_body(sent.to_json()).encode()) == sent


@given(envelopes)
def test_its_text_is_canonical(sent):
    """The event store hashes it: whoever reads it and writes it again gets the same bytes."""
    said = sent.to_json()
    assert Envelope.model_validate_json(said).to_json() == said
    other_order = {"data": dict(reversed(sent.data.items()))}
    assert sent.model_copy(update=other_order).to_json() == said
    assert said.isascii()
    assert "\n" not in said


@given(envelopes, st.dictionaries(text, json_values, max_size=3))
def test_fields_that_are_not_known_here_are_passed_over(sent, more):
    known = json.loads(sent.to_json())
    assume(not set(more) & set(known))
    assert Envelope.model_validate({**known, **more}) == sent


class Place(Payload):
    latitude: float


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_does_not_know_is_refused_when_the_event_is_made(number):
    """It would travel as null, and no consumer could read it."""
    with pytest.raises(ValidationError, match="finite"):
        Place(latitude=number)


@given(envelopes)
def test_headers_are_plain_and_name_the_event(sent):
    headers = task_headers(sent)
    assert json.loads(json.dumps(headers)) == headers
    assert (headers["task"], headers["id"]) == (sent.event_type, str(sent.event_id))


@given(st.binary() | text.map(str.encode) | json_values.map(json.dumps).map(str.encode))
@example(b"[" * 100_000)
@example(b'[[{"a":' * 20_000)
@example(b'["\\ud800"]')
@example(b"[[" + b"9" * 5000 + b"],{},{}]")
def test_any_bytes_are_an_envelope_or_malformed(body):
    with pytest.raises(MalformedMessage):
        read_body(body)


@given(envelopes, st.data())
def test_a_damaged_message_is_an_envelope_or_malformed(sent, data):
    body = bytearray(task_body(sent.to_json()).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = read_body(bytes(body))
    except MalformedMessage:
        return
    assert isinstance(read, Envelope)


@given(
    st.builds(
        Message,
        queue=text,
        body=st.binary(),
        headers=st.dictionaries(text, json_values, max_size=3),
        redelivered=st.booleans(),
        content_type=text,
    )
)
def test_a_message_reaches_the_pool_process_whole(message):
    assert Message.from_json(json.loads(json.dumps(message.to_json()))) == message


# --- waiting ------------------------------------------------------------------------------

seconds = st.floats(0.01, 10_000, allow_nan=False)
policies = st.builds(
    Retry, attempts=st.integers(1, 50), base=seconds, cap=seconds, jitter=st.booleans()
)


@given(policies, st.integers(1, 2000))
@example(Retry(attempts=2000, base=1, cap=60), 2000)
def test_no_wait_is_longer_than_the_cap_nor_shorter_than_half_of_what_is_due(policy, failed):
    wait = policy.delay(failed)
    due = policy.cap if failed > 60 else min(policy.cap, policy.base * 2.0 ** (failed - 1))
    assert due / 2 <= wait <= due
    if not policy.jitter:
        assert wait == due


@given(policies, st.integers(1, 60))
def test_without_jitter_waits_never_become_shorter(policy, failed):
    steady = Retry(policy.attempts, policy.base, policy.cap, jitter=False)
    assert steady.delay(failed) <= steady.delay(failed + 1)


@given(st.floats(0, 10_000))
def test_a_wait_has_a_level_that_is_long_enough_and_none_below_would_do(wait):
    level = delay_level(wait)
    assert level in DELAY_LEVELS
    assert level >= min(wait, DELAY_LEVELS[-1])
    assert all(shorter < wait for shorter in DELAY_LEVELS if shorter < level)


def test_every_declared_policy_waits_in_the_ladder():
    for declared in consumers():
        assert declared.retry.cap <= DELAY_LEVELS[-1], declared.name
