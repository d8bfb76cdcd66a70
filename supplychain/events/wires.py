"""Promise: a process has one wire of its own, never one inherited over a fork."""

from __future__ import annotations

import os
import threading
from functools import cache

from django.conf import settings

from .amqp_wire import CONFIRM_TIMEOUT, AmqpWire
from .memory_wire import MemoryWire
from .wire import Wire

_local = threading.local()


@cache
def memory_wire() -> MemoryWire:
    return MemoryWire(settings.CELERY_BROKER_URL)


def open_wire(*, patience: float = CONFIRM_TIMEOUT) -> Wire:
    """A new wire to the configured broker; ``patience`` is how many seconds it waits for the
    confirms of a batch."""
    if settings.EMBEDDED:
        return memory_wire()
    return AmqpWire(settings.CELERY_BROKER_URL, patience=patience)


def process_wire() -> Wire:
    """The wire of this process and thread, opened on first use."""
    if getattr(_local, "pid", None) != os.getpid():
        _local.pid, _local.wire = os.getpid(), open_wire()
    wire: Wire = _local.wire
    return wire
