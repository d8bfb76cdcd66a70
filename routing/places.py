"""Promise: a place that was given keeps its order in the tour and the window promised with it,
whatever is put in before and after it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from .days import seconds_down, seconds_up
from .insertion import Offer

_MOMENT = timedelta(seconds=1)


def time_between(eta: datetime, before: Iterable[datetime], after: Iterable[datetime]) -> datetime:
    """By which a new stop is sorted in: its own time, if that lies between the times noted of the
    stops before and after it, which may come later than was noted."""
    first, last = max(before, default=None), min(after, default=None)
    if first and last:
        return eta if first < eta < last else first + (last - first) / 2
    if first:
        return max(eta, first + _MOMENT)
    return min(eta, last - _MOMENT) if last else eta


def promised(offer: Offer, origin: datetime, window: tuple[datetime, datetime]) -> Offer:
    """The same offer, for a stop that keeps this window from now on; seconds count from
    ``origin``."""
    seconds = seconds_up(origin, window[0]), seconds_down(origin, window[1])
    visits = list(offer.route.visits)
    visit = visits[offer.position]
    visits[offer.position] = replace(visit, stop=replace(visit.stop, windows=(seconds,)))
    return replace(offer, route=replace(offer.route, visits=tuple(visits)))
