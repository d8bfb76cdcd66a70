"""Promise: a list of times of day is what people wrote, in order, or a sentence that says what is
wrong with it."""

from __future__ import annotations

import re
from datetime import time

from django.core.exceptions import ValidationError

#: Of vehicles, in a day.
MOST_DEPARTURES = 24
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def times_of(text: str) -> list[time]:
    """ "08:00, 10:00" as times, in order. Raises ValidationError."""
    return sorted(_time(part) for part in text.split(",") if part.strip())


def written(times: list[time]) -> str:
    return ", ".join(f"{moment:%H:%M}" for moment in times)


def _time(part: str) -> time:
    found = _TIME.fullmatch(part.strip())
    if found is None:
        raise ValidationError(
            f"“{part.strip()}” is no time of day: write times as 08:00, with commas between them."
        )
    return time(int(found[1]), int(found[2]))


def must_be_departures(text: str) -> None:
    """Raises ValidationError unless these times, or none, can be departures of a depot."""
    times = times_of(text)
    if twice := {moment for moment in times if times.count(moment) > 1}:
        raise ValidationError(f"{written(sorted(twice))} is there twice.")
    if len(times) == 1:
        raise ValidationError("Give two departures or more, or none for one plan a day.")
    if len(times) > MOST_DEPARTURES:
        raise ValidationError(f"There can be at most {MOST_DEPARTURES} departures a day.")
