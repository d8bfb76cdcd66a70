"""Admin pages for rows that only services may write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html

from .rows import count_up_to

if TYPE_CHECKING:  # the theme brings no types; its classes are these, dressed
    from django.contrib.admin import ModelAdmin, TabularInline
else:
    from unfold.admin import ModelAdmin, TabularInline

__all__ = [
    "ModelAdmin",
    "ReadOnly",
    "ReadOnlyAdmin",
    "ReadOnlyInline",
    "ShallowPaginator",
    "TabularInline",
    "journey_link",
]

#: Pages reach back this many rows; what is older is found by search.
PAGED = 10_000


class ShallowPaginator(Paginator):
    """Counts no further than anybody pages, so that no page scans millions of rows."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return count_up_to(PAGED, rows)


class ReadOnly:
    """Mixin: may be looked at. What changes such rows are services, reached by actions."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count all rows, once per choice

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(ReadOnly, ModelAdmin):
    pass


class ReadOnlyInline(ReadOnly, TabularInline):
    extra = 0
    can_delete = False
    show_change_link = True


def journey_link(correlation_id: str) -> str:
    """To all events of the same journey; a dash for a message that tells none."""
    if not correlation_id:
        return "–"
    url = reverse("admin:audit_storedevent_changelist")
    query = urlencode({"q": correlation_id})
    return format_html('<a class="journey" href="{}?{}">{}</a>', url, query, correlation_id)
