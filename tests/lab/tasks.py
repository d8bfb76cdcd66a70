"""A plain Celery task on an event queue, as routing's and notifications' ticks are."""

import threading
from pathlib import Path

from celery import shared_task


@shared_task(name="lab.hold_until", ignore_result=True)
def hold_until(path: str) -> None:
    """Keeps its pool process busy until a file is there."""
    for _ in range(600):
        if Path(path).exists():
            return
        threading.Event().wait(0.05)
    raise TimeoutError(path)
