from celery import shared_task

from . import balancing, holding


@shared_task(name="inventory.expire_holds", ignore_result=True)
def expire_holds() -> int:
    """Beat's tick: let go what is held for orders that were not confirmed in time."""
    return holding.expire_holds()


@shared_task(name="inventory.propose_transfers", ignore_result=True)
def propose_transfers() -> int:
    """Beat's tick: propose transfers where one warehouse lacks what another can spare."""
    return len(balancing.propose_transfers(actor="system"))
