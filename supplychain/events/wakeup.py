"""Promise: the relay hears of a commit within milliseconds, and nobody pays for it in
serialised commits.

NOTIFY inside a transaction takes a lock that lets commits through one at a time, so it is
sent after the commit, on its own, and at most once every few milliseconds per process. An
event committed in such a gap is found by the relay's linger (longer than the gap) or, if all
else fails, by its slow poll.
"""

from __future__ import annotations

import threading
import time

from django.db import connection

CHANNEL = "supplychain_outbox"
#: Seconds between two notifications of one process; must be below the relay's linger.
GAP = 0.01

#: Wakes a relay that runs in this process (embedded default, tests).
local = threading.Event()
_last_sent = 0.0


def wake_relay() -> None:
    global _last_sent
    local.set()
    if connection.vendor != "postgresql":
        return
    now = time.monotonic()
    if now - _last_sent < GAP:
        return
    _last_sent = now
    with connection.cursor() as cursor:
        cursor.execute(f"NOTIFY {CHANNEL}")
