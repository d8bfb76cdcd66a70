"""Promise: /healthz says that this process answers; /readyz that it can do its work."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse

from .celery import app


def alive(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "alive"})


def ready(request: HttpRequest) -> JsonResponse:
    """200 when database, migrations and broker are fine; else 503 with what is wrong."""
    checks = {"database": _database, "migrations": _migrations, "broker": _broker}
    results = {name: _run(check) for name, check in checks.items()}
    good = all(result == "ok" for result in results.values())
    return JsonResponse(
        {"status": "ready" if good else "not ready", "checks": results}, status=200 if good else 503
    )


def _run(check: Callable[[], str]) -> str:
    try:
        return check()
    except Exception as failure:  # noqa: BLE001 - whatever it is, it is the answer
        return f"{type(failure).__name__}: {str(failure).strip()}"


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in pending)
    return f"not applied: {names}. Run `manage.py migrate`." if names else "ok"


def _broker() -> str:
    if settings.EMBEDDED:
        return "ok"
    with app.connection_for_read(connect_timeout=2) as broker:
        broker.ensure_connection(max_retries=0, timeout=2)
    return "ok"
