"""Promise: a run that dies, hangs or eats the memory is a result with its fault, and the bench
goes on with the next."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from supplychain.native.processes import dies_with_parent, family, send

from .one import Outcome
from .results import Result
from .sample import Task, planned_seconds

ROOT = Path(__file__).resolve().parents[3]
#: Seconds that a run may take longer than its searches, for reading, building and checking.
GRACE = 120.0
#: Seconds between two looks at the memory: each process keeps its own peak.
LOOK = 0.2
SIGKILL = 9


def measured(task: Task, revision: str) -> Result:
    """The run of this task in a process of its own."""
    program = [sys.executable, "-m", "supplychain.operations.bench_routing.one"]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [*program, json.dumps(asdict(task))],
            stdout=output,
            stderr=errors,
            cwd=ROOT,
            preexec_fn=dies_with_parent(SIGKILL),
        )
        peaks = watched(process, 2 * planned_seconds(task) + GRACE)
        outcome = _outcome(process.returncode, _text(output), _text(errors))
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Result(task, outcome, sum(peaks.values()), revision, at)


def watched(process: subprocess.Popen[bytes], patience: float) -> dict[int, float]:
    """The peak in MB of each process of the run, once it has ended; their sum is no less than the
    peak of all together."""
    peaks: dict[int, float] = {}
    left = patience
    while process.poll() is None:
        members = family(process.pid)
        peaks |= {pid: peak for pid in members if (peak := peak_mb(pid)) is not None}
        try:
            process.wait(LOOK)
        except subprocess.TimeoutExpired:
            left -= LOOK
        if left < 0:
            send(members, SIGKILL)
            process.wait()
    return peaks


def peak_mb(pid: int) -> float | None:
    """VmHWM, the most that was ever resident (proc(5)); None for one that has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return None
    kilobytes = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return next((int(number) / 1024 for number in kilobytes), None)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _outcome(code: int, output: str, errors: str) -> Outcome:
    if code == 0:
        return Outcome(**json.loads(output.splitlines()[-1]))
    told = errors.strip().splitlines()[-1:] or ["it said nothing"]
    how = "was killed, out of time or memory" if code < 0 else "failed"
    return Outcome(0.0, 0.0, faults=[f"the run {how}: {told[0][:300]}"])
