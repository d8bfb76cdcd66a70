"""The Celery app. `celery -A supplychain worker -Q inventory` starts a domain's worker."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "supplychain.settings")

app = Celery("supplychain")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
