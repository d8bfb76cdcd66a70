from celery import shared_task

from . import planning, proofs, runs


@shared_task(name="routing.plan_due_depots", ignore_result=True)
def plan_due_depots() -> int:
    """Beat's tick: plan the depots that are due. On a queue of its own."""
    return len(planning.plan_due_depots())


@shared_task(name="routing.forget_old_proofs", ignore_result=True)
def forget_old_proofs() -> int:
    """Beat's tick: throw away photos that are older than PROOF_DAYS."""
    return proofs.forget_old()


@shared_task(name="routing.forget_old_plan_runs", ignore_result=True)
def forget_old_plan_runs() -> int:
    """Beat's tick: forget plan runs that are older than PLAN_RUN_DAYS."""
    return runs.forget_old()
