"""Promise: a day of the EURO Meets NeurIPS 2022 competition is replayed by its rules, and a
dispatch that breaks one of them is refused, never priced.

Epochs last an hour. What is known in epoch e is dispatched at its end, at 3600 (e + 1), or left
for a later one; a request must go when a direct trip an hour later would be late. The cost is the
seconds driven. Which requests come does not depend on what the planner does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from routing.problem import Problem, Stop
from supplychain.errors import SupplyChainError

from . import data
from .instances import NOWHERE, Instance, problem_of, read_vrplib, vans

EPOCH_S = 3600
#: Requests drawn in each epoch, of which those are kept that a direct trip can still serve.
DRAWN = 100

Route = Sequence[int]
#: Told the epoch and what is open, it gives the routes to dispatch, as keys of requests.
Planner = Callable[[int, Sequence["Request"]], Sequence[Route]]


class AgainstTheRules(SupplyChainError):
    """A dispatch that the competition would not accept."""

    permanent = True


@dataclass(frozen=True)
class Request:
    """``customer`` is the node of its place. Times are seconds since the day's start; of the last
    epoch on it must go."""

    key: int
    epoch: int
    customer: int
    opens_s: int
    closes_s: int
    service_s: int
    demand: int
    last_epoch: int

    def must_go(self, epoch: int) -> bool:
        return epoch >= self.last_epoch

    @property
    def stop(self) -> Stop:
        """Released when what is dispatched in its epoch leaves."""
        return Stop(
            key=self.key,
            place=NOWHERE,
            load_kg=self.demand,
            load_m3=0,
            service_s=self.service_s,
            windows=((self.opens_s, self.closes_s),),
            release_s=departure_s(self.epoch),
        )


@dataclass(frozen=True, eq=False)
class Day:
    name: str
    instance: Instance
    requests: tuple[Request, ...] = field(repr=False)

    @property
    def epochs(self) -> range:
        return epochs_of(self.instance)

    def problem(self, epoch: int, requests: Sequence[Request]) -> Problem:
        """These requests, with as many vehicles as could be needed; none leaves before what is
        dispatched in this epoch does."""
        nodes = [0, *(request.customer for request in requests)]
        units = self.instance.units[np.ix_(nodes, nodes)]
        shift = (departure_s(epoch), self.instance.windows[0][1])
        fleet = vans(len(requests), self.instance.capacity, shift)
        return problem_of([request.stop for request in requests], fleet, units)


def departure_s(epoch: int) -> int:
    """When what is dispatched in this epoch leaves: it takes an hour."""
    return (epoch + 1) * EPOCH_S


def epochs_of(instance: Instance) -> range:
    """Of a day with this instance's customers."""
    opens = [window[0] for window in instance.windows[1:]]
    first, last = [max((moment - EPOCH_S) // EPOCH_S, 0) for moment in (min(opens), max(opens))]
    return range(first, last + 1)


#: Of a stream of requests, in the order of a Request's fields.
_COLUMNS = (
    *("request_id", "epoch", "customer", "tw_start", "tw_end"),
    *("service_s", "demand", "last_epoch"),
)


# --- the requests -------------------------------------------------------------------------


def read_day(name: str) -> Day:
    """ "<instance>-seed<n>", of the given streams. Raises NoData."""
    folder = data.folder() / "euro"
    instance = read_vrplib(data.text(folder / "instances" / f"{name.rpartition('-')[0]}.txt"))
    table = data.rows(folder / "dynamic_requests" / f"{name}.csv")
    requests = [Request(*(int(row[column]) for column in _COLUMNS)) for row in table]
    return Day(name, instance, tuple(requests))


def days() -> list[str]:
    """The names of all given. Raises NoData."""
    return sorted(path.stem for path in (data.folder() / "euro/dynamic_requests").glob("*.csv"))


def drawn(
    instance: Instance, epoch: int, chance: np.random.Generator, keys: Iterator[int]
) -> Iterator[Request]:
    """What comes in an epoch: place, window, demand and service of customers drawn each by itself;
    only what a direct trip can serve."""
    draws = [chance.integers(instance.customers, size=DRAWN) + 1 for _ in range(4)]
    last = epochs_of(instance)[-1]
    for place, window, demand, service in zip(*(draw.tolist() for draw in draws), strict=True):
        opens, closes = instance.windows[window]
        wanted = (opens, closes, instance.services[service])
        latest = _last_epoch(instance, place, *wanted, last)
        if latest >= epoch:
            yield Request(next(keys), epoch, place, *wanted, instance.demands[demand], latest)


def _last_epoch(
    instance: Instance, place: int, opens: int, closes: int, service: int, last: int
) -> int:
    """The last one from which a direct trip arrives and is back in time; negative for none."""
    out, back = int(instance.units[0, place]), int(instance.units[place, 0])
    home = instance.windows[0][1]
    if opens + service + back > home:
        return -1
    departure = min(closes, home - back - service) - out
    return min(last, departure // EPOCH_S - 1)


# --- the replay ---------------------------------------------------------------------------


def replay(day: Day, planner: Planner, epochs: Iterable[int] | None = None) -> dict[int, int]:
    """Seconds driven by what is dispatched, by epoch. Raises AgainstTheRules."""
    waiting: dict[int, Request] = {}
    costs = {}
    last = day.epochs[-1]
    for epoch in day.epochs if epochs is None else epochs:
        waiting |= {r.key: r for r in day.requests if r.epoch == epoch}
        routes = planner(epoch, list(waiting.values()))
        gone = [_taken(waiting, key) for route in routes for key in route]
        left = [r.key for r in waiting.values() if r.must_go(epoch) or epoch == last]
        if left:
            raise AgainstTheRules(f"epoch {epoch}: request {left[0]} had to go")
        known = {request.key: request for request in gone}
        costs[epoch] = sum(_driven(day, epoch, [known[key] for key in route]) for route in routes)
    return costs


def _taken(waiting: dict[int, Request], key: int) -> Request:
    if key not in waiting:
        raise AgainstTheRules(f"request {key} is not open")
    return waiting.pop(key)


def _driven(day: Day, epoch: int, route: Sequence[Request]) -> int:
    """Seconds driven on a route that keeps every rule; no arithmetic of the planner."""
    name = f"epoch {epoch}, route {[request.key for request in route]}"
    if sum(request.demand for request in route) > day.instance.capacity:
        raise AgainstTheRules(f"{name}: too much for a vehicle")
    units, clock, driven, at = day.instance.units, departure_s(epoch), 0, 0
    for request in route:
        leg = int(units[at, request.customer])
        clock, driven, at = max(clock + leg, request.opens_s), driven + leg, request.customer
        if clock > request.closes_s:
            raise AgainstTheRules(f"{name}: late at request {request.key}")
        clock += request.service_s
    leg = int(units[at, 0])
    if clock + leg > day.instance.windows[0][1]:
        raise AgainstTheRules(f"{name}: back after the depot has closed")
    return driven + leg
