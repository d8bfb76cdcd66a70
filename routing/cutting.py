"""Promise: a shipment that has not left leaves without what was taken out of it, and who asked
hears once whether it will."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from inventory.events import ShipmentCutRequested
from supplychain.errors import SupplyChainError
from supplychain.events.outbox import Emission, emit_all
from supplychain.rows import update

from . import events as tell
from .goods import take_out
from .models import CutAnswer, Shipment, Stop
from .services import S, lock_shipments


class UnknownShipment(SupplyChainError):
    """A shipment is not known here (yet)."""


@transaction.atomic
def cut_shipments(*, requests: Sequence[ShipmentCutRequested]) -> None:
    """Grant each request whose shipment has not left, refuse the others. Raises UnknownShipment.

    A route's load stays as it was planned: it may only become less.
    """
    shipments = lock_shipments(request.shipment_id for request in requests)
    if missing := {request.shipment_id for request in requests} - set(shipments):
        raise UnknownShipment(f"Not known here: {', '.join(map(str, sorted(missing)))}.")
    asked = {request.cut_id: request for request in requests}
    answered = set(CutAnswer.objects.filter(pk__in=asked).values_list("pk", flat=True))
    answers: list[CutAnswer] = []
    emissions: list[Emission] = []
    for cut_id, request in asked.items():
        if cut_id in answered:
            continue
        shipment = shipments[request.shipment_id]
        told = _answer(shipment, request)
        granted = isinstance(told[0], tell.ShipmentReduced)
        answers.append(CutAnswer(cut_id=cut_id, shipment=shipment, granted=granted))
        emissions += [Emission(e, shipment, shipment.advance(), cause=request) for e in told]
    _save(answers, emissions)


def _save(answers: list[CutAnswer], emissions: list[Emission]) -> None:
    changed = list({answer.shipment_id: answer.shipment for answer in answers}.values())
    update(
        changed,
        [
            *("state", "weight_kg", "volume_m3", "items", "goods"),
            *("unplannable_reason", "event_sequence"),
        ],
    )
    emptied = [shipment.pk for shipment in changed if shipment.state == S.CANCELLED]
    Stop.objects.filter(shipment__in=emptied, state=Stop.State.PENDING).update(
        state=Stop.State.DROPPED, ended_at=timezone.now(), reason="all of it was taken back"
    )
    CutAnswer.objects.bulk_create(answers)
    emit_all(emissions)


def _answer(shipment: Shipment, request: ShipmentCutRequested) -> list[tell.ShipmentEvent]:
    ids = {"shipment_id": shipment.pk, "order_id": shipment.order_id}
    if reason := _why_not(shipment):
        return [tell.ShipmentCutRefused(**ids, cut_id=request.cut_id, reason=reason)]
    told: list[tell.ShipmentEvent] = [tell.ShipmentReduced(**ids, cut_id=request.cut_id)]
    if shipment.state != S.CANCELLED:
        shipment.weight_kg = max(0.0, round(shipment.weight_kg - request.weight_kg, 3))
        shipment.volume_m3 = max(0.0, round(shipment.volume_m3 - request.volume_m3, 6))
        take_out(shipment, request.lines)
        shipment.unplannable_reason = ""  # it may have been too heavy
        if request.empties:
            shipment.state = S.CANCELLED
            told.append(tell.ShipmentCancelled(**ids))
    return told


def _why_not(shipment: Shipment) -> str:
    """Why nothing can be taken out of it any more; "" when it can."""
    if shipment.state in (S.DISPATCHED, S.DELIVERED, S.RETURNED):
        return f"The shipment is {shipment.get_state_display().lower()}."
    if shipment.attempts and shipment.state != S.CANCELLED:
        return "The shipment has left once already and waits to be delivered again."
    return ""
