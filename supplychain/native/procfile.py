"""Promise: the processes of the Procfile run side by side with their output in one stream, end
together in bounded time, and don't outlive us.

honcho does the work; three things differ from it. SIGTERM goes to a process alone, not to its
group: Celery's children die of it at once, and the task they were at with them. Ctrl-C before
all have started is no error. And the kernel ends what would be left if we were killed.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from honcho import environ as honcho_environ
from honcho import manager as honcho_manager
from honcho import process as honcho_process

from . import processes


def read(procfile: Path) -> Iterator[tuple[str, str]]:
    parsed = honcho_environ.parse_procfile(procfile.read_text())
    yield from parsed.processes.items()


class _Process(honcho_process.Process):  # type: ignore[misc]  # honcho is untyped
    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        """In a process of honcho's own, between us and the command."""
        processes.dies_with_parent(signal.SIGKILL, parent=os.getppid())()
        self._child_ctor = functools.partial(
            honcho_process.Popen, preexec_fn=processes.dies_with_parent(signal.SIGTERM)
        )
        super().run(events, ignore_signals)


class _Ender:
    """How honcho ends a process that it knows by the pid of its group."""

    def terminate(self, pid: int) -> None:
        processes.send([pid], signal.SIGTERM)

    def kill(self, pid: int) -> None:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            return


class Manager(honcho_manager.Manager):  # type: ignore[misc]
    def __init__(self, *, kill_wait: int, when_started: Callable[[], None]) -> None:
        super().__init__()
        self._when_started = when_started
        honcho_manager.KILL_WAIT = kill_wait
        self._process_ctor = _Process
        self._procmgr = _Ender()

    @property
    def was_told_to_end(self) -> bool:
        return self.returncode in {128 + signal.SIGINT, 128 + signal.SIGTERM}

    @property
    def ended_first(self) -> str:
        """The process whose end ended all others, when nobody told them to."""
        return next((n for n, p in self._processes.items() if "ended_first" in p), "")

    def _start(self) -> None:
        super()._start()
        # After the forks: a fork copies no thread, but does copy the locks it holds.
        threading.Thread(target=self._when_started, daemon=True).start()

    def terminate(self) -> None:
        for process in self._processes.values():
            if not self._terminating and self.returncode == process.get("returncode", ""):
                process["ended_first"] = True
        super().terminate()

    def _killall(self, force: bool = False) -> None:
        """A process that hasn't told its pid yet is ended through the one between us."""
        for process in self._processes.values():
            if "pid" not in process:
                process["process"].kill()
                process.update(pid=process["process"].pid, returncode=-signal.SIGKILL)
        super()._killall(force)
