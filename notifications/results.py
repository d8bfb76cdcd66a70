"""What came of trying to deliver one notification."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone


@dataclass(frozen=True)
class Result:
    """How an attempt went; ``final``: trying again is of no use."""

    ok: bool
    started_at: datetime
    error: str = ""
    status_code: int | None = None
    final: bool = False
    ended_at: datetime = field(default_factory=timezone.now)


def failed(failure: Exception, started_at: datetime) -> Result:
    return Result(False, started_at, f"{type(failure).__name__}: {failure}"[:500])
