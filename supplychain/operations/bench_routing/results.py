"""Promise: what has been measured is never lost and never mixed: each run is a line of a file as
soon as it has ended, and counts for as long as the code that it measured is the same."""

from __future__ import annotations

import json
import os
import subprocess
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from .one import Outcome
from .sample import Task

_ROOT = Path(__file__).resolve().parents[3]
#: What decides on the figures.
MEASURED = (
    "requirements.txt",
    "supplychain/operations/bench_routing",
    "routing/engines",
    *(
        f"routing/{name}.py"
        for name in (
            *("dynamic", "insertion", "problem", "reasons", "schedule"),
            *("solver", "start", "travel", "validate"),
        )
    ),
)


@dataclass(frozen=True)
class Result:
    """``memory_mb`` is the peak of the run's process and of all its children together."""

    task: Task
    outcome: Outcome
    memory_mb: float
    revision: str
    at: str

    def line(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def of(cls, line: str) -> Result:
        parts = json.loads(line)
        return cls(
            **{**parts, "task": Task(**parts["task"]), "outcome": Outcome(**parts["outcome"])}
        )


def revision() -> str:
    """The last commit that changed what is measured, and a trace of what has changed since."""
    commit = _git("log", "-1", "--format=%h", "--", *MEASURED) or "unknown"
    changed = _git("diff", "HEAD", "--", *MEASURED)
    return f"{commit}+{zlib.crc32(changed.encode()):08x}" if changed else commit


def _git(*arguments: str) -> str:
    """ "" where there is no git, or no repository."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            ["git", *arguments],  # noqa: S607
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


class Store:
    """The file of results."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self, tasks: Iterable[Task], at_revision: str) -> dict[Task, Result]:
        """The last result of each of these tasks at this revision. A line that was cut off, as by
        a full disk, is a run that has not ended."""
        wanted, found = set(tasks), {}
        lines = self._path.read_text("utf-8", "replace").splitlines() if self._path.exists() else []
        for line in lines:
            try:
                result = Result.of(line)
            except (ValueError, TypeError, KeyError):
                continue
            if result.task in wanted and result.revision == at_revision:
                found[result.task] = result
        return found

    def add(self, result: Result) -> None:
        """Begins a new line even where the last one was cut off."""
        with self._path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(result.line().encode() + b"\n")

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)
