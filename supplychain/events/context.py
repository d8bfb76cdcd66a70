"""Promise: one journey keeps one correlation id across requests, events and logs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from uuid_utils.compat import uuid7

if TYPE_CHECKING:
    from .envelope import Envelope


@dataclass(frozen=True)
class Context:
    """What a newly emitted event inherits when its service names no cause of its own."""

    correlation_id: str | None = None
    causation_id: UUID | None = None
    traceparent: str | None = None


_current: ContextVar[Context] = ContextVar("event_context", default=Context())  # noqa: B039 - it is frozen


def current() -> Context:
    return _current.get()


def new_id() -> UUID:
    """UUIDv7 (RFC 9562): sorts by time, so index pages stay warm."""
    return uuid7()


@contextmanager
def using(context: Context) -> Iterator[None]:
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def caused_by(envelope: Envelope) -> Context:
    """The context of whatever happens because of this event."""
    return Context(envelope.correlation_id, envelope.event_id, envelope.traceparent)


#: Of ASCII only: it goes into response headers, logs and a column of this length.
_SAFE_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def _from_headers(request: HttpRequest) -> Context:
    sent = request.headers.get("X-Correlation-ID") or request.headers.get("X-Request-ID") or ""
    trace = request.headers.get("traceparent") or ""
    context = Context(correlation_id=sent if _SAFE_ID.fullmatch(sent) else str(new_id()))
    return replace(context, traceparent=trace) if _TRACEPARENT.fullmatch(trace) else context


class CorrelationMiddleware:
    """Takes a sent X-Correlation-ID, X-Request-ID and traceparent, and answers with the id."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        context = _from_headers(request)
        with using(context):
            response = self.get_response(request)
        response.headers["X-Correlation-ID"] = context.correlation_id or ""
        return response
