"""Promise: a depot's timetable is read once and kept in this process for as long as nobody else
changes what it is made of, as its days are (``books``), so that of many new shipments only the
first waits for the reading."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from .books import MOST_STOPS
from .days import midnight
from .departures import Departure, undecided
from .insertion import Offer
from .keeping import Keeper, Kept
from .models import Depot, Route, Shipment, Stop, Vehicle
from .road import SHORT_TIMEOUT
from .services import S
from .timetable import Place, Timetable, Wanted


class Table:
    """A depot's departures of which nobody has decided yet what goes, for these new shipments.

    Raises Crowded.
    """

    def __init__(self, depot: Depot, shipments: Sequence[Shipment]) -> None:
        self.now = timezone.now()
        self._depot = depot
        self._began = _Standing.read(depot, self.now)
        self._accepted = set[UUID]()
        self._since = time.monotonic()
        self._table = self._looked_at(shipments)

    def first(self, shipment: Shipment, wanted: Wanted) -> tuple[Departure, Offer] | None:
        if not self._table.knows(shipment.pk):
            return None
        return self._table.first(self._table.stop(shipment.pk), wanted)

    def eta(self, offer: Offer) -> datetime:
        return self._table.eta(offer)

    def accept(
        self,
        shipment: Shipment,
        found: tuple[Departure, Offer],
        window: tuple[datetime, datetime],
    ) -> Place:
        self._accepted.add(shipment.pk)
        return self._table.accept(*found, window=window)

    def keep(self) -> None:
        """For the next batch, once all that was accepted is in the rows."""
        now = _Standing.read(self._depot, self.now)
        if now.without(self._accepted) == self._began and now.held.keys() >= self._accepted:
            kept.keep(self._depot.pk, Kept(now, self._since, self._table, self._table.stops))

    def _looked_at(self, shipments: Sequence[Shipment]) -> Timetable:
        known = kept.taken(self._depot.pk)
        if (
            known
            and known.holds(self._began)
            and known.what.has_room_for(shipments, most=MOST_STOPS)
        ):
            self._since = known.since
            known.what.ask_for(shipments, self.now)
            return known.what
        return Timetable.read(
            self._depot, self.now, shipments, travel_timeout=SHORT_TIMEOUT, most=MOST_STOPS
        )


# --- what is kept -----------------------------------------------------------------------------

#: Of a shipment: its sequence is another one whenever something of it was told.
_HELD = ("pk", "event_sequence", "promised_departs_at", "promised_vehicle_id", "promised_eta")
_STANDS = ("shipment_id", "shipment__event_sequence", "route_id", "eta")
_VEHICLE = [field.attname for field in Vehicle._meta.concrete_fields]
_END = ("end_depot__latitude", "end_depot__longitude")


@dataclass(frozen=True)
class _Standing:
    """What a timetable is made of: fleet, routes and all that stands in them, and by their
    shipments the places that are ``held``."""

    plan: tuple[Any, ...]
    held: dict[UUID, tuple[Any, ...]]

    @classmethod
    def read(cls, depot: Depot, now: datetime) -> _Standing:
        departures = [one.at for one in undecided(depot, now)]
        under_way = (Route.State.PLANNED, Route.State.DISPATCHED)
        routes = Route.objects.filter(Q(depot=depot) | Q(vehicle__depot=depot))
        routes = routes.filter(state__in=under_way).order_by("pk")
        stops = Stop.objects.filter(route__in=routes.filter(departs_at__in=departures))
        stops = stops.filter(state=Stop.State.PENDING).order_by("pk")
        plan = (
            (depot.latitude, depot.longitude, midnight(now, depot.zone), *departures),
            *depot.vehicles.order_by("pk").values_list(*_VEHICLE, *_END),
            *routes.values_list("pk", "state", "frozen", "planned_at", "starts_at", "ends_at"),
            *stops.values_list(*_STANDS),
        )
        held = depot.shipments.filter(state=S.OPEN, promised_departs_at__in=departures)
        return cls(plan, {row[0]: row for row in held.values_list(*_HELD)})

    def without(self, new: Collection[UUID]) -> _Standing:
        others = {pk: row for pk, row in self.held.items() if pk not in new}
        return _Standing(self.plan, others)


kept = Keeper[_Standing, Timetable]()
