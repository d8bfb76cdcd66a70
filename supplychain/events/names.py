"""Promise: every name that lives in the broker stands here, as a literal. To change one is a
migration of the running system."""

#: Direct exchange; a message to it with a queue's name as key reaches that queue alone.
HOME_EXCHANGE = "home"
#: Direct exchange; the key is the queue on which the message died.
DEAD_EXCHANGE = "dead-letters"
#: Seconds. A delayed message waits in the first level that is at least its delay.
DELAY_LEVELS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def dead_queue(queue: str) -> str:
    return f"{queue}.dead"


def delay_level(delay: float) -> int:
    """The level for a delay in seconds; more than the last level waits in the last."""
    return next((level for level in DELAY_LEVELS if level >= delay), DELAY_LEVELS[-1])


def delay_name(level: int) -> str:
    """The name of a level's exchange and queue."""
    return f"delay.{level}s"
