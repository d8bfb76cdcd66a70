"""The figures, from the read models alone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import TruncHour

from .models import EventCount, OrderFact, whole_hour

STEPS = ("allocated", "reserved", "promised", "planned", "dispatched", "delivered")
_SHARES = (0.5, 0.9, 0.99)


def facts(start: datetime | None, end: datetime | None, channel: str) -> QuerySet[OrderFact]:
    rows = OrderFact.objects.filter(placed_at__isnull=False)
    if start:
        rows = rows.filter(placed_at__gte=start)
    if end:
        rows = rows.filter(placed_at__lt=end)
    return rows.filter(channel=channel) if channel else rows


def summary(
    *, start: datetime | None = None, end: datetime | None = None, channel: str = ""
) -> dict[str, Any]:
    """Orders placed from ``start`` until before ``end``, by status and by hour (the newest 168),
    fill rate, promises kept, seconds from placed to each step (p50, p90, p99), and events by
    type, which are counted by whole hours and not by channel."""
    rows = facts(start, end, channel)
    statuses = rows.order_by("status").values_list("status").annotate(Count("pk"))
    hours = rows.annotate(hour=TruncHour("placed_at")).values("hour").annotate(orders=Count("pk"))
    return {
        "orders": rows.count(),
        "orders_by_status": dict(statuses),
        "orders_by_hour": list(hours.order_by("-hour")[:168]),
        "fill_rate": _fill_rate(rows),
        "promises": promises(rows),
        "seconds_from_placed": {step: percentiles(rows, f"{step}_at") for step in STEPS},
        "events_by_type": None if channel else events_by_type(start, end),
    }


def events_by_type(start: datetime | None, end: datetime | None) -> dict[str, int]:
    rows = EventCount.objects.all()
    if start:
        rows = rows.filter(hour__gte=whole_hour(start))
    if end:
        rows = rows.filter(hour__lt=end)
    return dict(rows.order_by("event_type").values_list("event_type").annotate(Sum("count")))


def _fill_rate(rows: QuerySet[OrderFact]) -> float | None:
    """Units that the first allocation reserved, of the units ordered; 0…1, None without orders.

    Orders whose first allocation is not known (yet) are left out.
    """
    allocated = rows.filter(allocated_at__isnull=False)
    sums = allocated.aggregate(ordered=Sum("quantity"), reserved=Sum("first_reserved"))
    if not sums["ordered"]:
        return None
    return round(float((sums["reserved"] or 0) / sums["ordered"]), 4)


def promises(rows: QuerySet[OrderFact]) -> dict[str, Any]:
    """Orders to which a window was promised, and of those that were delivered the shares (0…1, None
    without any): ``kept`` came within it, and nobody was told of a delay, or of another time;
    ``early`` came, or a part of it did, before its window opened, when people are not at home;
    ``late`` after it was over; ``changed`` came within it after other words."""
    promised = rows.filter(promised_at__isnull=False)
    late = Q(after__gt=0) | Q(parts=0, delivered_at__gt=F("promised_until"))
    within = ~late & Q(before=0)
    found = _came(promised.filter(delivered_at__isnull=False)).aggregate(
        delivered=Count("pk"),
        kept=Count("pk", filter=within & Q(broken_at=None)),
        early=Count("pk", filter=~late & Q(before__gt=0)),
        late=Count("pk", filter=late),
        changed=Count("pk", filter=within & Q(broken_at__isnull=False)),
    )
    count = found.pop("delivered")
    shares = {name: round(part / count, 4) if count else None for name, part in found.items()}
    return {"orders": promised.count(), "delivered": count, **shares}


def _came(rows: QuerySet[OrderFact]) -> QuerySet[Any, Any]:
    """With its ``parts`` of which window and delivery are known (none of old orders), and how many
    came ``before`` their windows, and ``after``."""
    opens, closes = F("shipments__window_from"), F("shipments__window_until")
    known = Q(shipments__window_until__isnull=False, shipments__delivered_at__isnull=False)
    return (
        rows.order_by()
        .values("pk", "broken_at", "delivered_at", "promised_until")
        .annotate(
            parts=Count("shipments", filter=known),
            before=Count("shipments", filter=Q(shipments__delivered_at__lt=opens)),
            after=Count("shipments", filter=Q(shipments__delivered_at__gt=closes)),
        )
    )


def percentiles(rows: QuerySet[OrderFact], field: str) -> dict[str, float] | None:
    """Of the seconds between placed_at and a step; None when no order has reached it."""
    reached = rows.filter(**{f"{field}__isnull": False}).order_by()
    values = _percentiles_in_sql if connection.vendor == "postgresql" else _percentiles_in_python
    found = values(reached, field)
    if found is None:
        return None
    return {f"p{round(s * 100)}": round(v, 4) for s, v in zip(_SHARES, found, strict=True)}


def _percentiles_in_sql(rows: QuerySet[OrderFact], field: str) -> list[float] | None:
    inner, values = rows.values(gap=F(field) - F("placed_at")).query.sql_with_params()
    wanted = "percentile_cont(%s) WITHIN GROUP (ORDER BY extract(epoch FROM gap))"
    with connection.cursor() as cursor:
        sql = f"SELECT {wanted} FROM ({inner}) AS gaps"  # noqa: S608 - the ORM's own SQL
        cursor.execute(sql, [list(_SHARES), *values])
        found = cursor.fetchone()[0]
    return [float(value) for value in found] if found else None


def _percentiles_in_python(rows: QuerySet[OrderFact], field: str) -> list[float] | None:
    gaps = sorted((b - a).total_seconds() for a, b in rows.values_list("placed_at", field))
    return [_interpolate(gaps, share) for share in _SHARES] if gaps else None


def _interpolate(values: list[float], share: float) -> float:
    """As percentile_cont does: linearly between the two nearest."""
    place = share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)
