from django.apps import AppConfig
from django.db.models.signals import post_migrate


class InventoryConfig(AppConfig):
    name = "inventory"

    def ready(self) -> None:
        from .access import grant_rights

        post_migrate.connect(grant_rights, dispatch_uid="inventory.grant_rights")
