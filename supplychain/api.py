"""Promise: every refused request is answered with the fields and the reasons, in one shape:
``{"errors": [{"field": "lines[2].quantity", "reason": "Must be at least 1."}]}``
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, ParseError, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.response import Response
from rest_framework.views import exception_handler

from .errors import SupplyChainError


class StrictInteger(serializers.IntegerField):
    """Takes a JSON integer and nothing that merely looks like one: "5", 5.0 and true are wrong."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            raise serializers.ValidationError("A whole JSON number is required.")
        return int(super().to_internal_value(data))


class StrictFloat(serializers.FloatField):
    """Takes a finite JSON number."""

    def to_internal_value(self, data: Any) -> float:
        if not isinstance(data, int | float) or isinstance(data, bool):
            raise serializers.ValidationError("A JSON number is required.")
        if not math.isfinite(data):
            raise serializers.ValidationError("A finite number is required.")
        return float(super().to_internal_value(data))


class StrictText(serializers.CharField):
    """Takes a JSON string, without the space around it."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("A JSON string is required.")
        return str(super().to_internal_value(data))


class RecentFirst(CursorPagination):
    """Cursor pages: stable while rows come in, and as quick on the last page as on the first."""

    page_size = 50
    max_page_size = 500
    page_size_query_param = "page_size"


class Conflict(APIException):
    """The request doesn't fit what is already there; 409."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "This doesn't fit what is already there."
    default_code = "conflict"


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


def answer_error(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler, with its answer brought into our shape."""
    if isinstance(exc, RequestDataTooBig):
        exc = TooLarge(_too_large())
    if isinstance(exc, SupplyChainError):
        exc = Conflict(str(exc))
    response = exception_handler(exc, context)
    if response is None:
        return None
    errors: list[dict[str, Any]]
    if isinstance(exc, ValidationError):
        errors = list(flatten(exc.detail))
    else:
        field = "body" if isinstance(exc, ParseError | TooLarge) else None
        errors = [{"field": field, "reason": _sentence(response.data)}]
    response.data = {"errors": errors}
    return response


def flatten(detail: Any, field: str = "") -> Iterator[dict[str, Any]]:
    """DRF's nested error detail as (field, reason) pairs: ``lines[2].quantity``."""
    if isinstance(detail, dict):
        for key, inner in detail.items():
            yield from flatten(inner, _join(field, str(key)))
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            nested = isinstance(inner, dict | list)
            yield from flatten(inner, f"{field}[{index}]" if nested else field)
    else:
        yield {"field": field or "body", "reason": str(detail)}


def _join(field: str, key: str) -> str:
    if key == "non_field_errors":
        return field
    if key.isdigit():  # how DRF names the items of a list
        return f"{field}[{key}]"
    return f"{field}.{key}" if field else key


def _sentence(data: Any) -> str:
    return str(data["detail"]) if isinstance(data, dict) and "detail" in data else str(data)


def _too_large() -> str:
    return f"The body is longer than {settings.API_MAX_BODY:,} bytes; send it in parts."


class BodyLimitMiddleware:
    """Answers 413 to a body that is declared too long, before anything of it is read."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        too_long = length.isdigit() and int(length) > settings.API_MAX_BODY
        if too_long and request.path.startswith("/api/"):
            errors = [{"field": "body", "reason": _too_large()}]
            return JsonResponse({"errors": errors}, status=413)
        return self.get_response(request)
