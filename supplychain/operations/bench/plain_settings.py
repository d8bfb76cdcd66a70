"""The same domains on Celery as it comes, for the bench's peer: see plain.py."""

from supplychain.settings import *  # noqa: F403
from supplychain.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "supplychain.operations.bench"]
# Celery's defaults, where ours differ.
CELERY_WORKER_CONSUMER = "celery.worker.consumer:Consumer"
CELERY_WORKER_PREFETCH_MULTIPLIER = 4
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_REJECT_ON_WORKER_LOST = False
CELERY_BROKER_TRANSPORT_OPTIONS = {}
CELERY_BEAT_SCHEDULE = {}
