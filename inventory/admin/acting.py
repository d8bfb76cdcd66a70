"""Promise: whatever staff do on these pages is asked for, shown with what would come of it, and
done once confirmed, by a service, under their name; and nobody does it who may not, or elsewhere
than in their own warehouses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from unfold.enums import ActionVariant

from supplychain.admin_tools import ModelAdmin
from supplychain.errors import SupplyChainError

from .. import access, preview
from ..forms import StaffForm
from ..models import StockLevel

#: Changes that a page lists; the rest is counted.
SHOWN = 100


@dataclass(frozen=True)
class Act:
    """Something that staff do, to a row or (``row`` is None) to none.

    ``does`` calls the service with the row, the actor and what the form says, and may give a row
    that was made, to which its maker is led. ``levels``: which stock it touches. ``asks`` gives
    the form's further arguments. ``while_in``: states of the row in which it can be done. ``at``:
    the row's field that names the warehouse where it is done, if it has several. ``searchable``:
    the form asks about what is looked for (?q=).
    """

    title: str
    icon: str
    right: str
    form: type[StaffForm]
    does: Callable[[Any, str, dict[str, Any]], Any]
    about: str
    levels: Callable[[Any, dict[str, Any]], QuerySet[StockLevel]] = lambda row, said: (
        StockLevel.objects.none()
    )
    asks: Callable[[HttpRequest, Any], dict[str, Any]] = lambda request, row: {}
    while_in: Sequence[str] = ()
    at: str = ""
    searchable: bool = False
    done: str = "Done."
    danger: bool = False


def button(act: Act) -> Any:
    """A method of an admin class: the theme makes its address and its button."""

    def run(self: Any, request: HttpRequest, object_id: str | None = None) -> HttpResponse:
        return Step(self, request, act, object_id).answer()

    run.short_description = act.title  # type: ignore[attr-defined]
    run.icon = act.icon  # type: ignore[attr-defined]
    run.attrs = {}  # type: ignore[attr-defined]
    run.variant = ActionVariant.DANGER if act.danger else ActionVariant.DEFAULT  # type: ignore[attr-defined]
    run.act = act  # type: ignore[attr-defined]
    return run


class Step:
    """One request on the way of an act: ask, show, do."""

    def __init__(self, page: Any, request: HttpRequest, act: Act, object_id: str | None) -> None:
        if not request.user.has_perm(act.right):
            raise PermissionDenied
        self._page, self._request, self._act = page, request, act
        self._row = None if object_id is None else page.get_object(request, unquote(object_id))
        if act.at and not self._is_theirs(getattr(self._row, f"{act.at}_id")):
            raise PermissionDenied

    def _is_theirs(self, warehouse_id: int) -> bool:
        return access.warehouses_of(self._request.user).filter(pk=warehouse_id).exists()

    def answer(self) -> HttpResponse:
        asked = self._act.asks(self._request, self._row)
        if self._request.method != "POST":
            filled = {**self._request.GET.dict(), **asked.pop("initial", {})}
            return self._show(self._act.form(initial=filled, **asked))
        form = self._act.form(self._request.POST, **asked)
        if "again" in self._request.POST or not form.is_valid():
            return self._show(form)
        try:
            if "confirmed" in self._request.POST:
                return self._do(form)
            changes = preview.try_out(
                lambda: self._book(form), self._act.levels(self._row, form.cleaned_data)
            )
        except SupplyChainError as refusal:
            form.add_error(None, str(refusal))
            return self._show(form)
        return self._show(form, changes)

    def _book(self, form: forms.Form) -> Any:
        actor = self._request.user.get_username()
        return self._act.does(self._row, actor, dict(form.cleaned_data))

    def _do(self, form: forms.Form) -> HttpResponse:
        made = self._book(form)
        text, level = self._act.done, messages.SUCCESS
        if made == 0:
            text, level = "It was booked before; nothing has changed.", messages.WARNING
        self._page.message_user(self._request, text, level)
        return HttpResponseRedirect(self._back(made))

    def _back(self, made: Any = None) -> str:
        """To the row, or to the list."""
        row = self._row if self._row is not None else made
        name = f"admin:inventory_{self._page.opts.model_name}"
        if isinstance(row, self._page.model):
            return reverse(f"{name}_change", args=[row.pk])
        return reverse(f"{name}_changelist")

    def _show(
        self, form: forms.Form, changes: Sequence[preview.Change] | None = None
    ) -> HttpResponse:
        title = self._act.title if self._row is None else f"{self._act.title}: {self._row}"
        context = {
            **self._page.admin_site.each_context(self._request),
            "title": title,
            "opts": self._page.opts,
            "original": self._row,
            "act": self._act,
            "form": form,
            "figures": figures_of(self._row) if isinstance(self._row, StockLevel) else [],
            "confirming": changes is not None,
            "changes": (changes or [])[:SHOWN],
            "more": max(0, len(changes or []) - SHOWN),
            "said": _said(form) if changes is not None else [],
            "back": self._back(),
        }
        return render(self._request, "inventory/act.html", context)


def figures_of(level: StockLevel) -> list[tuple[str, int]]:
    """What a level says now."""
    figures = [(name.replace("_", " "), getattr(level, name)) for name in preview.FIGURES]
    can = [("available", level.available), ("can be promised", level.promisable)]
    return [*figures[:2], *can, *figures[2:]]


def _said(form: forms.Form) -> list[tuple[str, str]]:
    """What was filled in, in words."""
    told = []
    for bound in form.visible_fields():
        value = bound.value()
        if isinstance(bound.field, forms.ChoiceField):  # among them those of warehouses
            value = dict(_choices(bound.field)).get(str(value), value)
        if value not in (None, "", False):
            told.append((str(bound.label), "yes" if value is True else str(value)))
    return told


def _choices(field: Any) -> list[tuple[str, str]]:
    return [(str(key), str(label)) for key, label in field.choices]


class StaffAdmin(ModelAdmin):
    """Rows that belong to warehouses: everybody sees their own, and others' do not exist.

    ``places``: the paths from a row to its warehouses.
    """

    places: Sequence[str] = ("warehouse",)
    list_per_page = 25  # on a phone a row is a card

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return access.theirs(request.user, rows, *self.places) if self.places else rows

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is None:
            raise Http404(f"There is no {self.opts.verbose_name} {object_id} of yours.")
        return row

    # --- buttons: only of what somebody may do, and can be done -----------------------------
    # (Rights that the theme is told of are looked up in the database before it has tables.)

    def get_actions_list(self, request: HttpRequest) -> list[Any]:
        return _allowed(request, super().get_actions_list(request))  # type: ignore[misc]

    def get_actions_row(self, request: HttpRequest) -> list[Any]:
        return _allowed(request, super().get_actions_row(request))  # type: ignore[misc]

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        shown = _allowed(request, super().get_actions_detail(request, object_id))  # type: ignore[misc]
        if not any(a.method.act.while_in for a in shown):
            return shown
        rows = self.model._default_manager.filter(pk=unquote(object_id))
        state = rows.values_list("state", flat=True).first()
        return [a for a in shown if state in (a.method.act.while_in or [state])]


def _allowed(request: HttpRequest, actions: list[Any]) -> list[Any]:
    return [a for a in actions if request.user.has_perm(a.method.act.right)]
