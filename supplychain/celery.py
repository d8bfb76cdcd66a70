"""The Celery app. `celery -A supplychain worker -Q inventory` starts a domain's worker."""

import os

# SIGTERM ends a worker within worker_soft_shutdown_timeout, not when its last task likes;
# Celery reads this when it is imported. What was not finished is delivered again.
os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "supplychain.settings")

from celery import Celery

app = Celery("supplychain")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
