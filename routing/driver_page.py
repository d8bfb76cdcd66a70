"""Promise: a driver has all that a route needs on one page of a phone, with network or without, and
nothing of anybody else's.

``templates/routing/driver_*.html`` and ``static/routing/driver/`` are the pages; what is answered
on them goes through the API. Whose route is whose: drivers.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, wraps
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import Case, Count, Q, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from . import drivers, selectors
from .models import MAX_PHOTOS, Route, Stop
from .serializers import RouteDetailOut

View = Callable[..., HttpResponse]
#: Why a shipment could not be handed over; a driver may write something else.
REASONS = (
    "Nobody there",
    "Refused by the customer",
    "Address not found",
    "No access",
    "Goods damaged",
    "Out of time",
)
#: What a driver says of a shipment whose order was cancelled on the way.
RECALLED = "The order was cancelled"
#: Routes on a list, at most, and those of the days to come.
LISTED, AHEAD = 200, 5
#: What is done stands below what is to be driven.
_OVER = Case(When(state=Route.State.COMPLETED, then=1), default=0)
_FILES = Path(__file__).parent / "static" / "routing" / "driver"


def for_drivers(view: View) -> View:
    """Whoever has nothing to drive is told so, and how to come in as somebody else."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        user: Any = request.user
        if user.has_perm(drivers.DRIVE) or user.has_perm(drivers.CHANGE):
            return view(request, *args, **kwargs)
        return render(request, "routing/driver_none.html", status=403)

    return never_cache(login_required(guarded, login_url="driver-login"))


@require_safe
@for_drivers
def routes(request: HttpRequest) -> HttpResponse:
    """Theirs of today, and those still on the road; and when they leave on the days to come."""
    visited = Count("stops", filter=~Q(stops__state=Stop.State.DROPPED))
    ended = Count("stops", filter=Q(stops__state__in=(Stop.State.DELIVERED, Stop.State.FAILED)))
    rows = selectors.named(drivers.current(drivers.driven_by(request.user)))
    rows = rows.annotate(visited=visited, ended=ended, over=_OVER)
    rows = rows.order_by("over", "starts_at", "pk")[:LISTED]
    ahead = selectors.named(drivers.ahead(request.user)).annotate(visited=visited)[:AHEAD]
    shown = {"routes": rows, "ahead": ahead, "page": _page(request)}
    return render(request, "routing/driver_routes.html", shown)


@require_safe
@for_drivers
def route(request: HttpRequest, pk: UUID) -> HttpResponse:
    rows = selectors.with_stops(drivers.driven_by(request.user))
    row = get_object_or_404(rows, pk=pk)
    page = _page(request) | {
        "route": RouteDetailOut(row).data,
        "served": int(timezone.now().timestamp()) * 1000,
        "zone": row.depot.time_zone,
        "mayStart": drivers.may_start(request.user),
        "reasons": REASONS,
        "recalled": RECALLED,
        "photos": MAX_PHOTOS,
    }
    shown: dict[str, Any] = {"route": row, "page": page}
    if request.user.has_perm(drivers.CHANGE):
        shown |= {
            "people": drivers.all_drivers(),
            "driver": row.driver or row.vehicle.driver,
            "plan": reverse("plan-of-day", args=[row.depot.code, row.day]),
        }
    return render(request, "routing/driver_route.html", shown)


@require_POST
@for_drivers
def give(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A dispatcher gives the route to somebody; to nobody: to the vehicle's driver."""
    if not request.user.has_perm(drivers.CHANGE):
        return render(request, "routing/driver_none.html", status=403)
    row = get_object_or_404(drivers.driven_by(request.user), pk=pk)
    try:
        drivers.give_route(route_id=row.pk, username=request.POST.get("driver") or None)
    except drivers.NoDriver as refusal:
        shown = {"refusal": str(refusal)}
        return render(request, "routing/driver_none.html", shown, status=409)
    return HttpResponseRedirect(reverse("driver-route", args=[row.pk]))


@require_safe
def worker(request: HttpRequest) -> HttpResponse:
    """The service worker, from this address: it can only serve what lies below it."""
    answer = HttpResponse(_worker(), content_type="text/javascript")
    answer["Cache-Control"] = "no-cache"
    return answer


@cache
def _worker() -> str:
    """With the files that it keeps; their contents are its version."""
    files = [f for f in sorted(_FILES.iterdir()) if f.suffix in (".js", ".css")]
    version = sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    urls = [static(f"routing/driver/{f.name}") for f in files if f.name != "worker.js"]
    known = f"const VERSION = {json.dumps(version)};\nconst FILES = {json.dumps(urls)};\n"
    return known + (_FILES / "worker.js").read_text()


def _page(request: HttpRequest) -> dict[str, Any]:
    """What the scripts of every page are told."""
    return {
        "user": request.user.pk,
        "login": reverse("driver-login"),
        "worker": reverse("driver-worker"),
        "scope": reverse("driver-routes"),
    }
