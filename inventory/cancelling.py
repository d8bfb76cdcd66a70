"""Promise: what is taken back of an order, all or a part, is promised to it no more, as far as it
has not left; and stock that may be on a truck is never sold again.

What is on backorder or only held is given up at once. What routing has been told of may have
left, and routing alone knows: it is asked (ShipmentCutRequested), or, for a whole order, has
heard of it (OrderCancelled), and stock stays reserved until it has answered.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from uuid import UUID

from django.db import transaction

from orders.events import OrderCancelled, OrderLinesCancelled
from routing.events import ShipmentCutAnswer, ShipmentReduced
from supplychain.events import Event
from supplychain.events.context import new_id
from supplychain.events.outbox import Emission, emit_all
from supplychain.rows import update

from . import events as tell
from . import locks, releasing
from .allocating import allocation_event, by_type
from .holding import A, Held, R, UnknownAllocation
from .ledger import Ledger, Reason
from .models import Allocation, Backorder, Cut, Reservation, StockLevel
from .taking import quantities

C = Cut.State
#: In these states a reservation's units are in its shipment.
_IN_SHIPMENT = (R.HELD, R.COMMITTED)


# --- whole orders -------------------------------------------------------------------------


@transaction.atomic
def cancel_allocations(*, cancelled: Sequence[OrderCancelled]) -> None:
    """Nothing more is reserved for these orders, and nothing is held for them any longer.

    What is reserved stays reserved until routing says that it has not left
    (ShipmentCancelled). A cancellation may come before its order.
    """
    causes = {event.order_id: event for event in cancelled}
    held = Held.lock(causes, make=[_cancelled(causes[pk]) for pk in sorted(causes)])
    closing = Allocation.objects.filter(pk__in=causes, state__in=[A.OPEN, A.EXPIRED])
    closing.update(state=A.CANCELLED)
    Backorder.objects.filter(allocation__in=causes).delete()
    held.let_go(held.rows, R.RELEASED)
    emit_all(
        [
            _tell_released(held, rows, {row.pk: row.quantity for row in rows}, cause=causes[pk])
            for pk, rows in _by_shipment(held.rows)
        ]
    )


def _cancelled(event: OrderCancelled) -> Allocation:
    journey = event.envelope.correlation_id
    return Allocation(order_id=event.order_id, state=A.CANCELLED, correlation_id=journey)


def _by_shipment(rows: Iterable[Reservation]) -> Iterable[tuple[UUID, list[Reservation]]]:
    """(Order, the reservations of one of its shipments)."""
    found: dict[UUID, list[Reservation]] = defaultdict(list)
    for row in rows:
        found[row.shipment_id].append(row)
    return [(some[0].allocation_id, some) for some in found.values()]


def _tell_released(
    held: Held, rows: Sequence[Reservation], units: Mapping[UUID, int], *, cause: Event
) -> Emission:
    """So many units of these reservations of one shipment are available again."""
    level = held.levels[rows[0].level_id]
    by_sku = {held.levels[row.level_id].product.sku: units[row.pk] for row in rows}
    told = tell.StockReleased(
        order_id=rows[0].allocation_id,
        shipment_id=rows[0].shipment_id,
        warehouse=level.warehouse.code,
        lines=quantities(by_sku),
    )
    return Emission(told, held.allocations[rows[0].allocation_id], cause=cause)


# --- parts of orders ----------------------------------------------------------------------


@transaction.atomic
def cut_allocations(*, cancelled: Sequence[OrderLinesCancelled]) -> None:
    """Take units out of these orders: from what waits first, then from what is held, then, if
    routing agrees, from what is reserved. Raises UnknownAllocation."""
    held = Held.lock({event.order_id for event in cancelled})
    if missing := {event.order_id for event in cancelled} - set(held.allocations):
        raise UnknownAllocation(f"Not placed here: {', '.join(map(str, sorted(missing)))}.")
    cutting = _Cutting(held)
    for event in sorted(cancelled, key=lambda e: e.envelope.sequence):
        cutting.cut(event)
    cutting.save()


class _Cutting:
    """Locked orders while units are taken out of them."""

    def __init__(self, held: Held) -> None:
        self._held = held
        orders = held.allocations
        self._waiting: dict[tuple[UUID, str], Backorder] = {
            (row.allocation_id, row.product.sku): row
            for row in Backorder.objects.filter(allocation__in=orders).select_related("product")
        }
        self._reserved: dict[UUID, list[Reservation]] = defaultdict(list)
        mine = Reservation.objects.filter(allocation__in=orders, expires_at=None, state=R.HELD)
        for row in mine.select_related("level__product").order_by("-pk"):
            self._reserved[row.allocation_id].append(row)
        #: Units of a shipment that routing has been asked for and has not answered for.
        self._asked: Counter[tuple[UUID, str]] = Counter()
        for cut in Cut.objects.filter(allocation__in=orders, state=C.ASKED):
            self._asked.update({(cut.shipment_id, sku): n for sku, n in cut.units.items()})
        self._shrunk: dict[UUID, Reservation] = {}
        self._cuts: list[Cut] = []
        self._emissions: list[Emission] = []

    def cut(self, event: OrderLinesCancelled) -> None:
        allocation = self._held.allocations[event.order_id]
        from_shipments: dict[UUID, Counter[str]] = defaultdict(Counter)
        let_go: Counter[UUID] = Counter()
        settled = 0
        for line in event.lines:
            units = line.total - allocation.taken_back.get(line.sku, 0)
            if units <= 0:  # a later word has come before this one, or it comes again
                continue
            allocation.taken_back[line.sku] = line.total
            if allocation.state in (A.CANCELLED, A.REJECTED):
                continue
            left = units - self._from_line(allocation, line.sku, units)
            left -= self._from_held(allocation, line.sku, left, let_go)
            left -= self._from_nothing(allocation, line.sku, left)
            left -= (asked := self._from_reserved(allocation, line.sku, left, from_shipments))
            if left:
                allocation.kept[line.sku] = allocation.kept.get(line.sku, 0) + left
            settled += units - asked
        self._ask(allocation, from_shipments, event)
        self._tell(allocation, let_go, settled, event)

    def _from_line(self, allocation: Allocation, sku: str, units: int) -> int:
        waiting = self._waiting.get((allocation.pk, sku))
        cut = min(units, waiting.quantity) if waiting else 0
        if waiting:
            waiting.quantity -= cut
        _want_less(allocation, sku, cut)
        return cut

    def _from_held(
        self, allocation: Allocation, sku: str, units: int, let_go: Counter[UUID]
    ) -> int:
        left = units
        for row in self._held.of({allocation.pk}):
            level = self._held.levels[row.level_id]
            if level.product.sku != sku or row.state != R.HELD or not left:
                continue
            cut = min(left, row.quantity)
            self._held.ledger.reserve(level, -cut)
            _shrink(row, cut)
            let_go[row.pk] += cut
            self._shrunk[row.pk] = row
            left -= cut
        _want_less(allocation, sku, units - left)
        return units - left

    def _from_nothing(self, allocation: Allocation, sku: str, units: int) -> int:
        """Of what has expired nothing is there, but it may be wanted again."""
        if allocation.state != A.EXPIRED:
            return 0
        _want_less(allocation, sku, units)
        return units

    def _from_reserved(
        self,
        allocation: Allocation,
        sku: str,
        units: int,
        from_shipments: dict[UUID, Counter[str]],
    ) -> int:
        """What was reserved last has most likely not left."""
        left = units
        for row in self._reserved[allocation.pk]:
            if row.level.product.sku == sku:
                cut = min(left, row.quantity - self._asked[row.shipment_id, sku])
                self._asked[row.shipment_id, sku] += cut
                if cut:
                    from_shipments[row.shipment_id][sku] += cut
                left -= cut
        return units - left

    def _ask(
        self,
        allocation: Allocation,
        from_shipments: Mapping[UUID, Counter[str]],
        cause: OrderLinesCancelled,
    ) -> None:
        for shipment_id, units in from_shipments.items():
            rows = [r for r in self._reserved[allocation.pk] if r.shipment_id == shipment_id]
            cut = Cut(id=new_id(), allocation=allocation, shipment_id=shipment_id, units=units)
            self._cuts.append(cut)
            products = {row.level.product.sku: row.level.product for row in rows}
            empties = all(
                row.quantity == self._asked[shipment_id, row.level.product.sku] for row in rows
            )
            told = releasing.cut_request(cut, products, empties=empties)
            self._emissions.append(Emission(told, allocation, cause=cause))

    def _tell(
        self,
        allocation: Allocation,
        let_go: Mapping[UUID, int],
        settled: int,
        cause: OrderLinesCancelled,
    ) -> None:
        rows = [row for row in self._held.rows if row.pk in let_go]
        self._emissions += [
            _tell_released(self._held, some, let_go, cause=cause) for _, some in _by_shipment(rows)
        ]
        if not settled or allocation.state != A.OPEN:
            return
        outstanding = {
            sku: row.quantity
            for (pk, sku), row in self._waiting.items()
            if pk == allocation.pk and row.quantity
        }
        told: Event
        if allocation.confirm_by:
            told = allocation_event(tell.StockReserved, allocation, [], outstanding)
        else:
            told = _reduced(allocation, outstanding, {}, reason="had left before")
        self._emissions.append(Emission(told, allocation, cause=cause))

    def save(self) -> None:
        update(self._held.allocations.values(), ["taken_back", "kept", "wanted"])
        rows = self._waiting.values()
        update([row for row in rows if row.quantity], ["quantity"])
        Backorder.objects.filter(pk__in=[r.pk for r in rows if not r.quantity]).delete()
        update(self._shrunk.values(), ["quantity", "state"])
        self._held.ledger.write()
        Cut.objects.bulk_create(self._cuts)
        emit_all(by_type(self._emissions))


def _want_less(allocation: Allocation, sku: str, units: int) -> None:
    left = allocation.wanted.get(sku, 0) - units
    if left > 0:
        allocation.wanted[sku] = left
    else:
        allocation.wanted.pop(sku, None)


def _shrink(row: Reservation, units: int) -> None:
    """Nothing of it left: it keeps its last quantity."""
    if units == row.quantity:
        row.state = R.RELEASED
    else:
        row.quantity -= units


def _reduced(
    allocation: Allocation,
    outstanding: Mapping[str, int],
    shipments: Mapping[UUID, int],
    reason: str = "",
) -> tell.AllocationReduced:
    return tell.AllocationReduced(
        order_id=allocation.pk,
        outstanding=quantities(outstanding),
        kept=quantities(allocation.kept),
        shipments=[
            tell.ShipmentQuantity(shipment_id=pk, quantity=n) for pk, n in shipments.items()
        ],
        reason=reason if allocation.kept else "",
    )


# --- routing's answers --------------------------------------------------------------------


@transaction.atomic
def settle_cuts(*, answers: Sequence[ShipmentCutAnswer]) -> None:
    """Take out of their shipments the units that routing agreed to, and leave those that have
    left where they are. Raises UnknownAllocation."""
    _Answers(answers).settle()


class _Answers:
    """Cuts that routing has answered, with all that they touch, locked."""

    def __init__(self, answers: Sequence[ShipmentCutAnswer]) -> None:
        self._causes = {answer.cut_id: answer for answer in answers}
        cuts = Cut.objects.filter(pk__in=self._causes).order_by("pk")
        shipments = {answer.shipment_id for answer in answers}
        rows = Reservation.objects.filter(shipment_id__in=shipments).order_by("pk")
        levels = locks.levels(rows.values_list("level_id", flat=True))
        self._levels: dict[int, StockLevel] = {level.pk: level for level in levels}
        allocations = locks.allocations(answer.order_id for answer in answers)
        # Read under the locks: what another transaction settled meanwhile is seen as settled.
        self._rows = list(rows)
        known = list(cuts)
        if missing := set(self._causes) - {cut.pk for cut in known}:
            raise UnknownAllocation(f"Not asked for: {', '.join(map(str, sorted(missing)))}.")
        self._cuts = [cut for cut in known if cut.state == C.ASKED]
        self._ledger = Ledger(actor="system")
        self._held = Held(self._levels, allocations, [], self._ledger)
        self._emissions: list[Emission] = []

    def settle(self) -> None:
        for cut in self._cuts:
            if isinstance(self._causes[cut.pk], ShipmentReduced):
                self._take_out(cut)
            else:
                self._leave(cut)
        self._tell_orders()
        self._save()

    def _take_out(self, cut: Cut) -> None:
        cut.state = C.DONE
        allocation = self._held.allocations[cut.allocation_id]
        freed: dict[UUID, int] = {}
        for row in self._in(cut):
            level = self._levels[row.level_id]
            units = min(row.quantity, cut.units[level.product.sku])
            if row.state == R.HELD:
                self._ledger.reserve(level, -units)
            else:  # the news that the shipment has left came first: with less than was booked
                place = f"{row.shipment_id} cut {cut.pk}"
                journey = self._causes[cut.pk].envelope.correlation_id
                self._ledger.move(
                    level, units, Reason.DISPATCH, reference=place, correlation_id=journey
                )
            _shrink(row, units)
            freed[row.pk] = units
        if cut.back_in_line:
            self._emissions += releasing.put_back_in_line(cut, allocation, self._freed(freed))
        else:
            for sku, units in cut.units.items():
                _want_less(allocation, sku, units)
        rows = [row for row in self._rows if row.pk in freed]
        for _, some in _by_shipment(rows):
            told = _tell_released(self._held, some, freed, cause=self._causes[cut.pk])
            self._emissions.append(told)

    def _freed(self, freed: Mapping[UUID, int]) -> list[tuple[StockLevel, int]]:
        """Levels, with the units of these reservations that they have back."""
        rows = [row for row in self._rows if row.pk in freed]
        return [(self._levels[row.level_id], freed[row.pk]) for row in rows]

    def _in(self, cut: Cut) -> list[Reservation]:
        """The reservations of its shipment that it takes units from."""
        return [
            row
            for row in self._rows
            if row.shipment_id == cut.shipment_id
            and row.state in _IN_SHIPMENT
            and self._levels[row.level_id].product.sku in cut.units
        ]

    def _leave(self, cut: Cut) -> None:
        cut.state = C.REFUSED
        if cut.back_in_line:  # the order has them, as it was promised
            return
        kept = self._held.allocations[cut.allocation_id].kept
        for sku, units in cut.units.items():
            kept[sku] = kept.get(sku, 0) + units

    def _tell_orders(self) -> None:
        """Once per order, of all its cuts together."""
        last = {cut.allocation_id: self._causes[cut.pk] for cut in self._cuts}
        outstanding = _outstanding(last)
        left: dict[UUID, Counter[UUID]] = defaultdict(Counter)
        for row in self._rows:
            units = row.quantity if row.state in _IN_SHIPMENT else 0
            left[row.allocation_id][row.shipment_id] += units
        for pk, cause in last.items():
            allocation = self._held.allocations[pk]
            reason = getattr(cause, "reason", "")
            told = _reduced(allocation, outstanding[pk], left[pk], reason)
            self._emissions.append(Emission(told, allocation, cause=cause))

    def _save(self) -> None:
        update(self._cuts, ["state"])
        touched = [self._held.allocations[pk] for pk in {c.allocation_id for c in self._cuts}]
        update(touched, ["wanted", "kept"])
        update(self._rows, ["quantity", "state"])
        self._ledger.write()
        emit_all(by_type(self._emissions))


def _outstanding(order_ids: Collection[UUID]) -> dict[UUID, dict[str, int]]:
    found: dict[UUID, dict[str, int]] = defaultdict(dict)
    rows = Backorder.objects.filter(allocation__in=order_ids)
    for pk, sku, units in rows.values_list("allocation_id", "product__sku", "quantity"):
        found[pk][sku] = units
    return found
