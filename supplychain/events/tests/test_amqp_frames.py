"""The same bytes as py-amqp's, for whatever a message may be."""

from types import SimpleNamespace

import amqp
import pytest
from amqp import spec
from amqp.exceptions import FrameSyntaxError
from amqp.method_framing import frame_writer
from amqp.serialization import dumps
from hypothesis import given
from hypothesis import strategies as st

from supplychain.events.amqp_frames import publish_command

FRAME_MAX = 4096
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False)
    | texts
    | st.binary(max_size=40)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def by_py_amqp(*, exchange, routing_key, body, **properties):
    """What py-amqp writes, through its own frame writer, into a list instead of a socket."""
    written: list[bytes] = []
    connection = SimpleNamespace(frame_max=FRAME_MAX, bytes_sent=0)
    transport = SimpleNamespace(write=lambda data: written.append(bytes(data)))
    arguments = dumps("Bssbb", (0, exchange, routing_key, True, False))
    write = frame_writer(connection, transport)
    write(1, 7, spec.Basic.Publish, arguments, amqp.Message(body, **properties))
    return b"".join(written)


def ours(*, exchange, routing_key, body, application_headers, **properties):
    del properties["delivery_mode"]
    return publish_command(
        channel=7,
        frame_max=FRAME_MAX,
        exchange=exchange,
        routing_key=routing_key,
        body=body,
        headers=application_headers,
        **properties,
    )


@given(
    exchange=names,
    routing_key=names,
    body=st.binary(max_size=200) | st.integers(0, 20_000).map(lambda n: b"x" * n),
    headers=st.dictionaries(names, values, max_size=6),
    correlation_id=names.filter(bool),
    expiration=st.integers(0, 10**9).map(str),
)
def test_the_bytes_are_those_of_py_amqp(
    exchange, routing_key, body, headers, correlation_id, expiration
):
    message = {
        "exchange": exchange,
        "routing_key": routing_key,
        "body": body,
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "application_headers": headers,
        "delivery_mode": 2,
        "correlation_id": correlation_id,
        "expiration": expiration,
        "message_id": "17",
    }
    assert ours(**message) == by_py_amqp(**message)


def test_a_name_longer_than_amqp_allows_is_refused():
    with pytest.raises(ValueError, match="256 bytes"):
        publish_command(**plain(routing_key="x" * 256))


def test_headers_longer_than_a_frame_are_refused():
    with pytest.raises(FrameSyntaxError, match="more than a frame"):
        publish_command(**plain(headers={"big": "x" * FRAME_MAX}))


def test_a_header_that_is_no_amqp_value_is_refused():
    with pytest.raises(FrameSyntaxError):
        publish_command(**plain(headers={"odd": object()}))


def plain(**changes):
    return {
        "channel": 1,
        "frame_max": FRAME_MAX,
        "exchange": "orders",
        "routing_key": "orders.order_placed",
        "body": b"{}",
        "headers": {},
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "message_id": "0",
        **changes,
    }
