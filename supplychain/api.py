"""Promise: every refused request is answered with the fields and the reasons, in one shape:
``{"errors": [{"field": "lines[2].quantity", "reason": "Must be at least 1."}]}``
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Mapping
from decimal import Decimal
from itertools import islice
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.exceptions import ValidationError as BadValue
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import serializers, status
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    NotAcceptable,
    NotAuthenticated,
    NotFound,
    ParseError,
    UnsupportedMediaType,
    ValidationError,
)
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
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
        try:
            number = float(data)
        except OverflowError:  # an integer of hundreds of digits
            number = math.inf
        if not math.isfinite(number):
            raise serializers.ValidationError("A finite number is required.")
        return float(super().to_internal_value(number))


class StrictDecimal(serializers.DecimalField):
    """Takes a JSON number, or a string that keeps its digits exact: "19.90"."""

    def to_internal_value(self, data: Any) -> Decimal:
        if not isinstance(data, str | int | float) or isinstance(data, bool):
            raise serializers.ValidationError("A number, or a number as a string, is required.")
        return super().to_internal_value(data)


class StrictText(serializers.CharField):
    """Takes a JSON string, without the space around it."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("A JSON string is required.")
        return str(super().to_internal_value(data))


#: Of the fields that nobody knows, so many are named for each object of a body.
_MOST_UNKNOWN = 5


class StrictSerializer(serializers.Serializer[Any]):
    """Takes the fields that it has and no others: who sends one that nobody reads has misspelt it,
    or hopes for something that won't happen."""

    def to_internal_value(self, data: Any) -> Any:
        errors = no_such_fields(data, self.fields)
        try:
            value = super().to_internal_value(data)
        except ValidationError as wrong:
            raise ValidationError({**wrong.detail, **errors}) from wrong  # type: ignore[dict-item]
        if errors:
            raise ValidationError(errors)
        return value


def no_such_fields(data: Any, known: Container[str]) -> dict[str, list[str]]:
    """The errors of an object that says more than it can be asked for."""
    names = data if isinstance(data, Mapping) else ()
    unknown = islice((name for name in names if name not in known), _MOST_UNKNOWN)
    return {_sayable(name): ["There is no such field."] for name in unknown}


def _sayable(name: str) -> str:
    """A name of the sender's, short, and without what no answer can be written with."""
    return name[:80].encode(errors="backslashreplace").decode()


class RecentFirst(CursorPagination):
    """Cursor pages: stable while rows come in, and as quick on the last page as on the first."""

    page_size = 50
    max_page_size = 500
    page_size_query_param = "page_size"

    def paginate_queryset(
        self, queryset: Any, request: Request, view: Any = None
    ) -> list[Any] | None:
        """REST framework decodes a cursor, but trusts the position that it finds inside."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (BadValue, ValueError) as wrong:
            if self.cursor_query_param not in request.query_params:
                raise
            raise NotFound(self.invalid_cursor_message) from wrong


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
        exc = TooLarge(_too_large(settings.API_MAX_BODY))
    if isinstance(exc, SupplyChainError):
        exc = Conflict(str(exc))
    response = exception_handler(exc, context)
    if response is None:
        return None
    if isinstance(exc, ValidationError):
        response.data = {"errors": list(flatten(exc.detail))}
    else:
        field = next((name for kind, name in _FIELDS.items() if isinstance(exc, kind)), None)
        response.data = _one_error(field, _sentence(response.data))
    return response


#: What to look at in a request that was refused before its content was looked at.
_FIELDS: dict[type[APIException], str] = {
    ParseError: "body",
    TooLarge: "body",
    UnsupportedMediaType: "Content-Type",
    NotAcceptable: "Accept",
    NotAuthenticated: "Authorization",
    AuthenticationFailed: "Authorization",
}


def _one_error(field: str | None, reason: str) -> dict[str, Any]:
    return {"errors": [{"field": field, "reason": reason}]}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: what was refused before any view."""
    if _is_api(request):
        return JsonResponse(_one_error(None, "This is no request that can be read."), status=400)
    return defaults.bad_request(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404: an address that no view has."""
    if _is_api(request):
        reason = f"There is nothing at {request.path}; mind the slash at the end."
        return JsonResponse(_one_error("path", reason), status=404)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500."""
    if _is_api(request):
        reason = "Something went wrong here; it is in the log."
        return JsonResponse(_one_error(None, reason), status=500)
    return defaults.server_error(request)


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


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


def _too_large(limit: int) -> str:
    return f"The body is longer than {limit:,} bytes; send it in parts."


def refuse_longer(request: Request, limit: int) -> None:
    """For a view that takes longer bodies of some kinds only; raises TooLarge."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdigit() and int(length) > limit:
        raise TooLarge(_too_large(limit))


class BodyLimitMiddleware:
    """Answers 413 to a body that is declared too long, before anything of it is read.

    A view that takes longer ones, and reads them piece by piece, says so by ``max_body``.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, options: Any
    ) -> HttpResponse | None:
        length = request.META.get("CONTENT_LENGTH") or "0"
        limit = getattr(getattr(view, "cls", None), "max_body", settings.API_MAX_BODY)
        if length.isdigit() and int(length) > limit and _is_api(request):
            return JsonResponse(_one_error("body", _too_large(limit)), status=413)
        return None
