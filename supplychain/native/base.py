"""Promise: a server has one folder, and everything about it is in there: ports, password, data,
log, pid. Whoever opens the same folder holds the same server."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from . import processes

#: Seconds that a server waits for the ports it had, before it takes others.
PORT_PATIENCE = 5.0


class NativeError(Exception):
    """A server can't be run here; the text says why and what to do."""


class ServerFailed(NativeError):
    """The server ended, or wasn't ready in time; the text holds the end of its log."""


class Server(ABC):
    """A private server on 127.0.0.1. `tied`: it ends when the thread that started it does."""

    name: ClassVar[str]
    port_names: ClassVar[tuple[str, ...]]
    patience: ClassVar[float] = 60.0

    def __init__(self, folder: Path, *, tied: bool = True) -> None:
        self.folder = folder.resolve()
        self.tied = tied
        self._children: list[subprocess.Popen[bytes]] = []
        # Others may pass through to what belongs to them, and see nothing.
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._state_file = self.folder / "state.json"
        self._pid_file = self.folder / "pid.json"
        self._state: dict[str, int | str] = self._read_state()

    # --- what differs -------------------------------------------------------------------
    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def _prepare(self) -> None:
        """Make data folder and configuration, when they aren't there."""

    @abstractmethod
    def _launch(self) -> None:
        """Spawn its processes, the main one last."""

    @abstractmethod
    def _is_ready(self, pid: int) -> bool: ...

    @abstractmethod
    def _stop_signals(self) -> Sequence[tuple[int, float]]: ...

    # --- what is common -----------------------------------------------------------------
    @property
    def port(self) -> int:
        return int(self._state["port"])

    @property
    def password(self) -> str:
        return str(self._state["password"])

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def pid(self) -> int | None:
        """The main process, whoever started it; None when it doesn't run."""
        started = self._started()
        return started[-1][0] if started and _lives(*started[-1]) else None

    @property
    def is_running(self) -> bool:
        return self.pid is not None

    def start(self) -> Self:
        """Start and wait until it takes connections; on the ports it had, if nobody took them."""
        if self.is_running:
            return self
        self.kill()  # helpers of a main process that died by itself
        try:
            self._choose_ports()
            self._prepare()
            self._launch()
            self.wait_ready()
        except BaseException:  # also ctrl-C: nobody else knows of it yet
            self.kill()
            raise
        return self

    def wait_ready(self) -> None:
        def ready_or_ended() -> bool:
            pid = self.pid
            return pid is None or self._is_ready(pid)

        in_time = processes.wait_until(ready_or_ended, self.patience)
        if in_time and self.is_running:
            return
        what = "ended while it started" if in_time else f"wasn't ready in {self.patience:.0f} s"
        raise ServerFailed(f"{self.name} {what}. The end of {self.log}:\n{self._log_end()}")

    def stop(self) -> None:
        """Ask it to end, insist, and kill what is left."""
        self._end(self._stop_signals())

    def kill(self) -> None:
        """As a power cut would: SIGKILL, at once, to all of its processes."""
        self._end([])

    def restart(self) -> None:
        self.stop()
        self.start()

    def _end(self, signals: Sequence[tuple[int, float]]) -> None:
        helpers_signals = [(signal.SIGTERM, 2.0)] if signals else []
        for pid, born in reversed(self._started()):
            if _lives(pid, born):
                processes.end(pid, signals)
            signals = helpers_signals
        for child in self._children:
            child.wait()
        self._children.clear()
        self._pid_file.unlink(missing_ok=True)

    def _started(self) -> list[tuple[int, int]]:
        """Pid and birth of its processes, the main one last."""
        try:
            return [(int(pid), int(born)) for pid, born in json.loads(self._pid_file.read_text())]
        except FileNotFoundError:
            return []

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # --- for the subclasses -------------------------------------------------------------
    def _spawn(
        self,
        command: Sequence[str | Path],
        *,
        death_signal: int,
        env: dict[str, str],
        user: str | None = None,
    ) -> None:
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                [str(part) for part in command],
                cwd="/",
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # ctrl-C in a terminal is for us, we then stop it in order
                user=user,
                group=user,
                extra_groups=None if user is None else [],
                preexec_fn=processes.dies_with_parent(death_signal) if self.tied else None,
            )
        self._children.append(child)
        born = processes.birth(child.pid) or 0
        _write_private(self._pid_file, [*self._started(), (child.pid, born)])

    def _read_state(self) -> dict[str, int | str]:
        try:
            state: dict[str, int | str] = json.loads(self._state_file.read_text())
        except FileNotFoundError:
            return {"password": secrets.token_urlsafe(24)}
        return state

    def _choose_ports(self) -> None:
        had = [int(self._state.get(name) or 0) for name in self.port_names]

        def are_free() -> bool:
            return all(processes.port_is_free(port) for port in had)

        # The kernel may need a moment to take down what a killed server had; clients know it by
        # these ports.
        if not (all(had) and processes.wait_until(are_free, PORT_PATIENCE)):
            ports = processes.free_ports(len(self.port_names))
            self._state.update(zip(self.port_names, ports, strict=True))
        self._save_state()

    def _save_state(self) -> None:
        _write_private(self._state_file, self._state)

    def _log_end(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "(it wrote none)"
        return "\n".join(lines[-15:])


def _lives(pid: int, born: int) -> bool:
    return processes.birth(pid) == born


def _write_private(file: Path, content: object) -> None:
    """Replaced in one step: another process may be reading it."""
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        json.dump(content, output)
    new.replace(file)
