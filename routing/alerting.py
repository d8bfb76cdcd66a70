"""Promise: what needs a person's eye is told once, and stays on the list until somebody says that
they have seen it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet
from django.utils import timezone

from supplychain.events.outbox import Emission

from . import events as tell
from .dynamic import MAY_WAIT
from .models import Alert, Depot, Shipment, Stop
from .reasons import remedy

#: So many shipments of a depot that can't be planned, with one remedy, have an alert each as long
#: as nobody has seen them.
NAMED = 10
#: What the alert of many says.
_MORE = "more like it: see those without a route."


def alert(depot: Depot, kind: str, texts: Mapping[UUID, str]) -> list[Emission]:
    """Put these on the list, in the caller's transaction, but for what is there unseen (by the
    key of the route or shipment); gives what must be told of it."""
    now = timezone.now()
    rows = Alert.objects.filter(kind=kind, subject_id__in=texts, seen_at=None)
    known = set(rows.values_list("subject_id", flat=True))
    new = [
        Alert(event_sequence=1, depot=depot, kind=kind, subject_id=pk, text=text[:300], at=now)
        for pk, text in texts.items()
        if pk not in known
    ]
    # Somebody else may have said it at this moment; the constraint decides.
    Alert.objects.bulk_create(new, ignore_conflicts=True)
    there = set(Alert.objects.filter(pk__in=[row.pk for row in new]).values_list("pk", flat=True))
    return [_told(row) for row in new if row.pk in there]


def alert_of_unplannable(depot: Depot, reasons: Mapping[Shipment, str]) -> list[Emission]:
    """That no route takes these, and what to do; of one of which it was told, nothing until it has
    stood in a route again. Of many with one remedy in one alert, and of more of them nothing until
    somebody has seen it."""
    by_remedy = defaultdict[str, list[Shipment]](list)
    for shipment in _untold(reasons):
        by_remedy[remedy(reasons[shipment])].append(shipment)
    unseen = list(_unseen(depot).values_list("text", flat=True)) if by_remedy else []
    texts = dict[UUID, str]()
    for what_to_do, some in by_remedy.items():
        there = [text for text in unseen if f". {what_to_do}." in text]
        if any(_MORE in text for text in there):
            continue
        number = len(there) + len(some)
        named, also = (some, "") if number <= NAMED else (some[:1], f" {number - 1} {_MORE}")
        texts |= {row.pk: f"{_said(row, reasons[row])}. {what_to_do}.{also}" for row in named}
    return alert(depot, Alert.Kind.UNPLANNABLE, texts)


def end_alerts_of_planned(depot: Depot) -> None:
    """Nobody needs to see any more that no route took what has one now; of many, when none of the
    depot is left that no route takes."""
    here = Shipment.objects.filter(depot=depot)
    planned = here.filter(pk=OuterRef("subject_id"), state=Shipment.State.PLANNED)
    left = here.filter(state=Shipment.State.OPEN).exclude(unplannable_reason__in=("", MAY_WAIT))
    of_many = Q(text__contains=_MORE)
    over = ~of_many & Exists(planned) | of_many & ~Exists(left)
    _unseen(depot).filter(over).update(seen_at=timezone.now(), seen_by="it has a route now")


def end_alerts_of_cancelled(shipments: Collection[Shipment]) -> None:
    """Nobody needs to see what was wrong with these; of many, with one of them, it still is."""
    theirs = Alert.objects.filter(subject_id__in=[row.pk for row in shipments], seen_at=None)
    theirs = theirs.exclude(text__contains=_MORE)
    theirs.update(seen_at=timezone.now(), seen_by="the order was cancelled")


def _unseen(depot: Depot) -> QuerySet[Alert]:
    return Alert.objects.filter(depot=depot, kind=Alert.Kind.UNPLANNABLE, seen_at=None)


def _said(row: Shipment, reason: str) -> str:
    return f"Shipment {row.pk} to {row.customer[:30]} can't be planned: {reason[:90]}"


def _untold(shipments: Collection[Shipment]) -> list[Shipment]:
    ended = Stop.objects.filter(shipment__in=shipments).values_list("shipment").order_by()
    stood = dict(ended.annotate(Max("ended_at")))
    alerts = Alert.objects.filter(
        kind=Alert.Kind.UNPLANNABLE, subject_id__in=[row.pk for row in shipments]
    )
    told = {
        pk
        for pk, at in alerts.values_list("subject_id", "at")
        if not stood.get(pk) or at > stood[pk]
    }
    return [row for row in shipments if row.pk not in told]


def _told(row: Alert) -> Emission:
    told = tell.StaffAlerted(
        alert_id=row.pk, depot=row.depot.code, kind=row.kind, about=row.subject_id, text=row.text
    )
    return Emission(told, row, sequence=1)


@transaction.atomic
def see_alert(*, alert_id: UUID, by: str) -> Alert:
    """Somebody knows of it; the first to say so counts."""
    row = Alert.objects.select_for_update().get(pk=alert_id)
    if row.seen_at is None:
        row.seen_at, row.seen_by = timezone.now(), by[:150]
        row.save(update_fields=["seen_at", "seen_by"])
    return row
