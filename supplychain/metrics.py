"""Promise: a scrape tells how the system stands now, costs little however much there is, and
never hangs: a source that is away or too slow is left out and named.

GET /metrics answers in the text format of Prometheus. Nothing is counted in this process; every
figure is asked for when it is scraped, so any number of web processes give the same answer.

Who may ask: ``Authorization: Bearer <METRICS_TOKEN>`` (from the environment; not set, nobody
has one), or a staff user, by session or by API token (``Authorization: Token …``). Others are
answered with 401, or 403 when they are known but not staff.

An app gives its figures in ``<app>/metrics.py``::

    @figures
    def stock() -> Iterator[Metric]:
        yield gauge("supplychain_backorder_lines", "Lines that wait for stock.", capped(rows))
"""

from __future__ import annotations

import logging
import secrets
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import celery
import django
from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import autodiscover_modules
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from rest_framework.authentication import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from .rows import count_up_to

logger = logging.getLogger(__name__)

#: Counts go no further: beyond it the alarm has long gone off, and counting costs.
CAP = 100_000
#: Milliseconds that one statement may take.
STATEMENT_TIMEOUT = 2000

Source = Callable[[], Iterator[Metric]]
_sources: dict[str, tuple[Source, bool]] = {}


def figures(source: Source) -> Source:
    """Register a function that asks the database for figures; named ``<app>.<function>``."""
    return _register(source, asks_database=True)


def figures_of_others(source: Source) -> Source:
    """Register a function that asks something else and keeps its own time limit."""
    return _register(source, asks_database=False)


def _register(source: Source, *, asks_database: bool) -> Source:
    app = source.__module__.removesuffix(".metrics").rpartition(".")[2]
    _sources[f"{app}.{source.__name__}"] = (source, asks_database)
    return source


def gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)


def gauges(
    name: str,
    documentation: str,
    labels: Iterable[str],
    values: Iterable[tuple[Iterable[str], float]],
) -> Metric:
    """One metric with labels; ``values`` are pairs of the labels' values and the figure."""
    family = GaugeMetricFamily(name, documentation, labels=list(labels))
    for of, value in values:
        family.add_metric(list(of), value)
    return family


def capped(rows: QuerySet[Any, Any]) -> int:
    """How many rows, up to CAP."""
    return count_up_to(CAP, rows)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    refusal = _refusal(request)
    if refusal is not None:
        return refusal
    registry = CollectorRegistry()
    registry.register(_AtScrape())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


# --- who may ask --------------------------------------------------------------------------


def _refusal(request: HttpRequest) -> HttpResponse | None:
    if _has_token(request):
        return None
    user = _user_of(request)
    if user is None or not user.is_authenticated:
        challenge = {"WWW-Authenticate": 'Bearer realm="metrics"'}
        return _text("Send METRICS_TOKEN as bearer token, or log in as staff.", 401, challenge)
    return None if user.is_staff else _text("For staff only.", 403)


def _text(sentence: str, status: int, headers: dict[str, str] | None = None) -> HttpResponse:
    kind = "text/plain; charset=utf-8"
    return HttpResponse(f"{sentence}\n", status=status, content_type=kind, headers=headers)


def _has_token(request: HttpRequest) -> bool:
    """Without a look into the database, so that a scrape gets through when that is away."""
    kind, _, sent = request.headers.get("Authorization", "").partition(" ")
    wanted = settings.METRICS_TOKEN
    same = secrets.compare_digest(sent.strip().encode(), wanted.encode())
    return bool(wanted) and kind.lower() == "bearer" and same


def _user_of(request: HttpRequest) -> Any:
    try:
        known = TokenAuthentication().authenticate(Request(request))
    except AuthenticationFailed:
        return None
    return known[0] if known else request.user


# --- what is told -------------------------------------------------------------------------


class _AtScrape(Collector):
    def describe(self) -> Iterable[Metric]:
        """Nothing: to describe is to ask, and the registry would ask twice."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield _build()
        _discover()
        database = _database_answers()
        told = {}
        for name, (source, asks_database) in sorted(_sources.items()):
            families = _ask(name, source, asks_database) if database or not asks_database else None
            told[name] = families is not None
            yield from families or []
        yield gauge("supplychain_database_up", "Whether the database answers.", database)
        yield gauges(
            "supplychain_scrape_ok",
            "Whether a source of figures gave them.",
            ["source"],
            [([name], ok) for name, ok in told.items()],
        )


@cache
def _discover() -> None:
    autodiscover_modules("metrics")


def _ask(name: str, source: Source, asks_database: bool) -> list[Metric] | None:
    try:
        if not asks_database:
            return list(source())
        with _bounded():
            return list(source())
    except Exception as failure:  # noqa: BLE001 - one source's trouble hides no other's figures
        logger.warning("No figures of %s: %s", name, str(failure).strip())
        return None


@contextmanager
def _bounded() -> Iterator[None]:
    """Each statement has a time limit. On SQLite a transaction would keep writers waiting."""
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(STATEMENT_TIMEOUT)])
        yield


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception as failure:  # noqa: BLE001 - whatever it is, it is the answer
        logger.warning("The database is away: %s", str(failure).strip())
        connection.close()
        return False
    return True


def _build() -> Metric:
    versions = [_version(), django.get_version(), celery.__version__]
    return gauges(
        "supplychain_build_info",
        "Always 1; what runs here.",
        ["version", "django", "celery"],
        [(versions, 1)],
    )


@cache
def _version() -> str:
    try:
        project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())
        return str(project["project"]["version"])
    except (OSError, LookupError, tomllib.TOMLDecodeError):
        return "unknown"  # an image may leave the file out
