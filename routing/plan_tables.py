"""A version of a plan as tables in the admin: its routes, and what it has changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from . import selectors
from .admin_links import clock, link_to
from .models import Depot, Plan, Shipment

#: Rows that a table shows; the rest is counted.
SHOWN = 200


def tours(plan: Plan) -> str:
    """A line per route."""
    rows = [
        (
            link_to("route", tour["route"], tour["vehicle"]),
            len(tour["stops"]),
            _clock(plan.depot, tour["stops"][0]["eta"]) if tour["stops"] else "–",
            _clock(plan.depot, tour["stops"][-1]["eta"]) if tour["stops"] else "–",
        )
        for tour in plan.routes
    ]
    return _table(("route", "stops", "first", "last"), rows)


def changes(plan: Plan) -> str:
    """A line per shipment that has another place or time than in the version before."""
    found = selectors.differences(plan, selectors.previous(plan))
    keys = [change["shipment"] for change in found[:SHOWN]]
    rows_of = Shipment.objects.filter(pk__in=keys).values_list("pk", "customer")
    names = {str(pk): customer for pk, customer in rows_of}
    rows = [
        (
            link_to("shipment", change["shipment"], names.get(change["shipment"], "shipment")),
            _place(plan.depot, change["before"]),
            _place(plan.depot, change["now"]),
        )
        for change in found[:SHOWN]
    ]
    more = f"… and {len(found) - SHOWN} more." if len(found) > SHOWN else ""
    return format_html("{}{}", _table(("to", "before", "now"), rows), more)


def _place(depot: Depot, place: dict[str, Any] | None) -> str:
    if place is None:
        return "not in the plan"
    return f"{place['vehicle']}, stop {place['position']}, {_clock(depot, place['eta'])}"


def _clock(depot: Depot, moment: str) -> str:
    return clock(depot, datetime.fromisoformat(moment))


def _table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> SafeString:
    head = format_html_join("", "<th>{}</th>", ((name,) for name in names))
    lines = (format_html_join("", "<td>{}</td>", ((cell,) for cell in row)) for row in rows)
    body = format_html_join("", "<tr>{}</tr>", ((line,) for line in lines))
    table = '<table class="listed"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>'
    return format_html(table, head, body)
