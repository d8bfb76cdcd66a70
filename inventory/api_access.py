"""Who may use the warehouse API, and for which warehouses: as in the admin, see access.py."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from . import access
from .models import Warehouse


class Staff(BasePermission):
    """All staff may look; to change something takes the view's ``right``."""

    def has_permission(self, request: Request, view: Any) -> bool:
        looks = request.method in SAFE_METHODS
        return bool(request.user.is_staff and (looks or request.user.has_perm(view.right)))


def mine(request: Request) -> QuerySet[Warehouse]:
    """The warehouses that whoever asks may see and change."""
    return access.warehouses_of(request.user)


class StaffView(APIView):
    permission_classes: Any = [Staff]
    right: ClassVar[str] = access.STOCK

    def body(self, kind: type[Serializer[Any]]) -> dict[str, Any]:
        """The request's body, valid; else it is refused by field."""
        read = kind(data=self.request.data, context={"warehouses": mine(self.request)})
        read.is_valid(raise_exception=True)
        return dict(read.validated_data)

    def question(self, kind: type[Serializer[Any]]) -> dict[str, Any]:
        """The request's query, valid; else it is refused by field."""
        read = kind(data=self.request.query_params.dict())
        read.is_valid(raise_exception=True)
        return dict(read.validated_data)

    @property
    def actor(self) -> str:
        return self.request.user.get_username()
