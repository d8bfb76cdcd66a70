from celery import shared_task

from . import planning


@shared_task(name="routing.plan_due_depots", ignore_result=True)
def plan_due_depots() -> int:
    """Beat's tick: plan the depots that are due."""
    return len(planning.plan_due_depots())
