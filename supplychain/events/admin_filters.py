"""Promise: a filter costs no scan: its choices come from the code or from what is open, and what
it chooses is found by an index.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from .base import event_classes
from .consumers import consumers
from .models import DeadLetter
from .topology import work_queues


class Choices(admin.SimpleListFilter):
    """Filters a column by values known from the code: no DISTINCT over all rows."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.value()
        return queryset.filter(**{str(self.parameter_name): value}) if value else queryset


class ByQueue(Choices):
    title = parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in work_queues()]


class ByConsumer(Choices):
    title = parameter_name = "consumer"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(declared.name, declared.name) for declared in consumers()]


class ByType(Choices):
    title, parameter_name = "event type", "event_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(c.event_type, c.event_type) for c in event_classes()]


class OfOpen(Choices):
    """Values that open dead letters have; few, and found by an index that begins with state."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = DeadLetter.objects.filter(state=DeadLetter.State.OPEN).order_by()
        values = rows.values_list(str(self.parameter_name), flat=True).distinct()[:50]
        return sorted((value, value) for value in values if value)


class ByReason(OfOpen):
    title = parameter_name = "reason"


class ByException(OfOpen):
    title = parameter_name = "exception"


class ByState(admin.SimpleListFilter):
    """Open ones, unless told otherwise; a search looks at all."""

    title = parameter_name = "state"

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        self._default = "all" if request.GET.get("q") else DeadLetter.State.OPEN.value
        super().__init__(request, *args)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*((state.value, state.value) for state in DeadLetter.State), ("all", "all")]

    def chosen(self) -> str:
        return self.value() or self._default

    def choices(self, changelist: Any) -> Any:
        for value, title in self.lookup_choices:
            query = changelist.get_query_string({str(self.parameter_name): value})
            yield {
                "selected": self.chosen() == value,
                "query_string": query,
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset if self.chosen() == "all" else queryset.filter(state=self.chosen())


class Stage(admin.SimpleListFilter):
    """Where an event is on its way out; each by a partial index."""

    title = parameter_name = "stage"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in ("pending", "held back", "parked", "published")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        pending = Q(published_at=None, parked_at=None)
        stages = {
            "pending": pending,
            "held back": pending & Q(not_before__gt=timezone.now()),
            "parked": Q(parked_at__isnull=False),
            "published": Q(published_at__isnull=False),
        }
        return queryset.filter(stages.get(self.value() or "", Q()))
