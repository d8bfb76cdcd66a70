"""The API of a depot's day, as the plan page uses it."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.utils.decorators import method_decorator
from django.views.decorators.http import conditional_page
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from . import comparing, plan_day
from . import plan_shapes as shapes
from .api_access import Dispatching
from .models import Depot, Plan


@method_decorator(conditional_page, name="dispatch")
class Day(APIView):
    permission_classes: Any = [Dispatching]
    serializer_class = shapes.DayOut

    def get(self, request: Request, code: str, day: date) -> Response:
        """A depot's day as it stands: its vehicles and their routes with their stops, and what
        waits, and why. Who knows it already, by its ETag, is told so with 304."""
        depot = get_object_or_404(Depot, code=code)
        found = plan_day.day_of_depot(depot, day)
        for plan in found.versions:
            plan.depot = depot
        for alert in found.alerts:
            alert.depot = depot
        context = {"legs": found.legs, "depot": depot, "day": day}
        return Response(shapes.DayOut(found, context=context).data)


class Comparison(APIView):
    permission_classes: Any = [Dispatching]
    serializer_class = shapes.ComparisonOut

    @extend_schema(operation_id="plans_compare")
    def get(self, request: Request, pk: int, before: int) -> Response:
        """What a version changed against an earlier one of the same day: who came, fell out,
        was moved or comes at another time, and what it costs more."""
        rows = Plan.objects.select_related("depot")
        now, then = get_object_or_404(rows, pk=pk), get_object_or_404(rows, pk=before)
        if any(getattr(now, name) != getattr(then, name) for name in comparing.SAME):
            raise ValidationError({"before": "Both must be of one depot, day and departure."})
        return Response(shapes.ComparisonOut(comparing.compared(now, then)).data)
