from celery import shared_task

from . import holding


@shared_task(name="inventory.expire_holds", ignore_result=True)
def expire_holds() -> int:
    """Beat's tick: let go what is held for orders that were not confirmed in time."""
    return holding.expire_holds()
