"""What the routing domain tells: its public contract."""

from datetime import date, datetime
from uuid import UUID

from supplychain.events import Event, Sensitivity


class ShipmentEvent(Event):
    """What every event of a shipment says."""

    shipment_id: UUID
    order_id: UUID


class ShipmentPlanned(
    ShipmentEvent, type="routing.shipment_planned", version=1, subject="shipment/{shipment_id}"
):
    """A shipment stands in a route, or stands there otherwise than was told before.

    ``position`` counts the route's stops from 1. The window is the one promised or asked for;
    ``time_zone`` is the depot's.
    """

    route_id: UUID
    depot: str
    vehicle: str
    position: int
    eta: datetime
    window_from: datetime | None = None
    window_until: datetime | None = None
    time_zone: str = "UTC"


class ShipmentPromised(
    ShipmentEvent, type="routing.shipment_promised", version=1, subject="shipment/{shipment_id}"
):
    """A place in the plan was found at once; the shipment comes within this window.

    It is planned in full by the next plan run, which keeps the window if it can.
    """

    depot: str
    day: date
    window_from: datetime
    window_until: datetime
    eta: datetime
    time_zone: str = "UTC"


class EtaChanged(
    ShipmentEvent, type="routing.eta_changed", version=1, subject="shipment/{shipment_id}"
):
    """A shipment comes notably earlier or later than was told last."""

    route_id: UUID
    eta: datetime
    told_before: datetime
    reason: str
    time_zone: str = "UTC"


class ShipmentDelayed(
    ShipmentEvent, type="routing.shipment_delayed", version=1, subject="shipment/{shipment_id}"
):
    """A shipment did not leave when it should have; it is planned for another day."""

    depot: str
    reason: str
    requested_until: datetime | None = None


class ShipmentUnplannable(
    ShipmentEvent, type="routing.shipment_unplannable", version=1, subject="shipment/{shipment_id}"
):
    """No route could take the shipment; it stays open and is tried again in the next plan."""

    depot: str
    reason: str


class ShipmentDispatched(
    ShipmentEvent, type="routing.shipment_dispatched", version=1, subject="shipment/{shipment_id}"
):
    """A shipment has left its depot."""

    route_id: UUID
    depot: str


class StopDelivered(
    ShipmentEvent, type="routing.stop_delivered", version=1, subject="shipment/{shipment_id}"
):
    """A shipment was handed over, to whoever is named; so many photos prove it."""

    sensitivity = Sensitivity.PERSONAL

    route_id: UUID
    delivered_at: datetime
    proof_name: str = ""
    photos: int = 0


class StopFailed(
    ShipmentEvent, type="routing.stop_failed", version=1, subject="shipment/{shipment_id}"
):
    """A shipment could not be handed over. ``final``: it goes back, else it is planned again."""

    route_id: UUID
    reason: str
    attempt: int
    final: bool
    photos: int = 0


class ShipmentCancelled(
    ShipmentEvent, type="routing.shipment_cancelled", version=1, subject="shipment/{shipment_id}"
):
    """A shipment of a cancelled order has not left and never will: its stock is free."""


class ShipmentCutAnswer(ShipmentEvent):
    """What became of a part of a shipment that was taken back."""

    cut_id: UUID


class ShipmentReduced(
    ShipmentCutAnswer, type="routing.shipment_reduced", version=1, subject="shipment/{shipment_id}"
):
    """A shipment will leave, if at all, without the units that were taken back."""


class ShipmentCutRefused(
    ShipmentCutAnswer,
    type="routing.shipment_cut_refused",
    version=1,
    subject="shipment/{shipment_id}",
):
    """A shipment had left before a part of it was taken back."""

    reason: str


class ShipmentReturned(
    ShipmentEvent, type="routing.shipment_returned", version=1, subject="shipment/{shipment_id}"
):
    """A shipment is back at its depot."""

    depot: str


class RoutePlanned(Event, type="routing.route_planned", version=1, subject="route/{route_id}"):
    """A route was planned, or planned again; km, kg, m³, and stops in driving order.

    ``version`` counts the plans of its depot and day.
    """

    route_id: UUID
    depot: str
    day: date
    vehicle: str
    shipments: list[UUID]
    distance_km: float
    load_kg: float
    load_m3: float
    starts_at: datetime
    ends_at: datetime
    version: int = 1


class RouteWithdrawn(Event, type="routing.route_withdrawn", version=1, subject="route/{route_id}"):
    """A planned route won't be driven; what stood in it is planned elsewhere or waits."""

    route_id: UUID
    depot: str
    day: date
    reason: str


class StaffAlerted(Event, type="routing.staff_alerted", version=1, subject="alert/{alert_id}"):
    """Something at a depot needs a person's eye; ``about`` is a route, a shipment or,
    when planning fails, the depot."""

    alert_id: UUID
    depot: str
    kind: str
    about: UUID
    text: str


class RouteDispatched(
    Event, type="routing.route_dispatched", version=1, subject="route/{route_id}"
):
    """A route's vehicle has left; the route no longer changes."""

    route_id: UUID
    depot: str
    vehicle: str
    shipments: list[UUID]


class RouteCompleted(Event, type="routing.route_completed", version=1, subject="route/{route_id}"):
    """Every stop of the route has ended."""

    route_id: UUID
    depot: str
    delivered: int
    failed: int
