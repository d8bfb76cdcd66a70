"""What the warehouse has for its people to do; each sees their own warehouses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from supplychain.home import Task, capped, to_do

from .access import warehouses_of
from .models import (
    Backorder,
    CycleCount,
    Receipt,
    Reservation,
    StockLevel,
    Transfer,
)


def _list(model: str, **filters: Any) -> str:
    """The page that lists these rows."""
    page = reverse(f"admin:inventory_{model}_changelist")
    return f"{page}?{urlencode(filters)}" if filters else page


@to_do("Warehouse")
def picking(user: Any) -> Iterator[Task]:
    if not user.has_perm("inventory.view_reservation"):
        return
    held = Reservation.objects.filter(
        state=Reservation.State.HELD, expires_at=None, level__warehouse__in=warehouses_of(user)
    )
    today = timezone.now().date()
    mine = {"state__exact": "held", "expires_at__isnull": True}
    yield Task(
        "Lines to pick",
        capped(held.filter(pick_on__lte=today)),
        _list("reservation", **mine, pick_on__lte=today),
        "shelves",
        "Reserved, for today or earlier.",
    )
    yield Task(
        "Lines to pick later",
        capped(held.filter(pick_on__gt=today)),
        _list("reservation", **mine, pick_on__gt=today),
        "event_upcoming",
        "After the cut-off, or beyond a day's capacity.",
    )
    if user.has_perm("inventory.view_backorder"):
        yield Task(
            "Short lines",
            capped(Backorder.objects.all()),
            _list("backorder"),
            "hourglass_top",
            "They wait for stock, in any warehouse.",
        )


@to_do("Warehouse")
def stock(user: Any) -> Iterator[Task]:
    if not user.has_perm("inventory.view_stocklevel"):
        return
    mine = StockLevel.objects.filter(warehouse__in=warehouses_of(user))
    watched = mine.filter(reorder_point__gt=0)
    low = watched.filter(reorder_point__gt=F("on_hand") - F("reserved"))
    yield Task(
        "Low stock",
        capped(low),
        _list("stocklevel", availability="low"),
        "production_quantity_limits",
        "Fewer units available than the reorder point.",
        alarm=True,
    )
    yield Task(
        "In quarantine",
        capped(mine.filter(quarantined__gt=0)),
        _list("stocklevel", availability="quarantined"),
        "gpp_maybe",
        "To be looked at: restock or scrap.",
    )


@to_do("Warehouse")
def paperwork(user: Any) -> Iterator[Task]:
    places, today = warehouses_of(user), timezone.now().date()
    if user.has_perm("inventory.view_cyclecount"):
        counts = CycleCount.objects.filter(state=CycleCount.State.OPEN, warehouse__in=places)
        yield Task(
            "Counts due",
            capped(counts.filter(due_on__lte=today)),
            _list("cyclecount", state__exact="open", due_on__lte=today),
            "checklist",
            "Open counts whose day has come.",
            alarm=True,
        )
    if user.has_perm("inventory.view_receipt"):
        expected = Receipt.objects.filter(state=Receipt.State.EXPECTED, warehouse__in=places)
        yield Task(
            "Late inbound",
            capped(expected.filter(expected_on__lt=today)),
            _list("receipt", state__exact="expected", expected_on__lt=today),
            "assignment_late",
            "Announced for a day that has passed: ask the supplier.",
            alarm=True,
        )
        yield Task(
            "Inbound today",
            capped(expected.filter(expected_on=today)),
            _list("receipt", state__exact="expected", expected_on=today),
            "move_to_inbox",
        )
    if user.has_perm("inventory.view_transfer"):
        yield from _transfers(places)


def _transfers(places: Any) -> Iterator[Task]:
    proposed = Transfer.objects.filter(state=Transfer.State.PROPOSED, source__in=places)
    yield Task(
        "Transfers to ship",
        capped(proposed),
        _list("transfer", state__exact="proposed"),
        "outbox",
        "Proposed: ship or cancel them.",
    )
    coming = Transfer.objects.filter(state=Transfer.State.IN_TRANSIT, target__in=places)
    yield Task(
        "Transfers to receive",
        capped(coming),
        _list("transfer", state__exact="in_transit"),
        "sync_alt",
        "On their way here.",
    )
