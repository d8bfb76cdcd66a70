"""Loaded into a worker by ``KILL_AFTER_COMMIT``: SIGKILL between the commit and the ack.

The variable names a file. Each time a job has committed something new, and before its result
goes anywhere, a byte is added to the file and the process kills itself; every tenth time the
worker's main process goes with it. After as many as ``KILLS`` says it lets everything live.
"""

import os
import signal
from pathlib import Path

from supplychain.events import tasks

_tally = Path(os.environ["KILL_AFTER_COMMIT"])
KILLS = int(os.environ["KILLS"])
_handle = tasks.handle


def _handle_and_die(*args, **kwargs):
    outcome = _handle(*args, **kwargs)
    if outcome.handled and (kills := _tally.stat().st_size) < KILLS:
        with _tally.open("ab") as file:
            file.write(b"x")
        if kills % 10 == 9:
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    return outcome


tasks.handle = _handle_and_die
