"""The analytics API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from . import selectors


class RangeIn(serializers.Serializer[Any]):
    """Orders placed from a moment until before another (ISO 8601; without a zone, UTC)."""

    until = serializers.DateTimeField(required=False)
    channel = serializers.SlugField(required=False, max_length=40)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # "from" is a word of the language and can't be an attribute.
        return {"from": serializers.DateTimeField(required=False), **super().get_fields()}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        unknown = set(self.initial_data) - set(self.fields) - {"format"}
        if unknown:  # a mistyped name would silently give the figures of everything
            raise serializers.ValidationError({name: "Unknown parameter." for name in unknown})
        if "from" in attrs and "until" in attrs and attrs["until"] <= attrs["from"]:
            raise serializers.ValidationError({"until": "Must be later than from."})
        return attrs


class Summary(APIView):
    @extend_schema(parameters=[RangeIn], responses={200: dict})
    def get(self, request: Request) -> Response:
        """Figures of all orders for staff, of its own for a channel; ?from=&until=&channel=."""
        query = RangeIn(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        wanted = query.validated_data
        channel = _visible_channel(request.user, wanted.get("channel", ""))
        figures = selectors.summary(
            start=wanted.get("from"), end=wanted.get("until"), channel=channel
        )
        return Response(figures)


def _visible_channel(user: Any, asked: str) -> str:
    """The channel to show; "" is all, for staff alone. The user may have a channel of orders."""
    if user.is_staff:
        return asked
    channel = getattr(user, "channel", None)
    if channel is None or not channel.active or asked not in ("", channel.code):
        raise PermissionDenied("A channel sees its own figures only.")
    return str(channel.code)
