"""Promise: a process that was asked to end has ended ten seconds later, even when a library waits
without limit for a broker that is silent. What was under way is rolled back by the database and
delivered again by the broker, as after any crash."""

from __future__ import annotations

import os
import threading

#: Seconds after the wish to end.
LAST_RESORT = 9.0


def end_anyway() -> None:
    """To be called by whoever hears of SIGTERM; the orderly end comes first if it comes in time."""
    timer = threading.Timer(LAST_RESORT, os._exit, [1])
    timer.daemon = True
    timer.start()
