from django.apps import AppConfig


class OperationsConfig(AppConfig):
    """Commands over all domains: demo, bench, books. Nothing here is needed to run the system."""

    name = "supplychain.operations"
    label = "operations"
