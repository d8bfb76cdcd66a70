"""Promise: a message counts as published when the broker has confirmed it on all replicas,
and waiting for that costs one round trip per batch, not one per message.

py-amqp's own confirm mode waits after every message and takes any acknowledgement for it.
Here each delivery tag is matched, messages are mandatory (unroutable ones come back), and a
connection whose state is in doubt is dropped. What comes back, or is answered with a nack, may
be overtaken by those of its order that went out in the same batch: the price of one wait a batch.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Sequence
from typing import Any

from amqp.exceptions import ChannelError, FrameSyntaxError
from kombu import Connection

from .amqp_frames import publish_command
from .names import delay_level, delay_name
from .wire import HELD_BACK, BrokerUnavailable, Outgoing

logger = logging.getLogger(__name__)

#: Bytes that are gathered for one write to the socket.
WRITE_SIZE = 64 * 1024
#: Seconds until a batch without confirms counts as lost.
CONFIRM_TIMEOUT = 30.0
_UNENCODABLE = (FrameSyntaxError, ValueError, TypeError, struct.error, OverflowError)


class AmqpWire:
    """One connection and one channel in confirm mode; not for use by several threads."""

    def __init__(self, url: str, *, patience: float = CONFIRM_TIMEOUT) -> None:
        self._url = url
        self._patience = patience
        self._connection: Connection | None = None
        self._channel: Any = None
        self._last_tag = 0
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._waiting: dict[int, int] = {}  # delivery tag → index in the batch
        self._refused: dict[int, str] = {}
        self._settled: set[int] = set()  # confirmed indexes
        self._stuck: set[str] = set()  # orders that must not go on

    def publish(self, messages: Sequence[Outgoing]) -> dict[int, str]:
        self._waiting, self._refused = {}, {}
        self._settled, self._stuck = set(), set()
        self._unsent, self._unsent_bytes = [], 0
        try:
            self._open()
            try:
                self._send(list(enumerate(messages)))
            except ChannelError:
                # One message made the broker close the channel: which one? The rest of the
                # batch goes singly, so that only the culprit is refused.
                self._send_singly(messages)
        except self._connection_errors() as lost:
            self._drop()
            raise BrokerUnavailable(f"{type(lost).__name__}: {lost}") from lost
        except BaseException:
            self._drop()
            raise
        return self._refused

    def _send(self, messages: Sequence[tuple[int, Outgoing]]) -> None:
        for index, message in messages:
            if message.order and message.order in self._stuck:
                self._refused[index] = HELD_BACK
                continue
            try:
                self._send_one(index, message)
            except _UNENCODABLE as unencodable:
                self._refuse(index, message, f"{type(unencodable).__name__}: {unencodable}")
        self._await_confirms()

    def _refuse(self, index: int, message: Outgoing, reason: str) -> None:
        self._refused[index] = reason
        self._stuck.add(message.order)

    def _send_one(self, index: int, message: Outgoing) -> None:
        exchange, expiration = message.exchange, ""
        if message.delay > 0:
            level = delay_level(message.delay)
            exchange = delay_name(level)
            expiration = str(int(min(message.delay, level) * 1000))
        is_text = isinstance(message.body, str) or message.content_type == "application/json"
        command = publish_command(
            channel=self._channel.channel_id,
            frame_max=self._channel.connection.frame_max,
            exchange=exchange,
            routing_key=message.routing_key,
            body=message.body.encode() if isinstance(message.body, str) else message.body,
            headers=message.headers,
            content_type=message.content_type,
            # Named for text only; other bytes travel as they came.
            content_encoding="utf-8" if is_text else "binary",
            message_id=str(index),
            correlation_id=str(message.headers.get("id") or "")[:255],
            expiration=expiration,
        )
        self._unsent.append(command)
        self._unsent_bytes += len(command)
        self._last_tag += 1
        self._waiting[self._last_tag] = index
        if self._unsent_bytes > WRITE_SIZE:
            self._flush()

    def _flush(self) -> None:
        """py-amqp is idle meanwhile: one thread, and no method of its own in between."""
        pending, self._unsent, self._unsent_bytes = b"".join(self._unsent), [], 0
        self._channel.connection.transport.write(pending)

    def _await_confirms(self) -> None:
        assert self._connection is not None
        self._flush()
        deadline = time.monotonic() + self._patience
        while self._waiting:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no confirm for {len(self._waiting)} messages")
            self._connection.drain_events(timeout=left)

    def _send_singly(self, messages: Sequence[Outgoing]) -> None:
        self._open_channel()
        unsure = sorted(self._waiting.values())
        # What was not even sent before the channel closed is unsure as well.
        settled = self._settled | set(self._refused)
        unsure += [i for i in range(len(messages)) if i not in settled and i not in unsure]
        for index in unsure:
            self._waiting, self._unsent, self._unsent_bytes = {}, [], 0
            try:
                self._send([(index, messages[index])])
                if index in self._refused:
                    self._stuck.add(messages[index].order)
            except ChannelError as refused:
                self._refuse(index, messages[index], str(refused))
                self._open_channel()

    # --- connection -----------------------------------------------------------------------

    def _open(self) -> None:
        if self._connection is not None and self._connection.connected and self._channel.is_open:
            return
        self.close()
        # Its own options: confirm_publish would wait after every message.
        self._connection = Connection(
            self._url, transport_options={}, connect_timeout=5, heartbeat=0
        )
        self._connection.connect()
        # A broker that is out of memory or disk neither reads nor answers: every wait ends.
        self._connection.connection.transport.sock.settimeout(self._patience)
        self._open_channel()

    def _open_channel(self) -> None:
        """A new one always: py-amqp revives a channel that the broker closed, but without
        its confirm mode."""
        assert self._connection is not None
        self._channel = self._connection.channel()
        self._channel.confirm_select()
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)
        self._channel.events["basic_return"].add(self._on_return)
        self._last_tag = 0

    def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is None:
            return
        try:
            connection.close()
        except Exception as failure:  # noqa: BLE001 - it is being given up, whatever its state
            logger.debug("Closing the broker connection: %s", failure)

    def _drop(self) -> None:
        """Give the connection up as it is: a polite end would wait for the broker's word."""
        connection, self._connection, self._channel = self._connection, None, None
        raw = connection.connection if connection is not None and connection.connected else None
        if raw is not None:
            raw.transport.close()
            raw.collect()

    def _connection_errors(self) -> tuple[type[BaseException], ...]:
        return (OSError, TimeoutError, *Connection(self._url).connection_errors, ChannelError)

    # --- what the broker answers ----------------------------------------------------------

    def _tags(self, delivery_tag: int, multiple: bool) -> list[int]:
        if not multiple:
            return [delivery_tag]
        return [tag for tag in self._waiting if tag <= delivery_tag]

    def _on_ack(self, delivery_tag: int, multiple: bool) -> None:
        for tag in self._tags(delivery_tag, multiple):
            index = self._waiting.pop(tag, None)
            if index is not None:
                self._settled.add(index)

    def _on_nack(self, delivery_tag: int, multiple: bool) -> None:
        for tag in self._tags(delivery_tag, multiple):
            index = self._waiting.pop(tag, None)
            if index is not None:
                self._refused[index] = "the broker answered with a nack"

    def _on_return(self, error: Exception, exchange: str, key: str, message: Any) -> None:
        """Comes before the message's ack."""
        index = int(message.properties["message_id"])
        self._refused[index] = (
            f"no queue is bound to {exchange!r} for {key!r}; run `manage.py topology --declare`"
        )
