"""How pages of the admin lead to others, and how they write times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from .models import Depot


def link(url: str, text: object) -> SafeString:
    return format_html('<a href="{}" class="journey">{}</a>', url, text)


def link_to(model: str, key: object, text: object) -> SafeString:
    """To the page of a row of routing."""
    return link(reverse(f"admin:routing_{model}_change", args=[key]), text)


def clock(depot: Depot, moment: datetime | None) -> str:
    """By the depot's clocks."""
    return f"{moment.astimezone(depot.zone):%Y-%m-%d %H:%M}" if moment else "–"


def at_depot(
    field: str, description: str, *, route: str = "", day: bool = False
) -> Callable[[Any, Any], str]:
    """A column: a moment by the clocks of the row's depot (or of its ``route``'s), as on the plan
    page; with ``day`` only the time, where it is on the day of the row."""

    @admin.display(description=description, ordering=field)
    def column(self: Any, row: Any) -> str:
        moment, of = getattr(row, field), getattr(row, route) if route else row
        local = moment and moment.astimezone(of.depot.zone)
        today = day and local and local.date() == of.day
        text = f"{local:%H:%M}" if today else clock(of.depot, moment)
        return format_html('<span class="moment">{}</span>', text)

    return column


def figure(field: str, description: str, digits: int = 0) -> Callable[[Any, Any], str]:
    """A column: a number with no more digits than anybody reads."""

    @admin.display(description=description, ordering=field)
    def column(self: Any, row: Any) -> str:
        return f"{getattr(row, field):,.{digits}f}"

    return column


def span(depot: Depot, opens: datetime | None, closes: datetime | None) -> str:
    """The same of a time from one moment to another, either of which may be left open; a day is
    said once."""
    if opens and closes:
        last = closes.astimezone(depot.zone)
        same = opens.astimezone(depot.zone).date() == last.date()
        return f"{clock(depot, opens)} – {f'{last:%H:%M}' if same else clock(depot, closes)}"
    if closes:
        return f"until {clock(depot, closes)}"
    return f"from {clock(depot, opens)}" if opens else "–"
