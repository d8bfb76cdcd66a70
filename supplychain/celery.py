"""The Celery app. `celery -A supplychain worker -Q inventory` starts a domain's worker."""

import os
import sys
from typing import Any

from celery import Celery
from celery.signals import task_prerun
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "supplychain.settings")

app = Celery("supplychain")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@app.on_after_configure.connect
def _keep_connections(sender: Celery, **_: Any) -> None:
    """Celery's Django fixup closes the database connection before and after every task; a new
    one costs more than most handlers do. Kept as in a web process: checked before its next use."""
    sender.conf.update(CELERY_DB_REUSE_MAX=sys.maxsize)


@task_prerun.connect
def _check_connections(**_: Any) -> None:
    close_old_connections()
