"""Promise: a day in an address is a day of the calendar."""

from __future__ import annotations

from datetime import date

from django.urls import register_converter


class DayConverter:
    regex = r"\d{4}-\d{2}-\d{2}"

    def to_python(self, value: str) -> date:
        return date.fromisoformat(value)  # a ValueError: no such address

    def to_url(self, value: date) -> str:
        return value.isoformat()


register_converter(DayConverter, "day")
