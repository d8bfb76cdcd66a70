"""The analytics API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from . import selectors


class RangeIn(serializers.Serializer[Any]):
    start = serializers.DateTimeField(required=False)
    end = serializers.DateTimeField(required=False)
    channel = serializers.SlugField(required=False, max_length=40)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "start" in attrs and "end" in attrs and attrs["end"] <= attrs["start"]:
            raise serializers.ValidationError({"end": "Must be later than start."})
        return attrs


class Summary(APIView):
    serializer_class = RangeIn

    def get(self, request: Request) -> Response:
        """Figures of all orders for staff, of its own for a channel; ?start=&end=&channel=."""
        query = RangeIn(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        wanted = dict(query.validated_data)
        if not request.user.is_staff:
            own = getattr(getattr(request.user, "channel", None), "code", None)
            if own is None or wanted.get("channel", own) != own:
                raise PermissionDenied("A channel sees its own figures only.")
            wanted["channel"] = own
        return Response(selectors.summary(**wanted))
