from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class EventsConfig(AppConfig):
    name = "supplychain.events"
    label = "events"
    verbose_name = "Events"

    def ready(self) -> None:
        from supplychain.celery import app

        from . import outbox, topology

        autodiscover_modules("events")
        autodiscover_modules("consumers")
        outbox.connect()
        app.conf.task_queues = topology.celery_queues()
