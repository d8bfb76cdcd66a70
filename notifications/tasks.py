from celery import shared_task

from . import sending


@shared_task(name="notifications.send_due", ignore_result=True)
def send_due() -> int:
    """Beat's tick: send the notifications that are due."""
    return sending.send_due()
