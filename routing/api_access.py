"""Who may use the routing API: whoever may see routes looks, whoever may change them does, as in
the admin; a driver sees and answers what is theirs, see drivers.py."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from . import drivers


class Dispatching(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        right = drivers.SEE if request.method in SAFE_METHODS else drivers.CHANGE
        return bool(request.user.has_perm(right))


class Driving(Dispatching):
    """Drivers too; the view gives them no rows but their own."""

    def has_permission(self, request: Request, view: Any) -> bool:
        allowed = super().has_permission(request, view)
        return allowed or bool(request.user.has_perm(drivers.DRIVE))


class Starting(Driving):
    """Those of them, too, who may leave the depot without being sent."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return super().has_permission(request, view) and drivers.may_start(request.user)


class SeeingProofs(BasePermission):
    """Staff who may see stops: a photo shows what belongs to a customer."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user.is_staff and request.user.has_perm("routing.view_stop"))
