"""Promise: the processes of the system, started as `make up` starts them, with a log each, and
ended when the block ends, whatever happened in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from supplychain.errors import SupplyChainError
from supplychain.native.processes import dies_with_parent

#: Seconds until a started process must be ready, and a stopped one must have ended.
START_PATIENCE, STOP_PATIENCE = 60.0, 20.0
#: Pool processes of the workers that have not two, as in the Procfile.
CONCURRENCY = {"audit": 1, "analytics": 1}
#: Messages that a pool process takes in advance, where they are few: what waits in the broker
#: expires there.
PREFETCH = {"planning": 1}
#: The workers' host name, so that they are not taken for those of `make up`.
NODE = "operations"


class ChildFailed(SupplyChainError):
    """A process of the system ended or did not get ready; its log says why."""


class Child:
    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name, self.process, self.log = name, process, log

    def check(self) -> None:
        if self.process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise ChildFailed(f"{self.name} ended with {self.process.returncode}:\n{tail}")

    def stop(self, how: int = signal.SIGTERM) -> float:
        """End it; gives the seconds it took."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            self.process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return time.monotonic() - began


class Children:
    """Starts processes in this project with the environment of this one. A context manager."""

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._environment = {**os.environ, **(variables or {}), "LOG_LEVEL": "INFO"}
        self.running: list[Child] = []

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        for child in self.running:
            if child.process.poll() is None:
                child.process.terminate()
        for child in self.running:
            child.stop()
        self.running.clear()

    def start(self, name: str, *arguments: str, ready: str) -> Child:
        """Run ``python <arguments>``; gives it once ``ready`` stands in its log."""
        child = self.launch(name, *arguments)
        self.wait_until(
            lambda: ready in child.log.read_text(errors="replace"),
            START_PATIENCE,
            f"{name} to be ready",
        )
        return child

    def launch(self, name: str, *arguments: str) -> Child:
        log = self._folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                [sys.executable, *arguments],
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=dies_with_parent(signal.SIGTERM),
            )
        child = Child(name, process, log)
        self.running.append(child)
        return child

    def relay(self) -> Child:
        return self.start("relay", "manage.py", "relay", ready="Relay is ready")

    def worker(self, queue: str, concurrency: int | None = None) -> Child:
        """A worker as in the Procfile, with as many pool processes as there unless told."""
        pool = concurrency or CONCURRENCY.get(queue, 2)
        arguments = ["-m", "celery", "-A", "supplychain", "worker", "-Q", queue]
        arguments += ["-n", f"{queue}@{NODE}", "-c", str(pool), "-l", "INFO"]
        if prefetch := PREFETCH.get(queue):
            arguments += ["--prefetch-multiplier", str(prefetch)]
        arguments += ["-E", "--without-gossip", "--without-mingle"]
        return self.start(f"worker-{queue}", *arguments, ready="ready.")

    def wait_until(self, done: Callable[[], bool], patience: float, what: str) -> None:
        """Raises ChildFailed when one of them ends, or after ``patience`` seconds."""
        deadline = time.monotonic() + patience
        while not done():
            for child in self.running:
                child.check()
            if time.monotonic() > deadline:
                raise ChildFailed(f"Waited {patience:.0f} s in vain for {what}.")
            threading.Event().wait(0.05)
