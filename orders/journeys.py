"""Promise: an order, its shipments and all that is to be written and told of it stay together
while events are applied to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.utils import timezone

from supplychain.events import Event
from supplychain.events.outbox import Emission

from .models import Order, OrderLine, OrderShipment, StatusChange


@dataclass
class Journey:
    """``lines`` are there when one of the events is of lines; ``touched`` are the shipments to
    be written; ``news`` is what routing has told of a shipment's time and nobody knows yet."""

    order: Order
    lines: dict[str, OrderLine] = field(default_factory=dict)
    shipments: dict[UUID, OrderShipment] = field(default_factory=dict)
    touched: set[UUID] = field(default_factory=set)
    steps: list[StatusChange] = field(default_factory=list)
    emissions: list[Emission] = field(default_factory=list)
    news: list[Any] = field(default_factory=list)

    def shipment(self, shipment_id: UUID) -> OrderShipment:
        self.touched.add(shipment_id)
        if shipment_id not in self.shipments:
            self.shipments[shipment_id] = OrderShipment(shipment_id=shipment_id, order=self.order)
        return self.shipments[shipment_id]

    def tell(self, event: Event, cause: Event) -> None:
        order = self.order
        # A backorder's news may come with the journey of the receipt that filled it.
        emission = Emission(event, order, order.advance(), cause, order.correlation_id)
        self.emissions.append(emission)

    def note(self, reason: str, cause: Event) -> None:
        """A line of the order's history."""
        order = self.order
        order.updated_at = now = timezone.now()
        self.steps.append(
            StatusChange(
                order=order,
                status=order.status,
                at=now,
                reason=reason[:300],
                cause=cause.envelope.event_id,
            )
        )

    def about(self) -> dict[str, Any]:
        """What every event of the order says."""
        order = self.order
        return {
            "order_id": order.pk,
            "channel": order.channel.code,
            "external_id": order.external_id,
        }
