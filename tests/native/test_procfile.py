"""Processes side by side: ended together, in bounded time, and by the signal they need."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import ROOT, eventually
from supplychain.native import processes, procfile

MANAGER = """
import sys
from pathlib import Path
from supplychain.native.procfile import Manager, read
manager = Manager(kill_wait=2, when_started=lambda: print("all started", flush=True))
for name, command in read(Path(sys.argv[1])):
    manager.add_process(name, f"exec {command}")
manager.loop()
print(f"first={manager.ended_first!r} told={manager.was_told_to_end}", flush=True)
sys.exit(manager.returncode or 0)
"""
#: Says its pid, and what signals it gets, until it is ended.
OBEDIENT = """
import os, signal, sys, threading
end = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: (print("SIGTERM", flush=True), end.set()))
print("pid", os.getpid(), flush=True)
end.wait()
"""
STUBBORN = """
import os, signal, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("pid", os.getpid(), flush=True)
threading.Event().wait()
"""
#: Like a Celery worker: its child must not get the signal, for it is at work.
PARENT = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: None)
child = subprocess.Popen([sys.executable, sys.argv[0].replace("worker", "child")])
print("pid", os.getpid(), flush=True)
child.wait()
print("child ended with", child.returncode, flush=True)
"""
CHILD = """
import signal, threading
signal.signal(signal.SIGTERM, lambda *_: print("CHILD HIT", flush=True))
print("child works", flush=True)
threading.Event().wait(1)
"""


class Run:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log

    @property
    def said(self) -> str:
        return self._log.read_text()

    @property
    def pids(self) -> list[int]:
        return [int(pid) for pid in re.findall(r"pid (\d+)", self.said)]

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def nobody_is_left(self) -> bool:
        return all(processes.birth(pid) is None for pid in self.pids)


@contextmanager
def running(folder: Path, **programs: str) -> Iterator[Run]:
    """A manager over Python programs, all of which have said their pid."""
    lines = []
    for name, program in programs.items():
        (folder / f"{name}.py").write_text(program)
        lines.append(f"{name}: {sys.executable} {folder}/{name}.py")
    (folder / "Procfile").write_text("\n".join(lines) + "\n")
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", MANAGER, str(folder / "Procfile")],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    run = Run(process, log)
    try:
        waiting = sum("pid" in program for program in programs.values())
        eventually(lambda: len(run.pids) == waiting or process.poll() is not None)
        yield run
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_ends_all_and_says_so(tmp_path: Path, number: int) -> None:
    with running(tmp_path, one=OBEDIENT, two=OBEDIENT) as run:
        assert run.end(number) == 128 + number
        assert run.said.count("SIGTERM\n") >= 2
        assert "first='' told=True" in run.said
        assert run.nobody_is_left()


def test_when_one_ends_all_end_and_it_is_named(tmp_path: Path) -> None:
    ends = "import sys, threading; threading.Event().wait(1); sys.exit(3)"
    with running(tmp_path, stays=OBEDIENT, ends=ends) as run:
        assert run.process.wait(20) == 3
        assert "first='ends' told=False" in run.said
        assert run.nobody_is_left()


def test_one_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    with running(tmp_path, one=STUBBORN, two=OBEDIENT) as run:
        run.end(signal.SIGTERM)
        eventually(run.nobody_is_left)


def test_the_signal_goes_to_a_process_and_not_to_its_children(tmp_path: Path) -> None:
    """Celery's pool processes would die of it, with the task they are at."""
    (tmp_path / "child.py").write_text(CHILD)
    with running(tmp_path, worker=PARENT) as run:
        eventually(lambda: "child works" in run.said)
        run.end(signal.SIGTERM)
        assert "CHILD HIT" not in run.said
        assert "child ended with 0" in run.said


def test_killed_hard_it_leaves_nobody(tmp_path: Path) -> None:
    with running(tmp_path, one=OBEDIENT, two=OBEDIENT) as run:
        assert not run.nobody_is_left()
        os.kill(run.process.pid, signal.SIGKILL)
        run.process.wait()
        eventually(run.nobody_is_left)


def test_the_procfile_of_the_project_has_a_worker_for_every_queue() -> None:
    from supplychain.events.topology import work_queues

    commands = dict(procfile.read(ROOT / "Procfile"))
    served = re.findall(r"-Q (\w+)", " ".join(commands.values()))
    assert sorted(served) == [name for name in work_queues() if not name.startswith("lab")]
    assert {"web", "relay", "beat", "flower", "deadletters"} < set(commands)


def test_docker_compose_runs_the_same_processes() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    for name, command in procfile.read(ROOT / "Procfile"):
        if name.startswith("worker"):
            assert f"  {name}:\n" in compose
            assert f"command: {command.replace(' -q ', ' ')}" in compose
