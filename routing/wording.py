"""Promise: the validator's word reaches people with the names and times that they know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any

_VEHICLE = re.compile(r"\bvehicle (\d+)")
_STOP = re.compile(r"\bstop ([0-9a-f-]{36})")
_SECONDS = re.compile(r"\b(\d+)( to (\d+))? s\b")


def in_words(
    fault: str,
    *,
    vehicles: Mapping[Any, str],
    customers: Mapping[Any, str],
    start: datetime,
    zone: tzinfo,
) -> str:
    """A fault of ``validate.violations`` with the vehicle's name for its key, the customer for the
    stop's, and the local time for the seconds since ``start``."""

    def clock(seconds: str) -> str:
        return f"{(start + timedelta(seconds=int(seconds))).astimezone(zone):%H:%M}"

    def span(found: re.Match[str]) -> str:
        return " to ".join(clock(seconds) for seconds in (found[1], found[3]) if seconds)

    by_key = {str(key): name for names in (vehicles, customers) for key, name in names.items()}
    text = _SECONDS.sub(span, fault)
    text = _VEHICLE.sub(lambda found: by_key.get(found[1], found[0]), text)
    return _STOP.sub(lambda found: f"the stop of {by_key.get(found[1], found[1])}", text)
