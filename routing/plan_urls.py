"""The plan page's addresses, below the admin's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.urls import path

from . import converters as converters
from . import drivers, plan_page


def _staff(view: Callable[..., Any]) -> Callable[..., Any]:
    """Who is logged in to the admin and may see routes."""
    allowed = permission_required(drivers.SEE, raise_exception=True)(view)
    return admin.site.admin_view(allowed)


_DAY = "plan/<slug:code>/<day:day>/"

urlpatterns = [
    path("plan/", _staff(plan_page.today), name="plan-today"),
    path("plan/<slug:code>/", _staff(plan_page.today), name="plan-of-depot"),
    path(_DAY, _staff(plan_page.plan_page), name="plan-of-day"),
    path(f"{_DAY}manifest/", _staff(plan_page.manifest), name="plan-manifest"),
]
