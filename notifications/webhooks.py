"""Promise: a webhook call is signed so that its receiver can trust it, and neither a slow nor
a broken receiver holds up the others.

Signed per https://www.standardwebhooks.com: webhook-id, webhook-timestamp, webhook-signature.
The threads here only talk HTTP; rows are read before them and written after them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from queue import Empty, SimpleQueue
from uuid import UUID

import requests
from django.utils import timezone

from .models import Notification, WebhookEndpoint, secret_key
from .results import Result, failed

#: Seconds for connecting, and for each wait for an answer.
TIMEOUT = 5.0
#: This many failures in a row open an endpoint's circuit.
BREAKER = 5
THREADS = 16
GONE = 410


def sign(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over ``id.timestamp.body``; raises ValidationError for a malformed secret."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.digest(secret_key(secret), signed, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


class Calls:
    """Webhook calls under way: one after the other per endpoint, several endpoints at once.

    ``deadline`` is of time.monotonic(); no call starts after it. An endpoint whose circuit
    opens gets no further call. What was not tried has no result.
    """

    def __init__(self, rows: Sequence[Notification], deadline: float) -> None:
        self._deadline = deadline
        self._started: dict[UUID, datetime] = {}
        self._results: dict[UUID, Result] = {}
        self._waiting: SimpleQueue[list[Notification]] = SimpleQueue()
        by_endpoint: dict[int | None, list[Notification]] = defaultdict(list)
        for row in rows:
            by_endpoint[row.endpoint_id].append(row)
        for group in by_endpoint.values():
            self._waiting.put(group)
        # Daemons: a receiver that drips its answer for ever can't keep the process alive.
        self._threads = [
            threading.Thread(target=self._work, daemon=True, name=f"webhooks {n}")
            for n in range(min(THREADS, len(by_endpoint)))
        ]
        for thread in self._threads:
            thread.start()

    def results(self) -> dict[UUID, Result]:
        """Wait for the calls; one that has no answer by then has failed."""
        last = self._deadline + TIMEOUT
        for thread in self._threads:
            thread.join(max(0.0, last - time.monotonic()))
        found = dict(self._results)
        for key, started in dict(self._started).items():
            found.setdefault(key, Result(False, started, "There was no whole answer in time."))
        return found

    def _work(self) -> None:
        while True:
            try:
                group = self._waiting.get_nowait()
            except Empty:
                return
            with requests.Session() as session:
                self._call_endpoint(session, group)

    def _call_endpoint(self, session: requests.Session, rows: list[Notification]) -> None:
        failures = rows[0].endpoint.consecutive_failures if rows[0].endpoint else 0
        for row in rows:
            if time.monotonic() >= self._deadline or row.endpoint is None:
                return
            self._started[row.pk] = timezone.now()
            result = call(session, row, row.endpoint)
            self._results[row.pk] = result
            failures = 0 if result.ok else failures + 1
            if failures >= BREAKER or result.final:
                return


def call(session: requests.Session, row: Notification, endpoint: WebhookEndpoint) -> Result:
    """One signed POST; 2xx is success, a redirect is not followed and is none."""
    started, body = timezone.now(), row.payload.encode()
    stamp = str(int(started.timestamp()))
    try:
        headers = {
            "content-type": "application/json",
            "user-agent": "supplychain-webhooks",
            "webhook-id": str(row.pk),
            "webhook-timestamp": stamp,
            "webhook-signature": sign(endpoint.secret, str(row.pk), stamp, body),
        }
        with session.post(
            endpoint.url,
            data=body,
            headers=headers,
            timeout=TIMEOUT,
            allow_redirects=False,
            stream=True,  # the answer's body may be endless; we want its beginning
        ) as answer:
            code, said = answer.status_code, _beginning(answer)
    except Exception as failure:  # noqa: BLE001 - whatever it is, it is this attempt's result
        return failed(failure, started)
    if 200 <= code < 300:
        return Result(True, started, status_code=code)
    return Result(False, started, f"HTTP {code} {said}".strip(), code, final=code == GONE)


def _beginning(answer: requests.Response) -> str:
    """Of what the receiver says; read even when nobody wants it, to use the connection again."""
    try:
        said: bytes = answer.raw.read(300)
    except Exception:  # noqa: BLE001 - its status is what counts, and that is here
        return ""
    return said.decode(errors="replace").replace("\0", "")
