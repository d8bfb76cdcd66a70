"""Promise: an operator sees what waits, what failed and why, and can decide on a dead letter;
no page here talks to the broker, and none scans a table that grows with the past.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import Truncator

from supplychain.admin_tools import ReadOnlyAdmin, ShallowPaginator

from . import deadletters
from .base import event_classes
from .consumers import consumers, queue_names
from .models import DeadLetter, InboxEntry, OutboxEvent, SuspectDelivery

#: So many dead letters are decided on at once; the rest next time.
AT_ONCE = 1000
_PRE = '<pre class="long">{}</pre>'


def pretty(text: str) -> str:
    """JSON for people; other text as it is."""
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return format_html(_PRE, text)


def journey_link(correlation_id: str) -> str:
    """To all events of the same journey; a dash for a message that tells none."""
    if not correlation_id:
        return "–"
    url = reverse("admin:audit_storedevent_changelist")
    query = urlencode({"q": correlation_id})
    return format_html('<a href="{}?{}">{}</a>', url, query, correlation_id)


def _uuid(term: str) -> UUID | None:
    with suppress(ValueError):
        return UUID(term)
    return None


class Choices(admin.SimpleListFilter):
    """Filters a column by values known from the code: no DISTINCT over all rows."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.value()
        return queryset.filter(**{str(self.parameter_name): value}) if value else queryset


class ByQueue(Choices):
    title = parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in queue_names()]


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


class NoteForm(forms.Form):
    """The ids travel along, so that what was shown is what is decided on."""

    ids = forms.CharField(widget=forms.HiddenInput)
    note = forms.CharField(
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        help_text="For those who look at it later: the cause, and what was done about it.",
    )

    def clean_ids(self) -> list[int]:
        try:
            return [int(pk) for pk in self.cleaned_data["ids"].split(",")][:AT_ONCE]
        except ValueError:
            raise forms.ValidationError("Not a list of ids.") from None


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    list_display = [
        "id",
        "state",
        "queue",
        "consumer",
        "event_type",
        "reason",
        "exception",
        "beginning",
        "attempts",
        "times_seen",
        "first_seen_at",
        "last_seen_at",
    ]
    list_filter = [ByState, ByQueue, ByReason, ByException, ByConsumer, ByType]
    search_fields = ["subject"]  # shows the box; get_search_results does the search
    search_help_text = "Exactly: an event's, order's or correlation id, or a subject (order/…)."
    paginator = ShallowPaginator
    actions = ["ask_redrive", "ask_discard"]
    change_form_template = "events/dead_letter.html"
    fieldsets = [
        (None, {"fields": ["state", "resolution", "queue", "consumer", "journey"]}),
        (
            "What failed",
            {
                "fields": [
                    "reason",
                    "exception",
                    "message",
                    "attempts",
                    "times_seen",
                    "first_seen_at",
                    "last_seen_at",
                    "trace",
                ]
            },
        ),
        (
            "The message",
            {
                "fields": [
                    "event_type",
                    "event_id",
                    "subject",
                    "content_type",
                    "received",
                    "all_headers",
                ]
            },
        ),
    ]
    readonly_fields = ["resolution", "journey", "trace", "received", "all_headers"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        """The list needs none of the large columns."""
        return super().get_queryset(request).defer("body", "traceback", "headers")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[DeadLetter], search_term: str
    ) -> tuple[QuerySet[DeadLetter], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = Q(subject__in=[term, f"order/{term}"]) | Q(correlation_id=term)
        if event_id := _uuid(term):
            wanted |= Q(event_id=event_id)
        return queryset.filter(wanted), False

    # --- columns and fields ---------------------------------------------------------------

    @admin.display(description="message")
    def beginning(self, letter: DeadLetter) -> str:
        return Truncator(letter.message).chars(100)

    @admin.display(description="decided")
    def resolution(self, letter: DeadLetter) -> str:
        if letter.resolved_at is None:
            return letter.note or "not yet"
        by = letter.resolved_by or "unknown"
        return f"{letter.resolved_at:%Y-%m-%d %H:%M:%S} by {by}: {letter.note or 'no note'}"

    @admin.display(description="journey")
    def journey(self, letter: DeadLetter) -> str:
        return journey_link(letter.correlation_id)

    @admin.display(description="traceback")
    def trace(self, letter: DeadLetter) -> str:
        return format_html(_PRE, letter.traceback) if letter.traceback else "–"

    @admin.display(description="body")
    def received(self, letter: DeadLetter) -> str:
        return pretty(bytes(letter.body).decode("utf-8", "backslashreplace"))

    @admin.display(description="headers")
    def all_headers(self, letter: DeadLetter) -> str:
        return pretty(json.dumps(letter.headers, sort_keys=True))

    # --- decisions ------------------------------------------------------------------------

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("events.change_deadletter")

    @admin.action(description="Redrive…", permissions=["decide"])
    def ask_redrive(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> HttpResponse:
        return self._ask(request, "redrive", queryset)

    @admin.action(description="Discard…", permissions=["decide"])
    def ask_discard(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> HttpResponse:
        return self._ask(request, "discard", queryset)

    def get_urls(self) -> list[URLPattern]:
        decide = self.admin_site.admin_view(self.decide)
        return [
            path("<str:decision>/decide/", decide, name="events_deadletter_decide"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {"may_decide": self.has_decide_permission(request), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def decide(self, request: HttpRequest, decision: str) -> HttpResponse:
        """GET asks for a note, POST decides."""
        if not self.has_decide_permission(request):
            raise PermissionDenied
        if decision not in _SERVICES:
            raise Http404
        form = NoteForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            self._apply(request, decision, form.cleaned_data["ids"], form.cleaned_data["note"])
            return HttpResponseRedirect(reverse("admin:events_deadletter_changelist"))
        ids = (request.POST or request.GET).get("ids", "")
        chosen = [int(pk) for pk in ids.split(",") if pk.isdecimal()]
        letters = DeadLetter.objects.filter(pk__in=chosen[:AT_ONCE])
        return self._ask(request, decision, letters, form if request.method == "POST" else None)

    def _ask(
        self,
        request: HttpRequest,
        decision: str,
        chosen: QuerySet[DeadLetter],
        form: NoteForm | None = None,
    ) -> HttpResponse:
        """The page that asks for confirmation and a note; back to the list when there is
        nothing to ask."""
        letters = chosen.filter(state=DeadLetter.State.OPEN).order_by("pk")
        ids = list(letters.values_list("pk", flat=True)[:AT_ONCE])
        if not ids:
            self.message_user(request, "None of these is open.", messages.WARNING)
            return HttpResponseRedirect(reverse("admin:events_deadletter_changelist"))
        rows = DeadLetter.objects.filter(pk__in=ids).order_by("queue", "consumer")
        groups = rows.values("queue", "consumer", "event_type", "reason", "exception")
        context = {
            **self.admin_site.each_context(request),
            "title": f"{decision.capitalize()} {_letters(len(ids))}",
            "opts": self.opts,
            "decision": decision,
            "form": form or NoteForm(initial={"ids": ",".join(map(str, ids))}),
            "groups": groups.annotate(count=Count("pk")),
            "capped": len(ids) == AT_ONCE,
        }
        return render(request, "events/decide.html", context)

    def _apply(self, request: HttpRequest, decision: str, ids: list[int], note: str) -> None:
        by, done, refusals = request.user.get_username(), 0, []
        for letter in DeadLetter.objects.filter(pk__in=ids).order_by("pk"):
            try:
                _SERVICES[decision](letter, by=by, note=note)
                done += 1
            except (deadletters.DeadLetterNotOpen, deadletters.NothingToRedrive) as refusal:
                refusals.append(str(refusal))
        if done:
            self.message_user(request, _TOLD[decision].format(_letters(done)), messages.SUCCESS)
        for told in refusals[:5]:
            self.message_user(request, told, messages.WARNING)
        if len(refusals) > 5:
            text = f"{len(refusals) - 5} more were left as they are."
            self.message_user(request, text, messages.WARNING)


_SERVICES: dict[str, Callable[..., None]] = {
    "redrive": deadletters.redrive,
    "discard": deadletters.discard,
}
_TOLD = {
    "redrive": "{}: asked for. Each goes back to its queue as soon as the dead-letter process and "
    "the broker take it; until then its state is redriving.",
    "discard": "{} discarded.",
}


def _letters(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"


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


@admin.register(OutboxEvent)
class OutboxEventAdmin(ReadOnlyAdmin):
    list_display = [
        "id",
        "event_type",
        "subject",
        "created_at",
        "published_at",
        "attempts",
        "not_before",
        "parked_at",
        "error",
    ]
    list_filter = [Stage]
    search_fields = ["subject"]  # shows the box; get_search_results does the search
    search_help_text = "Exactly: an event's id, or the subject (order/…) of what is pending."
    ordering = ["-id"]
    sortable_by = ["id"]
    paginator = ShallowPaginator
    fields = [
        "event_id",
        "event_type",
        "producer",
        "subject",
        "journey",
        "created_at",
        "published_at",
        "attempts",
        "not_before",
        "parked_at",
        "last_error",
        "whole_envelope",
    ]
    readonly_fields = ["journey", "whole_envelope"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[OutboxEvent], search_term: str
    ) -> tuple[QuerySet[OutboxEvent], bool]:
        """Only what has an index; the whole history is audit's."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if event_id := _uuid(term):
            return queryset.filter(event_id=event_id), False
        return queryset.filter(subject=term, published_at=None, parked_at=None), False

    @admin.display(description="last error")
    def error(self, row: OutboxEvent) -> str:
        return Truncator(row.last_error).chars(80)

    @admin.display(description="journey")
    def journey(self, row: OutboxEvent) -> str:
        try:
            told = json.loads(row.envelope)["correlation_id"]
        except (ValueError, LookupError, TypeError):
            told = ""
        return journey_link(str(told))

    @admin.display(description="envelope")
    def whole_envelope(self, row: OutboxEvent) -> str:
        return pretty(row.envelope)


class HandledAdmin(ReadOnlyAdmin):
    """Rows of consumer and event; both tables have an index that begins with the consumer."""

    list_filter = [ByConsumer]
    search_fields = ["consumer"]  # shows the box; get_search_results does the search
    search_help_text = "Exactly: an event's id."
    ordering = ["-id"]
    sortable_by = []
    paginator = ShallowPaginator

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        names = [declared.name for declared in consumers()]
        event_id = _uuid(term)
        found = queryset.filter(consumer__in=names, event_id=event_id)
        return found if event_id else queryset.none(), False


@admin.register(InboxEntry)
class InboxEntryAdmin(HandledAdmin):
    list_display = ["id", "consumer", "event_id", "handled_at"]


@admin.register(SuspectDelivery)
class SuspectDeliveryAdmin(HandledAdmin):
    list_display = ["id", "consumer", "event_id", "starts", "last_started_at"]
