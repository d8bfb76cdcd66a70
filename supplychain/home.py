"""Promise: the admin's first page says what needs doing, to whom it concerns, and leads there.

An app gives its tasks in ``<app>/home.py``::

    @to_do("Warehouse")
    def orders_to_pick(user: User) -> Iterator[Task]:
        yield Task("Lines to pick", capped(rows), url, "shelves")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.module_loading import autodiscover_modules

from .admin_tools import PAGED
from .rows import count_up_to


@dataclass(frozen=True)
class Task:
    """So many things that wait for somebody; ``url`` lists them. ``alarm``: it is late or
    wrong, if there are any. ``hint``: what to do about it, or what is meant."""

    title: str
    count: int
    url: str
    icon: str
    hint: str = ""
    alarm: bool = False

    @property
    def shown(self) -> str:
        """Counted no further than anybody pages."""
        return f"{PAGED:,}+" if self.count >= PAGED else f"{self.count:,}"

    @property
    def urgent(self) -> bool:
        return self.alarm and self.count > 0


Source = Callable[[Any], Iterator[Task]]
_sources: list[tuple[str, Source]] = []
#: The order of the groups on the page.
GROUPS = ("Warehouse", "Orders", "Delivery", "Operations")


def to_do(group: str) -> Callable[[Source], Source]:
    """Register what gives a user's tasks of one group; none for whom they don't concern."""

    def register(source: Source) -> Source:
        _sources.append((group, source))
        return source

    return register


@cache
def _discover() -> None:
    autodiscover_modules("home")


def tasks_of(user: Any) -> dict[str, list[Task]]:
    """{group: tasks}; groups in their order, empty ones left out."""
    _discover()
    found: dict[str, list[Task]] = {group: [] for group in GROUPS}
    for group, source in _sources:
        found[group] += source(user)
    return {group: tasks for group, tasks in found.items() if tasks}


def show(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The admin's index: unfold calls it with what the page is about to show."""
    return {**context, "to_do": tasks_of(request.user)}


def capped(rows: QuerySet[Any, Any]) -> int:
    """How many there are, but no more than anybody pages."""
    return count_up_to(PAGED, rows)
