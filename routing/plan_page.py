"""Promise: a dispatcher sees a depot's day on one page and changes it there; who may only look
finds nothing to press, and no page of it asks another host for anything but map tiles, if there
is a tile server.

What is drawn comes from the API (``plan_views``) and is drawn by ``static/routing/plan/``.
"""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import BadRequest
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.templatetags.static import static
from django.urls import reverse

from . import drivers, goods, selectors
from .models import Depot, Route
from .plan_day import days_of, end_of, likely_day, likely_depot

#: Stands for a key in an address that the page fills in.
_ANY = UUID(int=0)


def day_url(depot: Depot, day: date) -> str:
    return reverse("plan-of-day", args=[depot.code, day])


def today(request: HttpRequest, code: str = "") -> HttpResponse:
    """To the day that is most likely meant."""
    depot = get_object_or_404(Depot, code=code) if code else likely_depot()
    if depot is None:
        return _shown(request, "routing/no_plan.html", {"title": "Plan"})
    return HttpResponseRedirect(day_url(depot, likely_day(depot)))


def plan_page(request: HttpRequest, code: str, day: date) -> HttpResponse:
    depot = get_object_or_404(Depot, code=code)
    days = days_of(depot, day)
    context = {
        "title": f"Plan of {depot.name or depot.code}",
        "depot": depot,
        "day": day,
        "days": days if any(row["day"] == day for row in days) else _with(days, day),
        "earlier": max((row["day"] for row in days if row["day"] < day), default=None),
        "later": min((row["day"] for row in days if row["day"] > day), default=None),
        "depots": _depots(),
        "may_change": request.user.has_perm(drivers.CHANGE),
        "config": _config(request, depot, day),
    }
    return _shown(request, "routing/plan.html", context)


def _depots() -> QuerySet[Depot]:
    """With the number of alerts that nobody has seen."""
    unseen = Count("alerts", filter=Q(alerts__seen_at=None))
    return Depot.objects.annotate(unseen=unseen).order_by("code")


def _with(days: list[dict[str, Any]], day: date) -> list[dict[str, Any]]:
    return sorted([*days, {"day": day, "routes": 0}], key=lambda row: row["day"])


def _shown(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    response = render(request, template, {**admin.site.each_context(request), **context})
    response["Content-Security-Policy"] = _policy()
    return response


def _policy() -> str:
    """What the browser may load: our own, and tiles. (The theme's scripts are written inline.)"""
    tiles = urlsplit(settings.MAP_TILES)
    host = f" {tiles.scheme}://{tiles.netloc.replace('{s}', '*')}" if tiles.netloc else ""
    return (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        f"style-src 'self' 'unsafe-inline'; img-src 'self' data:{host}"
    )


def _config(request: HttpRequest, depot: Depot, day: date) -> dict[str, Any]:
    """What the scripts have to know; ``urls`` with a key in them take the place of _ANY."""
    user = request.user
    journeys = user.has_perm("audit.view_storedevent")
    shipments = user.has_perm("routing.view_shipment")
    may_change = user.has_perm(drivers.CHANGE)
    return {
        "mayChange": may_change,
        "lateMinutes": settings.ETA_THRESHOLD_MINUTES,
        "tiles": settings.MAP_TILES,
        "attribution": settings.MAP_ATTRIBUTION,
        "any": str(_ANY),
        "urls": {
            "day": reverse("depot-day", args=[depot.code, day]),
            "plan": reverse("depot-plan", args=[depot.code]),
            "move": reverse("stop-move", args=[_ANY]),
            "place": reverse("shipment-place", args=[_ANY]),
            "freeze": reverse("route-freeze", args=[_ANY]),
            "thaw": reverse("route-thaw", args=[_ANY]),
            "dispatch": reverse("route-dispatch", args=[_ANY]),
            "seen": reverse("alert-seen", args=[_ANY]),
            "compare": reverse("plan-comparison", args=[0, 0]),
            "manifest": reverse("plan-manifest", args=[depot.code, day]),
            "login": f"{reverse('admin:login')}?next={day_url(depot, day)}",
            "shipment": reverse("admin:routing_shipment_change", args=[_ANY]) if shipments else "",
            "route": reverse("admin:routing_route_change", args=[_ANY]),
            "drive": reverse("driver-route", args=[_ANY]) if may_change else "",
            "journey": reverse("admin:audit_storedevent_changelist") if journeys else "",
            "outlines": static("routing/geo/outlines.json"),
            "cities": static("routing/geo/cities.json"),
        },
    }


# --- on paper -------------------------------------------------------------------------------


def manifest(request: HttpRequest, code: str, day: date) -> HttpResponse:
    """A page per route that is not over, to print; ``?done=1`` for all, ``?route=`` for one."""
    depot = get_object_or_404(Depot, code=code)
    all_routes = list(selectors.routes_of(depot, day))
    routes = _wanted(all_routes, request)
    context = {
        "title": f"Manifest of {depot.code}, {day}",
        "depot": depot,
        "day": day,
        "sheets": [_sheet(route) for route in sorted(routes, key=_order)],
        "back": day_url(depot, day),
        "left_out": 0 if "route" in request.GET else len(all_routes) - len(routes),
    }
    return _shown(request, "routing/plan_manifest.html", context)


def _wanted(routes: list[Route], request: HttpRequest) -> list[Route]:
    if wanted := request.GET.get("route"):
        key = _key(wanted)
        return [route for route in routes if route.pk == key]
    if "done" in request.GET:
        return routes
    return [route for route in routes if route.state != Route.State.COMPLETED]


def _key(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BadRequest("That is no route's key.") from None


def _order(route: Route) -> tuple[Any, ...]:
    return len(route.vehicle.name), route.vehicle.name, route.starts_at


def _sheet(route: Route) -> dict[str, Any]:
    stops = selectors.visits(route)
    rows = [{"stop": stop, "window": selectors.window(stop.shipment)} for stop in stops]
    return {
        "route": route,
        "driver": route.driver or route.vehicle.driver,
        "end": end_of(route),
        "rows": rows,
        "items": sum(stop.shipment.items for stop in stops),
        "goods": goods.together(stop.shipment for stop in stops),
        "skills": sorted({skill for stop in stops for skill in stop.shipment.skills}),
    }
