"""The event machinery: how what happened in one domain reaches all others.

Apps import from here: ``Event`` and ``Payload`` for their ``events.py``; ``emit`` for their
services; ``consumer`` for their ``consumers.py``. Models live in ``supplychain.events.models``.
"""

from .base import Event, Payload, Sensitivity
from .consumers import Retry, consumer

__all__ = ["Event", "Payload", "Retry", "Sensitivity", "consumer"]
