"""Promise: a dispatched route is frozen, and each of its stops ends once: handed over, or
failed with a reason and then brought back, and planned again or returned. Who is still to be
visited is told when the vehicle is late."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from supplychain.errors import SupplyChainError
from supplychain.events.outbox import Emission, emit_all
from supplychain.rows import update

from . import carrying
from . import events as tell
from .lateness import timed_again
from .models import Route, Shipment, Stop
from .proofs import Photo, keep_photos
from .services import S, lock_shipments
from .storing import PROMISE_FIELDS, drop_promise

#: After this many failed deliveries a shipment goes back.
MAX_ATTEMPTS = 2


class RouteNotPlanned(SupplyChainError):
    """Only a planned route can be dispatched."""

    permanent = True


class StopNotPending(SupplyChainError):
    """Only a pending stop of a dispatched route can be ended."""

    permanent = True


class ShipmentRecalled(SupplyChainError):
    """The order was cancelled: do not hand it over, bring it back."""

    permanent = True


@dataclass(frozen=True)
class Proof:
    """What comes with the answer that ends a stop. ``reference`` is made by who answers: sent
    again with the same one, it is the same answer. ``at``: when it happened, if it is told late.
    """

    photos: Sequence[Photo] = ()
    reference: UUID | None = None
    at: datetime | None = None


@transaction.atomic
def dispatch_route(*, route_id: UUID) -> Route:
    """The vehicle leaves, without what another still has; raises RouteNotPlanned. A route with no
    stop left is just closed."""
    route = _lock_route(route_id)
    if route.state != Route.State.PLANNED:
        raise RouteNotPlanned(f"The route is {route.state}; only a planned one can be dispatched.")
    pending = route.stops.filter(state=Stop.State.PENDING).values_list("shipment_id", flat=True)
    # Locked, and read again: a cancellation may have come in between.
    planned = [s for s in lock_shipments(pending).values() if s.state == S.PLANNED]
    elsewhere = carrying.elsewhere(route, planned)
    emissions = carrying.leave_behind(route, elsewhere)
    shipments = [s for s in planned if s not in elsewhere]
    for shipment in shipments:
        shipment.state, shipment.carried_by = S.DISPATCHED, None
        told = tell.ShipmentDispatched(
            shipment_id=shipment.pk,
            order_id=shipment.order_id,
            route_id=route.pk,
            depot=route.depot.code,
        )
        emissions.append(_of(shipment, told))
    fields = ["state", "carried_by", "event_sequence"]
    update(shipments, fields)
    if shipments:
        _move(route, Route.State.DISPATCHED)
        ids = [shipment.pk for shipment in shipments]
        left = tell.RouteDispatched(
            route_id=route.pk, depot=route.depot.code, vehicle=route.vehicle.name, shipments=ids
        )
        emissions.append(Emission(left, route))
        emissions += timed_again(route)
    else:
        _move(route, Route.State.COMPLETED)
    emit_all(emissions)
    return route


@transaction.atomic
def freeze_route(*, route_id: UUID, frozen: bool) -> Route:
    """Planning leaves it as it is from now on, or may change it again; raises RouteNotPlanned."""
    route = _lock_route(route_id)
    if route.state != Route.State.PLANNED:
        raise RouteNotPlanned(f"The route is {route.state}; only a planned one can be frozen.")
    route.frozen = frozen
    route.save(update_fields=["frozen"])
    return route


@transaction.atomic
def deliver_stop(*, stop_id: UUID, proof_name: str = "", proof: Proof | None = None) -> Stop:
    """Handed over to whoever is named; raises StopNotPending, ShipmentRecalled. The same answer
    again changes nothing."""
    return _answer(stop_id, proof or Proof(), proof_name=proof_name)


@transaction.atomic
def fail_stop(*, stop_id: UUID, reason: str, proof: Proof | None = None) -> Stop:
    """Not handed over; raises StopNotPending. The same answer again changes nothing."""
    return _answer(stop_id, proof or Proof(), reason=reason[:300])


def _answer(
    stop_id: UUID, proof: Proof, *, reason: str | None = None, proof_name: str = ""
) -> Stop:
    """Without a reason it was handed over."""
    stop, route = _lock_stop(stop_id)
    if proof.reference and stop.reference == proof.reference and _says(stop, reason, proof_name):
        return stop
    _must_be_pending(stop, route)
    stop.reference, stop.ended_at, stop.proof_name = proof.reference, proof.at, proof_name
    why = _refuse_recalled if reason is None else lambda _: reason
    _Round(route, photos=len(proof.photos)).end([stop], why).close()
    keep_photos(stop=stop, photos=proof.photos)
    return stop


@transaction.atomic
def complete_route(*, route_id: UUID, failures: Mapping[UUID, str] | None = None) -> Route:
    """End all pending stops at once, as a driver's day: handed over, but for ``failures``
    (shipment id → reason). A recalled shipment counts as failed. Raises RouteNotPlanned."""
    route = _lock_route(route_id)
    if route.state != Route.State.DISPATCHED:
        raise RouteNotPlanned(f"The route is {route.state}, it is not on its way.")
    failing = failures or {}

    def why(shipment: Shipment) -> str | None:
        return "recalled" if shipment.recalled else failing.get(shipment.pk)

    _Round(route).end(list(route.stops.filter(state=Stop.State.PENDING)), why).close()
    return route


def _refuse_recalled(shipment: Shipment) -> None:
    if shipment.recalled:
        raise ShipmentRecalled


def _lock_route(route_id: UUID) -> Route:
    rows = Route.objects.select_for_update(of=("self",)).select_related("depot", "vehicle")
    return rows.get(pk=route_id)


def _lock_stop(stop_id: UUID) -> tuple[Stop, Route]:
    """The stop under its route's lock, which is always taken first."""
    route = _lock_route(Stop.objects.values_list("route_id", flat=True).get(pk=stop_id))
    return Stop.objects.get(pk=stop_id), route


def _says(stop: Stop, reason: str | None, proof_name: str) -> bool:
    state = Stop.State.DELIVERED if reason is None else Stop.State.FAILED
    return (stop.state, stop.reason, stop.proof_name) == (state, reason or "", proof_name)


def _must_be_pending(stop: Stop, route: Route) -> None:
    if stop.state in (Stop.State.DELIVERED, Stop.State.FAILED):
        raise StopNotPending(f"The stop has ended already: it was answered as {stop.state}.")
    if route.state != Route.State.DISPATCHED or stop.state != Stop.State.PENDING:
        raise StopNotPending(f"The stop is {stop.state} and its route {route.state}.")


def _move(route: Route, state: str) -> None:
    route.state = state
    route.save(update_fields=["state"])


def _of(shipment: Shipment, told: tell.ShipmentEvent) -> Emission:
    journey = shipment.correlation_id
    return Emission(told, shipment, shipment.advance(), correlation_id=journey)


@dataclass
class _Round:
    """Stops of one route that end together, with so many photos each."""

    route: Route
    photos: int = 0
    emissions: list[Emission] = field(default_factory=list)
    #: Locked: those that end, and those that the vehicle has failed to hand over before.
    ended: list[Shipment] = field(default_factory=list)
    undelivered: list[Shipment] = field(default_factory=list)

    def end(self, stops: list[Stop], why_failed: Callable[[Shipment], str | None]) -> _Round:
        """``why_failed`` is asked under the shipment's lock; None means handed over."""
        now = timezone.now()
        # With those that may have to be told of a delay: all locks in one order.
        pending = self.route.stops.filter(state=Stop.State.PENDING)
        ids = pending.values_list("shipment_id", flat=True)
        shipments = lock_shipments([*ids, *carrying.carried(self.route)])
        self.ended = [shipments[stop.shipment_id] for stop in stops]
        self.undelivered = [s for s in shipments.values() if s.carried_by_id == self.route.pk]
        for stop, shipment in zip(stops, self.ended, strict=True):
            stop.ended_at = stop.ended_at or now
            reason = why_failed(shipment)
            if reason is None:
                self._deliver(stop, shipment)
            else:
                self._fail(stop, shipment, reason)
        fields = ["state", "ended_at", "reason", "proof_name", "reference"]
        update(stops, fields)
        return self

    def _deliver(self, stop: Stop, shipment: Shipment) -> None:
        stop.state, shipment.state = Stop.State.DELIVERED, S.DELIVERED
        told = tell.StopDelivered(
            shipment_id=shipment.pk,
            order_id=shipment.order_id,
            route_id=self.route.pk,
            delivered_at=stop.ended_at or timezone.now(),
            proof_name=stop.proof_name,
            photos=self.photos,
        )
        self.emissions.append(_of(shipment, told))

    def _fail(self, stop: Stop, shipment: Shipment, reason: str) -> None:
        shipment.attempts += 1
        final = shipment.recalled or shipment.attempts >= MAX_ATTEMPTS
        stop.state, stop.reason = Stop.State.FAILED, reason[:300]
        shipment.state = S.RETURNED if final else S.OPEN
        shipment.ready_at, shipment.told_eta = timezone.now(), None
        shipment.carried_by = self.route
        self.undelivered.append(shipment)
        drop_promise(shipment)
        told = tell.StopFailed(
            shipment_id=shipment.pk,
            order_id=shipment.order_id,
            route_id=self.route.pk,
            reason=reason[:300],
            attempt=shipment.attempts,
            final=final,
            photos=self.photos,
        )
        self.emissions.append(_of(shipment, told))

    def close(self) -> None:
        """Complete the route when nothing of it is pending, else say who comes late; tell."""
        if self.route.stops.filter(state=Stop.State.PENDING).exists():
            self.emissions += timed_again(self.route)
            carrying.hold_back(self.route, self.undelivered)
        else:
            self._complete()
        update(
            {*self.ended, *self.undelivered},
            [
                *("state", "attempts", "ready_at", "release_at", "carried_by", "told_eta"),
                *(*PROMISE_FIELDS, "event_sequence"),
            ],
        )
        emit_all(self.emissions)

    def _complete(self) -> None:
        self.emissions += carrying.bring_back(self.route, self.undelivered)
        _move(self.route, Route.State.COMPLETED)
        stops = self.route.stops
        told = tell.RouteCompleted(
            route_id=self.route.pk,
            depot=self.route.depot.code,
            delivered=stops.filter(state=Stop.State.DELIVERED).count(),
            failed=stops.filter(state=Stop.State.FAILED).count(),
        )
        self.emissions.append(Emission(told, self.route))
