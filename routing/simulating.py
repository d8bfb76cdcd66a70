"""Promise: a day of a depot is decided again, departure by departure, by what decides in earnest
(``waves``), from what was known at each; nothing is changed in the database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from uuid import UUID

from supplychain.errors import SupplyChainError

from .days import start_of, tomorrow
from .departures import Departure, departures_from, lead_of
from .dynamic import MAY_WAIT
from .fleet import Fleet
from .models import Depot, Shipment, Vehicle
from .problem import Plan
from .storing import drop_place
from .waves import Along, Wave, wave_of, with_tours


class NothingToSimulate(SupplyChainError):
    """There is nothing to simulate."""

    permanent = True


@dataclass(frozen=True)
class Decided:
    """What came of one departure; ``must``: had no later chance."""

    departure: Departure
    waiting: int
    must: int
    leave: int
    routes: int
    cost: float


@dataclass
class Replay:
    """``unmet``: in the end, by their reasons."""

    along: Along
    decided: list[Decided] = field(default_factory=list)
    unmet: dict[UUID, str] = field(default_factory=dict)

    @property
    def cost(self) -> float:
        return sum(one.cost for one in self.decided)


def shipments_of(depot: Depot, day: date) -> list[Shipment]:
    """Those that became ready on this local day, as if none had ever left."""
    start = start_of(depot, day)
    rows = depot.shipments.exclude(state=Shipment.State.CANCELLED)
    found = list(
        rows.filter(ready_at__gte=start, ready_at__lt=tomorrow(start, depot.zone)).order_by("pk")
    )
    for row in found:
        row.attempts, row.missed_at = 0, None
        drop_place(row)
    return found


def replay(
    depot: Depot, day: date, shipments: Iterable[Shipment], *, along: Along, seconds: float
) -> Replay:
    """The departures from this day on until nobody waits any more, in vain or not. ``seconds`` are
    those of search for each. Raises NothingToSimulate."""
    rows = list(shipments)
    if not rows:
        raise NothingToSimulate(f"No shipment of {depot} became ready on {day}.")
    if not depot.departures:
        raise NothingToSimulate(f"{depot} has no departures; say with which to try it.")
    found, gone = Replay(along), set[UUID]()
    start = start_of(depot, day)
    fleet = Fleet(depot, start, _vehicles(depot), {}, {})
    for departure in departures_from(depot, start):
        now = departure.at - lead_of(depot)
        waiting = [row for row in rows if row.pk not in gone and row.ready_at <= now]
        if waiting:
            plan, wave = _decided(fleet, departure, now, waiting, along, seconds)
            fleet = with_tours(fleet, departure, plan.routes)
            left = {visit.stop.key for route in plan.routes for visit in route.visits}
            gone |= left
            found.unmet = dict(plan.unserved)
            must = sum(1 for row in waiting if not wave.left[row.pk])
            routes, cost = len(plan.routes), plan.cost
            found.decided.append(Decided(departure, len(waiting), must, len(left), routes, cost))
            everybody = len(gone) + len(plan.unserved) == len(rows)
            if everybody and not left and MAY_WAIT not in plan.unserved.values():
                break
    return found


def _vehicles(depot: Depot) -> list[Vehicle]:
    return list(depot.vehicles.filter(active=True).select_related("end_depot").order_by("pk"))


def _decided(
    fleet: Fleet,
    departure: Departure,
    now: datetime,
    waiting: list[Shipment],
    along: Along,
    seconds: float,
) -> tuple[Plan, Wave]:
    wave = wave_of(replace(fleet, now=now), departure, waiting)
    wave.along = along
    return wave.decide(seconds=seconds), wave
