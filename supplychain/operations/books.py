"""Promise: if an event was lost, applied twice, or a unit of stock sold twice, this finds it.

Reads every domain's own rows; the only place that looks into all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from audit.models import StoredEvent
from audit.selectors import chain_faults, sequence_gaps
from inventory.models import Allocation, Backorder, Cut, Reservation, StockLevel
from inventory.picking import PickDiary
from inventory.rules import DESTINATION, Rules
from inventory.selectors import books_off
from inventory.taking import shelves_of
from orders.models import Order, OrderShipment, Status
from routing.models import CutAnswer, Shipment
from supplychain.events.consumers import consumers
from supplychain.events.models import DeadLetter, InboxEntry, OutboxEvent

RIGHT_ENDS = (Status.DELIVERED, Status.CANCELLED, Status.REJECTED, Status.RETURNED)
SHOWN = 5


def faults(*, finished: bool = True) -> list[str]:
    """Everything that is off, in words; [] when the books balance.

    ``finished``: also require that every order has come to an end, or waits for stock that is
    really not there or for a confirmation that may still come.
    """
    checks: list[Callable[[], Iterator[str]]] = [
        _stock,
        _outbox,
        _handled_once,
        _history,
        _shipments,
        _arrivals,
        _expiries,
        _cuts,
        _dead_letters,
    ]
    if finished:
        checks.append(_right_ends)
    return [fault for check in checks for fault in check()]


def is_quiet() -> bool:
    """No event waits anywhere: all are published and stored, and each consumer has had its own."""
    if OutboxEvent.objects.filter(published_at=None).exists():
        return False
    if StoredEvent.objects.count() != OutboxEvent.objects.count():
        return False
    return not list(_handled_once())


def _stock() -> Iterator[str]:
    yield from (f"stock: {line}" for line in books_off())


def _outbox() -> Iterator[str]:
    if waiting := OutboxEvent.objects.filter(published_at=None).count():
        yield f"outbox: {waiting} events were not published"
    stored = StoredEvent.objects.values("event_id")
    if lost := OutboxEvent.objects.exclude(event_id__in=stored).count():
        yield f"audit: {lost} events of the outbox are not in the event store"


def _handled_once() -> Iterator[str]:
    """Each consumer has one inbox row for each event it subscribed to, no more, no less."""
    by_type = dict(
        StoredEvent.objects.order_by().values_list("event_type").annotate(count=Count("pk"))
    )
    rows = InboxEntry.objects.order_by().values_list("consumer").annotate(count=Count("pk"))
    handled = dict(rows)
    dead = dict(
        DeadLetter.objects.filter(state=DeadLetter.State.OPEN)
        .order_by()
        .values_list("consumer")
        .annotate(count=Count("pk"))
    )
    for consumer in consumers():
        expected = sum(by_type.get(t.event_type, 0) for t in consumer.event_types)
        found = handled.get(consumer.name, 0) + dead.get(consumer.name, 0)
        if found != expected:
            yield f"{consumer.name}: {expected} events, handled {found}"


def _history() -> Iterator[str]:
    broken = [f"position {p}: {fault}" for p, fault in chain_faults() if fault]
    yield from (f"event store: {line}" for line in broken[:SHOWN])
    for gap in sequence_gaps()[:SHOWN]:
        yield f"event store: {gap['producer']} {gap['subject']} has gaps or doubles: {gap}"


def _shipments() -> Iterator[str]:
    """Inventory and routing agree on every shipment that routing was told of."""
    states = {
        Reservation.State.HELD: (Shipment.State.OPEN, Shipment.State.PLANNED),
        Reservation.State.COMMITTED: (Shipment.State.DISPATCHED, Shipment.State.DELIVERED),
        Reservation.State.RELEASED: (Shipment.State.CANCELLED,),
        Reservation.State.RETURNED: (Shipment.State.RETURNED,),
    }
    for state, fitting in states.items():
        mine = _told_of(state).values("shipment_id").distinct()
        theirs = Shipment.objects.filter(Q(pk__in=mine))
        # A shipment that failed once waits to leave again, or to be told as returned when the
        # vehicle is back that still has it.
        if state == Reservation.State.COMMITTED:
            waits = (Shipment.State.OPEN, Shipment.State.PLANNED)
            theirs = theirs.exclude(attempts__gt=0, state__in=waits)
            theirs = theirs.exclude(carried_by__isnull=False, state=Shipment.State.RETURNED)
        if wrong := theirs.exclude(state__in=fitting).count():
            yield f"{wrong} shipments are {state} in inventory but not {' or '.join(fitting)}"
        known = Shipment.objects.filter(pk__in=mine).count()
        if missing := mine.count() - known:
            yield f"{missing} reserved shipments are unknown to routing"


def _told_of(state: str) -> QuerySet[Reservation]:
    """What is, or was when it was let go, only held for an order that is not confirmed, is
    inventory's own affair. So is a part of a shipment that leaves without it."""
    rows = Reservation.objects.filter(state=state, expires_at=None)
    if state == Reservation.State.RELEASED:
        others = Reservation.objects.filter(shipment_id=OuterRef("shipment_id"))
        rows = rows.filter(~Exists(others.exclude(state=state)))
    return rows


def _arrivals() -> Iterator[str]:
    """Orders knows when shipments come, as routing told it last, and which can't be planned."""
    known = OrderShipment.objects.filter(pk=OuterRef("pk"))
    coming = Shipment.objects.filter(state__in=(Shipment.State.PLANNED, Shipment.State.DISPATCHED))
    off = coming.exclude(told_eta=None).filter(~Exists(known.filter(eta=OuterRef("told_eta"))))
    if wrong := off.count():
        yield f"{wrong} shipments come at another time than orders has heard of"
    stuck = Shipment.objects.filter(state=Shipment.State.OPEN).exclude(unplannable_reason="")
    told = known.filter(trouble=OrderShipment.Trouble.UNPLANNABLE)
    if wrong := stuck.filter(~Exists(told)).count():
        yield f"{wrong} shipments can't be planned and orders has not heard of it"


def _expiries() -> Iterator[str]:
    """What has expired is an order's that was not confirmed."""
    lost = Reservation.objects.filter(state=Reservation.State.EXPIRED).values("allocation_id")
    alive = Order.objects.filter(pk__in=lost, confirmed_at=None)
    if wrong := alive.exclude(status=Status.CANCELLED).count():
        yield f"{wrong} orders stand though what was held for them has expired"


def _cuts() -> Iterator[str]:
    """Inventory and routing agree on what was taken out of shipments, and inventory and orders
    on what is left of the orders."""
    if asked := Cut.objects.filter(state=Cut.State.ASKED).count():
        yield f"{asked} parts of shipments were taken back, and routing has not answered"
    for state, granted in ((Cut.State.DONE, True), (Cut.State.REFUSED, False)):
        agreed = CutAnswer.objects.filter(granted=granted).values("cut_id")
        if wrong := Cut.objects.filter(state=state).exclude(pk__in=agreed).count():
            yield f"{wrong} parts of shipments are {state} in inventory and not in routing"
    cut = Allocation.objects.filter(state=Allocation.State.OPEN).exclude(taken_back={})
    wanted = {pk: sum(units.values()) for pk, units in cut.values_list("pk", "wanted")}
    off = [
        order for order in Order.objects.filter(pk__in=wanted) if order.wanted != wanted[order.pk]
    ]
    yield from (
        f"{o}: {o.wanted} units are left of it, by inventory {wanted[o.pk]}" for o in off[:SHOWN]
    )


def _dead_letters() -> Iterator[str]:
    if count := DeadLetter.objects.filter(state=DeadLetter.State.OPEN).count():
        yield f"{count} dead letters are open"


def _right_ends() -> Iterator[str]:
    unfinished = Order.objects.exclude(status__in=RIGHT_ENDS)
    waiting = unfinished.filter(
        status__in=(Status.BACKORDERED, Status.PARTIALLY_RESERVED),
        pk__in=Backorder.objects.values("allocation_id"),
    )
    unconfirmed = unfinished.filter(confirmed_at=None, confirm_by__gt=timezone.now())
    stuck = unfinished.exclude(Q(pk__in=waiting.values("pk")) | Q(pk__in=unconfirmed.values("pk")))
    for status, count in stuck.order_by().values_list("status").annotate(Count("pk")):
        yield f"{count} orders are still {status}"
    yield from _waiting_in_vain()


def _waiting_in_vain() -> Iterator[str]:
    """Stock that some order waits for and could have: more than safety stock, in an active
    warehouse that ships to where the order goes."""
    waiting = Backorder.objects.order_by().values_list("product__sku", *DESTINATION).distinct()
    rows = StockLevel.objects.filter(product__in=Backorder.objects.values("product"))
    shelves = shelves_of(rows.select_related("product", "warehouse"), PickDiary.look)
    rules = Rules.read()
    units = Counter[str]()
    for sku, *place in waiting:
        units[sku] = max(units[sku], shelves.there(sku, rules.excluded(*place)))
    for sku, there in sorted(units.items()):
        if there:
            yield f"{there} × {sku} are available while an order waits for it"
