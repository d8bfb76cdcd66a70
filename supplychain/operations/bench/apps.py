from django.apps import AppConfig


class PlainConfig(AppConfig):
    """Installed by plain_settings only."""

    name = "supplychain.operations.bench"
    label = "bench"

    def ready(self) -> None:
        from . import plain

        plain.install()
