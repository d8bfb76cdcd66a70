"""Promise: an operator sees what waits, what failed and why, and can decide on a dead letter;
no page here talks to the broker, and none scans a table that grows with the past.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any
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
from unfold.widgets import UnfoldAdminTextareaWidget

from supplychain.admin_tools import ReadOnlyAdmin, ShallowPaginator, journey_link

from . import deadletters
from .admin_filters import ByConsumer, ByException, ByQueue, ByReason, ByState, ByType, Stage
from .consumers import consumers
from .envelope import MalformedMessage, read_body
from .models import DeadLetter, InboxEntry, OutboxEvent, SuspectDelivery

#: So many dead letters are decided on at once; the rest next time.
AT_ONCE = 1000
_PRE = '<pre class="long">{}</pre>'


def pretty(text: str) -> str:
    """JSON for people; other text as it is."""
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return format_html(_PRE, text)


def moment(at: datetime) -> str:
    return format_html('<span class="nowrap">{}</span>', f"{at:%Y-%m-%d %H:%M:%S}")


def _uuid(term: str) -> UUID | None:
    with suppress(ValueError):
        return UUID(term)
    return None


class NoteForm(forms.Form):
    """The ids travel along, so that what was shown is what is decided on."""

    ids = forms.CharField(widget=forms.HiddenInput)
    note = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="For those who look at it later: the cause, and what was done about it.",
    )

    def clean_ids(self) -> list[int]:
        try:
            return [int(pk) for pk in self.cleaned_data["ids"].split(",")][:AT_ONCE]
        except ValueError:
            raise forms.ValidationError("Not a list of ids.") from None


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    list_display = ["id", "what", "failure", "tries", "seen"]
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
                    "own_headers",
                ]
            },
        ),
    ]
    readonly_fields = ["resolution", "journey", "trace", "received", "own_headers"]

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

    @admin.display(description="event type, queue, consumer", ordering="queue")
    def what(self, letter: DeadLetter) -> str:
        told = letter.event_type or "unreadable", letter.queue, letter.consumer or "–"
        return format_html("{}<br>{}<br>{}", *told)

    @admin.display(description="state, tries", ordering="times_seen")
    def tries(self, letter: DeadLetter) -> str:
        told = letter.state, letter.attempts, letter.times_seen
        return format_html("{}<br>{} tried<br>{} × seen", *told)

    @admin.display(description="reason, exception, message", ordering="reason")
    def failure(self, letter: DeadLetter) -> str:
        exception = letter.exception or "no exception"
        message = Truncator(letter.message).chars(100)
        return format_html("{}, <b>{}</b><br>{}", letter.reason, exception, message)

    @admin.display(description="first, last seen", ordering="last_seen_at")
    def seen(self, letter: DeadLetter) -> str:
        return format_html("{}<br>{}", moment(letter.first_seen_at), moment(letter.last_seen_at))

    @admin.display(description="decided")
    def resolution(self, letter: DeadLetter) -> str:
        if letter.resolved_at is None:
            return letter.note or "not yet"
        by = letter.resolved_by or "unknown"
        at, note = moment(letter.resolved_at), letter.note or "no note"
        return format_html("{} by {}: {}", at, by, note)

    @admin.display(description="journey")
    def journey(self, letter: DeadLetter) -> str:
        return journey_link(letter.correlation_id)

    @admin.display(description="traceback")
    def trace(self, letter: DeadLetter) -> str:
        return format_html(_PRE, letter.traceback) if letter.traceback else "–"

    @admin.display(description="body")
    def received(self, letter: DeadLetter) -> str:
        """The envelope; all of the body where there is none."""
        body = bytes(letter.body)
        try:
            return pretty(read_body(body).to_json())
        except MalformedMessage:
            return pretty(body.decode("utf-8", "backslashreplace"))

    @admin.display(description="headers")
    def own_headers(self, letter: DeadLetter) -> str:
        """Without those that the other fields were made of."""
        own = {k: v for k, v in letter.headers.items() if not k.startswith("dead_")}
        return pretty(json.dumps(own, sort_keys=True))

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
    "redrive": "Redrive of {} asked for. Each goes back to its queue as soon as the dead-letter "
    "process and the broker take it; until then its state is redriving.",
    "discard": "{} discarded.",
}


def _letters(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"


@admin.register(OutboxEvent)
class OutboxEventAdmin(ReadOnlyAdmin):
    list_display = ["id", "what", "created", "stage", "attempts", "error"]
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

    @admin.display(description="event type, subject")
    def what(self, row: OutboxEvent) -> str:
        return format_html("{}<br>{}", row.event_type, row.subject)

    @admin.display(description="created")
    def created(self, row: OutboxEvent) -> str:
        return moment(row.created_at)

    @admin.display(description="stage")
    def stage(self, row: OutboxEvent) -> str:
        if row.published_at:
            return format_html("published {}", moment(row.published_at))
        if row.parked_at:
            return format_html("parked {}", moment(row.parked_at))
        if row.not_before and row.not_before > timezone.now():
            return format_html("held back until {}", moment(row.not_before))
        return "pending"

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
