"""Forms of the admin in which dispatchers say what vehicles can do."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from .models import SKILLS, Vehicle

NO_LIMIT = "Leave it empty if there is no limit; who is not to drive is set inactive."


class VehicleForm(forms.ModelForm):
    """What can be asked of one field the models check; here stands what only some together say."""

    skills = forms.MultipleChoiceField(
        choices=[(skill, skill) for skill in SKILLS],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Goods that need something are carried only by who has it.",
    )

    class Meta:
        model = Vehicle
        fields = [
            *("depot", "name", "driver", "active"),
            *("skills", "capacity_kg", "capacity_m3", "capacity_items"),
            *("shift_start", "shift_hours", "max_stops", "end_depot"),
            *("break_minutes", "break_earliest", "break_latest"),
            *("fixed_cost", "cost_per_km", "cost_per_hour"),
        ]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Its routes are its depot's, for good. (A field that is only shown would not be checked.)
        if self.instance.pk and "depot" in self.fields:
            self.fields["depot"].disabled = True

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        for name in ("capacity_items", "max_stops"):
            if said.get(name) == 0:
                self.add_error(name, NO_LIMIT)
        self._look_at_break(said)
        return said

    def _look_at_break(self, said: dict[str, Any]) -> None:
        minutes = said.get("break_minutes") or 0
        earliest, latest = said.get("break_earliest"), said.get("break_latest")
        if not minutes:
            if earliest or latest:
                self.add_error(
                    "break_minutes", "Say how long the break is, or leave its times out."
                )
            return
        for name, moment in (("break_earliest", earliest), ("break_latest", latest)):
            if moment is None and name not in self.errors:
                self.add_error(name, "Say from when to when the break may begin.")
        if earliest and latest and not _in_order(said.get("shift_start"), earliest, latest):
            self.add_error("break_latest", "Must not be before the earliest time.")
        shift = said.get("shift_hours")
        if shift and timedelta(minutes=minutes) >= timedelta(hours=shift):
            self.add_error("break_minutes", "The break must be shorter than the shift.")


def _in_order(shift_start: time | None, earliest: time, latest: time) -> bool:
    """In a shift that goes on after midnight, 00:30 comes after 23:30."""
    if earliest <= latest:
        return True
    return shift_start is not None and latest < shift_start <= earliest
