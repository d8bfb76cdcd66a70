"""Promise: all e-mails of a batch go over one connection, and one that fails keeps none of the
others back."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

from supplychain.errors import SupplyChainError
from supplychain.events.base import event_class

from .messages import write
from .models import Notification, Recipient
from .results import Result, failed


class MailServerAway(SupplyChainError):
    """The mail server can't be reached."""


class RecipientUnknown(SupplyChainError):
    """The order's recipient is not known yet; its OrderPlaced is on its way."""


class NobodyToWriteTo(SupplyChainError):
    """The recipient has no e-mail address."""


class Mailer:
    """Sends e-mails until a deadline of time.monotonic(). What was not tried has no result."""

    def __init__(self, people: dict[UUID, Recipient], deadline: float) -> None:
        self.results: dict[UUID, Result] = {}
        self._people = people
        self._deadline = deadline

    def send(self, rows: Sequence[Notification]) -> None:
        """Fills ``results``; raises MailServerAway, which is no message's failure."""
        connection = _connect()
        try:
            for row in rows:
                if time.monotonic() >= self._deadline:
                    return
                self._send_one(row, connection)
        finally:
            connection.close()

    def _send_one(self, row: Notification, connection: BaseEmailBackend) -> None:
        started = timezone.now()
        try:
            message = self._compose(row, connection)
        except Exception as failure:  # noqa: BLE001 - it is this message's result
            self.results[row.pk] = failed(failure, started)
            return
        try:
            message.send()
            self.results[row.pk] = Result(True, started)
        except Exception as failure:  # noqa: BLE001 - it is this message's result
            self.results[row.pk] = failed(failure, started)
            _reconnect(connection)

    def _compose(self, row: Notification, connection: BaseEmailBackend) -> EmailMessage:
        if row.to:
            said = json.loads(row.payload)
            return _message(row, row.to, said["subject"], said["text"], connection)
        person = self._people.get(row.order_id) if row.order_id else None
        if person is None:
            raise RecipientUnknown
        if not person.email:
            raise NobodyToWriteTo
        data = json.loads(row.payload)["data"]
        kind = event_class(row.event_type)
        subject, text = write(kind, person.name, person.external_id, data)
        return _message(row, person.email, subject, text, connection)


def _connect() -> BaseEmailBackend:
    connection = get_connection()
    _open(connection)
    return connection


def _reconnect(connection: BaseEmailBackend) -> None:
    """After a failure it is unknown what state the connection is in."""
    with suppress(Exception):  # it was broken, then
        connection.close()
    _open(connection)


def _open(connection: BaseEmailBackend) -> None:
    try:
        connection.open()
    except Exception as failure:
        raise MailServerAway(f"{type(failure).__name__}: {failure}") from failure


def _message(
    row: Notification, to: str, subject: str, text: str, connection: BaseEmailBackend
) -> EmailMessage:
    host = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ") or "localhost"
    headers = {"Message-ID": f"<{row.pk}@{host}>", "Auto-Submitted": "auto-generated"}
    one_line = " ".join(subject.split())  # an order's number is the channel's text
    return EmailMessage(one_line, text, to=[to], headers=headers, connection=connection)
