"""Promise: a publish command as AMQP 0-9-1 bytes, the same that py-amqp would write, made several
times quicker and without a system call of its own, so that a whole batch goes out in few writes.

Encoding and one ``send()`` per message were most of what the relay did. Source: AMQP 0-9-1
specification, sections 2.3.5 (frames) and 4.2 (their grammar), with RabbitMQ's field types
(https://www.rabbitmq.com/amqp-0-9-1-errata.html, section 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from struct import Struct
from typing import Any

from amqp.exceptions import FrameSyntaxError
from amqp.serialization import dumps

_FRAME = Struct(">BHI")  # type, channel, size
_PUBLISH = Struct(">HHH")  # class, method, reserved
_CONTENT = Struct(">HHQH")  # class, weight, body size, property flags
_LONG_TEXT = Struct(">cI")
_INTEGER = Struct(">ci")
_END = b"\xce"
_METHOD, _HEADER, _BODY = 1, 2, 3
_BASIC, _BASIC_PUBLISH, _MANDATORY = 60, 40, b"\x01"
#: What a frame needs besides its payload.
_OVERHEAD = 8
#: Which properties follow, in the order of their bits.
_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS = 1 << 15, 1 << 14, 1 << 13
_DELIVERY_MODE, _CORRELATION_ID = 1 << 12, 1 << 10
_EXPIRATION, _MESSAGE_ID = 1 << 8, 1 << 7
_ALWAYS = _CONTENT_TYPE | _CONTENT_ENCODING | _HEADERS | _DELIVERY_MODE | _MESSAGE_ID
_PERSISTENT = b"\x02"


def publish_command(
    *,
    channel: int,
    frame_max: int,
    exchange: str,
    routing_key: str,
    body: bytes,
    headers: Mapping[str, Any],
    content_type: str,
    content_encoding: str,
    message_id: str,
    correlation_id: str = "",
    expiration: str = "",
) -> bytes:
    """A mandatory, persistent basic.publish with its content; ``expiration`` is in ms.

    Raises FrameSyntaxError or ValueError for what AMQP can't express.
    """
    flags = _ALWAYS
    properties = [_name(content_type), _name(content_encoding), _table(headers), _PERSISTENT]
    if correlation_id:
        flags |= _CORRELATION_ID
        properties.append(_short(correlation_id))
    if expiration:
        flags |= _EXPIRATION
        properties.append(_short(expiration))
    properties.append(_short(message_id))
    method = _PUBLISH.pack(_BASIC, _BASIC_PUBLISH, 0) + _name(exchange) + _name(routing_key)
    content = _CONTENT.pack(_BASIC, 0, len(body), flags) + b"".join(properties)
    if len(content) > frame_max - _OVERHEAD:
        raise FrameSyntaxError(f"The headers take {len(content):,} bytes, more than a frame has.")
    frames = [*_frame(_METHOD, channel, method + _MANDATORY), *_frame(_HEADER, channel, content)]
    step = frame_max - _OVERHEAD
    for start in range(0, len(body), step):
        frames += _frame(_BODY, channel, body[start : start + step])
    return b"".join(frames)


def _frame(kind: int, channel: int, payload: bytes) -> Iterator[bytes]:
    yield _FRAME.pack(kind, channel, len(payload))
    yield payload
    yield _END


def _short(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > 255:
        raise ValueError(f"{len(encoded)} bytes where AMQP has room for 255: {text[:40]}…")
    return bytes((len(encoded),)) + encoded


#: Names of headers and content types: few, and always the same.
_name = lru_cache(maxsize=1024)(_short)


def _table(values: Mapping[str, Any]) -> bytes:
    parts: list[bytes] = []
    for name, value in values.items():
        parts.append(_name(name))
        parts.append(_value(value))
    table = b"".join(parts)
    return len(table).to_bytes(4) + table


def _value(value: Any) -> bytes:
    """The kinds of value that events have are encoded here, any other by py-amqp."""
    kind = type(value)
    if kind is str:
        text: bytes = value.encode()
        return _LONG_TEXT.pack(b"S", len(text)) + text
    if value is None:
        return b"V"
    if kind is bool:
        return b"t\x01" if value else b"t\x00"
    if kind is int and -(2**31) < value < 2**31:
        return _INTEGER.pack(b"I", value)
    if kind is list:
        items = b"".join(map(_value, value))
        return _LONG_TEXT.pack(b"A", len(items)) + items
    # A table of one entry with an empty name: four bytes of length and one for the name.
    encoded: bytes = dumps("F", [{"": value}])
    return encoded[5:]
