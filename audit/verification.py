"""Promise: a row that was changed, moved, taken out or put in is found and named.

Rows are read in slices by position, so memory stays flat and no long transaction is held; that
is sound because rows that are there never change. What is appended meanwhile is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from django.db.models import OuterRef, Q, Subquery
from pydantic import ValidationError

from supplychain.events.envelope import Envelope

from .chain import GENESIS, digest
from .models import ChainHead, StoredEvent

SLICE = 2_000
_COLUMNS = (
    "event_id",
    "event_type",
    "event_version",
    "producer",
    "subject",
    "sequence",
    "correlation_id",
    "causation_id",
    "timestamp",
)


@dataclass(frozen=True)
class Problem:
    """What is wrong at a position; ``kind`` is changed, missing or added."""

    position: int
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"position {self.position} {self.kind}: {self.detail}"


@dataclass
class Verification:
    """The outcome; the problems are kept up to a limit, and all of them counted."""

    position: int
    hash: str
    checked: int = 0
    count: int = 0
    problems: list[Problem] = field(default_factory=list)

    def note(self, problem: Problem, limit: int = 100) -> None:
        self.count += 1
        if len(self.problems) < limit:
            self.problems.append(problem)


def verify(
    *,
    anchor: tuple[int, str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Verification:
    """Check the whole store; ``anchor`` is a position and the hash it had at an earlier time."""
    head = ChainHead.objects.filter(pk=1).first() or ChainHead(pk=1)
    found = Verification(head.position, head.hash)
    for problem in _problems(head, anchor, found, progress):
        found.note(problem)
    return found


def _problems(
    head: ChainHead,
    anchor: tuple[int, str] | None,
    found: Verification,
    progress: Callable[[int, int], None],
) -> Iterator[Problem]:
    before = StoredEvent(position=0, hash=GENESIS)
    for before, row in pairwise(_rows(head.position)):
        yield from _check_link(before, row)
        yield from _check_row(row)
        if anchor and row.position == anchor[0] and row.hash != anchor[1]:
            yield Problem(row.position, "changed", "its hash is not the anchor's")
        found.checked += 1
        if row.position % SLICE == 0:
            progress(row.position, head.position)
        before = row
    yield from _check_end(before, head, anchor)
    progress(head.position, head.position)
