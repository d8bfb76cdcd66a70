"""Promise: what people read of an event's figures reads the same wherever they read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

#: A message names so many products; whoever wants all of them looks where they are listed.
_MOST = 20


def goods(lines: Iterable[tuple[str, int]]) -> str:
    """``2 × LAMP, 1 × PAN``."""
    units: Counter[str] = Counter()
    for sku, quantity in lines:
        units[sku] += quantity
    named = [f"{quantity} × {sku}" for sku, quantity in list(units.items())[:_MOST]]
    more = [f"{len(units) - _MOST} more products"] if len(units) > _MOST else []
    return ", ".join(named + more)


def because(reason: str) -> str:
    """``: the reason``, to stand before a full stop; nothing, if there is none."""
    reason = reason.strip().rstrip(".")
    return f": {reason}" if reason else ""


def when(data: Mapping[str, Any]) -> str:
    """``on Wednesday 6 May 2026 between 10:00 and 14:00``, by the clocks of where it comes from;
    without a window ``around`` a time that has changed, else the day, as far as it is known."""
    zone = _zone(str(data.get("time_zone") or "UTC"))
    names = ("window_from", "window_until", "eta")
    opens, closes, eta = (_local(data.get(name), zone) for name in names)
    if opens and closes:
        if opens.date() == closes.date():
            return f"on {_day(opens)} between {opens:%H:%M} and {closes:%H:%M}"
        return f"between {_day(opens)} {opens:%H:%M} and {_day(closes)} {closes:%H:%M}"
    if eta is None:
        return "on one of the next days"
    return f"on {_day(eta)} around {eta:%H:%M}" if "told_before" in data else f"on {_day(eta)}"


def _local(moment: Any, zone: ZoneInfo) -> datetime | None:
    return datetime.fromisoformat(moment).astimezone(zone) if moment else None


def _day(moment: datetime) -> str:
    return f"{moment:%A} {moment.day} {moment:%B %Y}"


def _zone(name: str) -> ZoneInfo:
    """What this machine does not know is read as UTC."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
