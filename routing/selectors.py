"""Reads of the routing domain."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from django.db.models import Prefetch, QuerySet

from .goods import in_words
from .models import Depot, Plan, ProofPhoto, Route, Shipment, Stop

#: What is driven, or will be.
LIVE = (Route.State.PLANNED, Route.State.DISPATCHED, Route.State.COMPLETED)


def routes_of(depot: Depot, day: date) -> QuerySet[Route]:
    """All of a depot's day that were not withdrawn, with their stops."""
    rows = with_stops(Route.objects.filter(depot=depot, day=day, state__in=LIVE))
    return rows.order_by("vehicle__name", "starts_at")


def named(routes: QuerySet[Route]) -> QuerySet[Route]:
    """With what is shown of depot, vehicle and driver."""
    return routes.select_related("depot", "vehicle__driver", "vehicle__end_depot", "driver")


def with_stops(routes: QuerySet[Route]) -> QuerySet[Route]:
    """With the stops in driving order; of their photos only that they are there."""
    photos = Prefetch("stops__photos", ProofPhoto.objects.defer("image"))
    return named(routes).prefetch_related("stops__shipment", photos)


def unplanned(depot: Depot) -> QuerySet[Shipment]:
    """What waits for a route, the reason with it."""
    return depot.shipments.filter(state=Shipment.State.OPEN).order_by("ready_at", "pk")


def next_stop(route: Route) -> Stop | None:
    pending = route.stops.filter(state=Stop.State.PENDING).select_related("shipment")
    return pending.order_by("position").first()


def pending_stop(shipment: Shipment) -> Stop | None:
    """Where it stands in a route, to be visited."""
    rows = shipment.stops.filter(state=Stop.State.PENDING)
    return rows.select_related("route__vehicle__depot").first()


def previous(plan: Plan) -> Plan | None:
    """The version before, of the same departure if the depot has some."""
    rows = Plan.objects.filter(depot=plan.depot_id, day=plan.day, version__lt=plan.version)
    return rows.filter(departs_at=plan.departs_at).order_by("-version").first()


def differences(plan: Plan, before: Plan | None) -> list[dict[str, Any]]:
    """What of the shipments has another vehicle, place or time than in the version before; who
    came has no "from", who fell out no "to"."""
    old, new = (_places(version) for version in (before, plan))
    changed = [pk for pk in [*new, *(set(old) - set(new))] if old.get(pk) != new.get(pk)]
    return [{"shipment": pk, "before": old.get(pk), "now": new.get(pk)} for pk in changed]


def _places(plan: Plan | None) -> dict[str, dict[str, Any]]:
    return {
        stop["shipment"]: {"vehicle": route["vehicle"], "position": n, "eta": stop["eta"]}
        for route in (plan.routes if plan else ())
        for n, stop in enumerate(route["stops"], start=1)
    }


# --- to take away ---------------------------------------------------------------------------

COLUMNS = [
    *("day", "depot", "vehicle", "route", "route_state", "position", "eta", "state"),
    *("shipment", "order", "customer", "address", "latitude", "longitude"),
    *("weight_kg", "volume_m3", "items", "window_from", "window_until"),
    "goods",
]


def stop_rows(routes: QuerySet[Route]) -> Iterator[list[Any]]:
    """One per stop that was or will be visited, in driving order; see COLUMNS."""
    for route in routes:
        for stop in visits(route):
            to = stop.shipment
            yield [
                *(route.day, route.depot.code, route.vehicle.name, route.pk, route.state),
                *(stop.position, _local(route.depot, stop.eta), stop.state),
                *(to.pk, to.order_id, _text(to.customer), _text(to.address)),
                *(to.latitude, to.longitude, to.weight_kg, to.volume_m3, to.items),
                *(_local(route.depot, moment) for moment in window(to)),
                _text(in_words(to.goods)),
            ]


def visits(route: Route) -> list[Stop]:
    return [stop for stop in route.stops.all() if stop.state != Stop.State.DROPPED]


def window(shipment: Shipment) -> tuple[Any, Any]:
    """Promised, else asked for."""
    if shipment.promised_until:
        return shipment.promised_from, shipment.promised_until
    return shipment.requested_from, shipment.requested_until


def _local(depot: Depot, moment: datetime | None) -> str:
    """ISO 8601, by the depot's clocks with what they differ from UTC: people read it, too."""
    return moment.astimezone(depot.zone).isoformat() if moment else ""


def _text(value: str) -> str:
    """A spreadsheet takes what begins like this for a formula; strangers wrote it."""
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def geojson(routes: QuerySet[Route]) -> dict[str, Any]:
    """RFC 7946: a line per route from its depot and back, a point per stop."""
    features = [feature for route in routes for feature in _features(route)]
    return {"type": "FeatureCollection", "features": features}


def _features(route: Route) -> Iterator[dict[str, Any]]:
    home = [route.depot.longitude, route.depot.latitude]
    end = route.vehicle.end_depot
    back = [end.longitude, end.latitude] if end else home
    stops = visits(route)
    way = [home, *([s.shipment.longitude, s.shipment.latitude] for s in stops), back]
    said = {"route": str(route.pk), "vehicle": route.vehicle.name, "state": route.state}
    figures = {"distance_km": route.distance_km, "load_kg": route.load_kg}
    yield _feature("LineString", way, {**said, **figures, "frozen": route.frozen})
    for stop in stops:
        point = [stop.shipment.longitude, stop.shipment.latitude]
        about = {
            "stop": str(stop.pk),
            "position": stop.position,
            "eta": _local(route.depot, stop.eta),
        }
        yield _feature("Point", point, {**said, **about, "stop_state": stop.state})


def _feature(kind: str, coordinates: list[Any], properties: dict[str, Any]) -> dict[str, Any]:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": properties}
