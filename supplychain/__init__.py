"""The project package: settings, the Celery app, URLs and the event machinery."""

from .celery import app as celery_app

__all__ = ["celery_app"]
