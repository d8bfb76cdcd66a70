"""Promise: here, and nowhere else, stands whose route is whose, and what a driver may do with it.
The driver's page and the API both ask here.

A driver sees their own routes of today and those that are still on the road, and no others; of the
days to come only when they will leave. Who may change routes drives any of them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from supplychain.errors import SupplyChainError

from .models import Depot, Route

#: See all of routing; change it; drive one's own routes; leave the depot with one of them.
SEE, CHANGE, DRIVE, START = (
    "routing.view_route",
    "routing.change_route",
    "routing.drive_route",
    "routing.start_route",
)


class NoDriver(SupplyChainError):
    """Nobody of this name may drive: give them the role first."""

    permanent = True


def own(user: Any) -> QuerySet[Route]:
    """All routes of a driver, whenever they were driven."""
    rows = Route.objects.exclude(state=Route.State.WITHDRAWN)
    return rows.filter(Q(driver=user.pk) | Q(driver=None, vehicle__driver=user.pk))


def current(rows: QuerySet[Route]) -> QuerySet[Route]:
    """Today's, where their depots are, what is still on the road, and what should be: a tour of
    the night may leave a little after midnight."""
    wanted, now = Q(state=Route.State.DISPATCHED), timezone.now()
    at_night = Q(state=Route.State.PLANNED, ends_at__gt=now)
    for zone in Depot.objects.order_by("time_zone").values_list("time_zone", flat=True).distinct():
        today = now.astimezone(ZoneInfo(zone)).date()
        wanted |= Q(depot__time_zone=zone, day=today)
        wanted |= Q(at_night, depot__time_zone=zone, day=today - timedelta(days=1))
    return rows.filter(wanted).exclude(state=Route.State.WITHDRAWN)


def ahead(user: Any) -> QuerySet[Route]:
    """Theirs of the days to come, as they are planned now."""
    rows = own(user).filter(state=Route.State.PLANNED, starts_at__gt=timezone.now())
    return rows.exclude(pk__in=current(own(user)).values("pk")).order_by("starts_at", "pk")


def seen_by(user: Any) -> QuerySet[Route]:
    """Those that the API shows to them."""
    return Route.objects.all() if user.has_perm(SEE) else driven_by(user)


def driven_by(user: Any) -> QuerySet[Route]:
    """Those whose driver's page they may open."""
    if user.has_perm(CHANGE):
        return Route.objects.all()
    return current(own(user)) if user.has_perm(DRIVE) else Route.objects.none()


def answered_by(user: Any) -> QuerySet[Route]:
    """Those of whose stops they may say how it went; what has ended stays as it is. Yesterday's,
    too: what a phone sends again a day later must find the answer that it missed."""
    if user.has_perm(CHANGE):
        return Route.objects.all()
    return own(user) if user.has_perm(DRIVE) else Route.objects.none()


def may_start(user: Any) -> bool:
    return bool(user.has_perm(CHANGE) or user.has_perms([DRIVE, START]))


def all_drivers() -> QuerySet[User]:
    """Who may drive, by name."""
    people = get_user_model().objects.with_perm(DRIVE, include_superusers=False)
    return people.order_by("username")


@transaction.atomic
def give_route(*, route_id: UUID, username: str | None) -> Route:
    """Let somebody else than the vehicle's driver drive a route; None: the vehicle's does. Raises
    NoDriver."""
    driver = all_drivers().filter(username=username).first() if username else None
    if username and driver is None:
        raise NoDriver(f"Nobody named {username!r} may drive: give them the role first.")
    route = Route.objects.select_for_update(of=("self",)).get(pk=route_id)
    route.driver = driver
    route.save(update_fields=["driver"])
    return route
