"""Promise: a way between two places of a depot's plan is looked up once, not at each look at the
plan; what is remembered stays bounded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .problem import NO_WAY, Matrix, Place, Travel
from .travel import Estimate, Provider

#: Depots whose ways are remembered, and places of each: 8 bytes for each pair.
DEPOTS, PLACES = 8, 2500


@dataclass(frozen=True)
class Known:
    """``node_of``: the rows of places in ``travel``."""

    node_of: dict[Place, int]
    travel: Travel


_lock = threading.Lock()
_memory: OrderedDict[str, Known] = OrderedDict()


def ways(depot: str, places: Sequence[Place], roads: Provider) -> Travel:
    """Between all of these places, in this order.

    A map server's answers are remembered by who asks it (see ``road``), who knows which of them
    are none and will be asked for again.
    """
    if not isinstance(roads, Estimate):
        return Travel(*roads.table(places, places))
    with _lock:
        known = _memory.get(depot)
    found = grown(known, places, roads) if known else Travel(*roads.table(places, places))
    if len(places) <= PLACES:
        _remember(depot, Known({place: n for n, place in enumerate(places)}, found))
    return found


def _remember(depot: str, known: Known) -> None:
    with _lock:
        _memory[depot] = known
        _memory.move_to_end(depot)
        while len(_memory) > DEPOTS:
            _memory.popitem(last=False)


def grown(known: Known, places: Sequence[Place], roads: Provider) -> Travel:
    """What is known, and the ways from and to each place that is not."""
    old = [n for n, place in enumerate(places) if place in known.node_of]
    new = [n for n, place in enumerate(places) if place not in known.node_of]
    rows = [known.node_of[places[n]] for n in old]
    if not new and rows == list(range(len(known.travel))):
        return known.travel
    fresh = [places[n] for n in new]
    there, back = roads.table(places, fresh), roads.table(fresh, places)
    matrices = (known.travel.metres, known.travel.seconds)
    return Travel(
        *(
            _composed(matrix, (old, rows), new, there[kind], back[kind])
            for kind, matrix in enumerate(matrices)
        )
    )


def _composed(
    matrix: Matrix, old: tuple[list[int], list[int]], new: list[int], there: Matrix, back: Matrix
) -> Matrix:
    size = len(old[0]) + len(new)
    whole = np.full((size, size), NO_WAY, dtype=np.int32)
    whole[np.ix_(old[0], old[0])] = matrix[np.ix_(old[1], old[1])]
    whole[:, new], whole[new, :] = there, back
    return whole
