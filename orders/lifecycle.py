"""Promise: an order's status follows from what has happened to it, in whatever order the news
came, and its history never skips a step.

``derive()`` says where an order stands by the facts known; ``path()`` gives the allowed steps
from where it was to there. Pure functions: no database here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from .models import OrderShipment, Status

S = OrderShipment.State

#: Where an order may go from each status; anything else is refused.
TRANSITIONS: dict[str, tuple[str, ...]] = {
    Status.PLACED: (
        Status.RESERVED,
        Status.PARTIALLY_RESERVED,
        Status.BACKORDERED,
        Status.CANCELLED,
        Status.REJECTED,
    ),
    Status.BACKORDERED: (Status.RESERVED, Status.PARTIALLY_RESERVED, Status.CANCELLED),
    Status.PARTIALLY_RESERVED: (Status.RESERVED, Status.CANCELLED),
    Status.RESERVED: (Status.PLANNED, Status.CANCELLED),
    Status.PLANNED: (Status.DISPATCHED, Status.CANCELLED),
    Status.DISPATCHED: (Status.DELIVERED, Status.DELIVERY_FAILED),
    Status.DELIVERY_FAILED: (Status.PLANNED, Status.RETURNED),
    Status.DELIVERED: (),
    Status.RETURNED: (),
    Status.CANCELLED: (),
    Status.REJECTED: (),
}
#: A channel may take an order back as long as nothing has left for it.
CANCELLABLE = frozenset(s for s, following in TRANSITIONS.items() if Status.CANCELLED in following)
FINAL = frozenset(s for s, following in TRANSITIONS.items() if not following)

#: How far a shipment is, for finding the one that is least advanced.
_PROGRESS = {
    S.RESERVED: 0,
    S.PLANNED: 1,
    S.DISPATCHED: 2,
    S.FAILED: 2,
    S.DELIVERED: 3,
    S.RETURNED: 3,
}
_BY_PROGRESS = (Status.RESERVED, Status.PLANNED, Status.DISPATCHED, Status.DELIVERED)
_BY_PROGRESS_WITH_FAILURE = (*_BY_PROGRESS[:2], Status.DELIVERY_FAILED, Status.RETURNED)


def derive(
    *, quantity: int, reserved: int, outstanding: int | None, states: Collection[str]
) -> str:
    """The status by the facts: units wanted, units known to be reserved so far, units on
    backorder (None: not yet known) and the states of the order's shipments.

    An order stands where its least advanced shipment stands. So it is dispatched only when
    every shipment has left, and a failed one shows from then on, until all have ended.
    """
    if outstanding is None:
        return Status.PLACED
    # Less reserved than wanted and nothing outstanding: news of a shipment is still under way.
    if outstanding or reserved < quantity:
        return Status.PARTIALLY_RESERVED if reserved else Status.BACKORDERED
    least = min((_PROGRESS[S(state)] for state in states if state in _PROGRESS), default=0)
    if S.FAILED in states or S.RETURNED in states:
        return _BY_PROGRESS_WITH_FAILURE[least]
    return _BY_PROGRESS[least]


def path(current: str, target: str) -> list[str]:
    """The fewest allowed steps from one status to another; [] when there is no way.

    An order that the facts put before its present status (a late, old fact) stays.
    """
    came_from: dict[str, str] = {}
    waiting = deque([current])
    while waiting:
        status = waiting.popleft()
        if status == target:
            break
        for following in TRANSITIONS[status]:
            if following not in came_from and following != current:
                came_from[following] = status
                waiting.append(following)
    steps = []
    while target in came_from:
        steps.append(target)
        target = came_from[target]
    return steps[::-1]
