"""Who may use the warehouse API, and of which warehouses."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from .models import Warehouse


def mine(request: Request) -> QuerySet[Warehouse]:
    """The warehouses that whoever asks may see and change."""
    return Warehouse.objects.all()


class StaffView(APIView):
    permission_classes = [IsAdminUser]

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
