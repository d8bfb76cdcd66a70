"""Promise: when a batch of orders wants more than there is, the stock goes where it completes
most orders; never fewer than first come, first served completes, and a lower priority never
takes from a higher one.

The optimiser (CP-SAT) only chooses an order of service; the same code as ever then serves in
that order, on a copy, and the better outcome is kept.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import groupby

from .shelves import Demand, Served, Shelves

logger = logging.getLogger(__name__)


def serve_all(shelves: Shelves, demands: Sequence[Demand], seconds: float) -> list[Served]:
    """Serve these, who stand in line in this order; gives what each gets, in the same order.

    ``seconds`` is for all of the optimiser's work; 0: first come, first served.
    """
    deadline = time.monotonic() + seconds
    served: dict[int, Served] = {}
    by_class = sorted(range(len(demands)), key=lambda n: -demands[n].priority)
    for _, group in groupby(by_class, key=lambda n: demands[n].priority):
        numbers = list(group)
        mine = [demands[n] for n in numbers]
        left = deadline - time.monotonic() if seconds else 0.0
        served |= zip(numbers, _serve_equals(shelves, mine, left), strict=True)
    return [served[n] for n in range(len(demands))]


def _serve_equals(shelves: Shelves, demands: Sequence[Demand], seconds: float) -> list[Served]:
    """Of one priority."""
    scarce = _scarce(shelves, demands)
    hopeful = _hopeful(shelves, demands, scarce)
    if seconds <= 0 or not hopeful:
        return [shelves.serve(demand) for demand in demands]
    first_come, better = shelves.copy(), shelves.copy()
    plain = [first_come.serve(demand) for demand in demands]
    chosen = None
    if not all(plain[n].complete for n in hopeful):
        chosen = _most_complete(shelves, demands, hopeful, scarce, seconds)
    if chosen is not None:
        outcome = _serve_first(better, demands, chosen, scarce)
        gain = sum(s.complete for s in outcome) - sum(s.complete for s in plain)
        if gain > 0:
            logger.info("%d of %d orders more are complete than by their turn.", gain, len(plain))
            shelves.become(better)
            return outcome
    shelves.become(first_come)
    return plain


def _serve_first(
    shelves: Shelves, demands: Sequence[Demand], chosen: set[int], scarce: set[str]
) -> list[Served]:
    """The chosen before all others who want something scarce; of the chosen those first who may
    have it from fewer warehouses."""

    def turn(n: int) -> tuple[bool, int]:
        if n in chosen:
            return False, -len(demands[n].excluded)
        return not scarce.isdisjoint(demands[n].wanted), 0

    outcome = {n: shelves.serve(demands[n]) for n in sorted(range(len(demands)), key=turn)}
    return [outcome[n] for n in range(len(demands))]


def _scarce(shelves: Shelves, demands: Sequence[Demand]) -> set[str]:
    """The SKUs of which more is wanted than is there, for all or for those who may have it only
    from some warehouses."""
    by_excluded: dict[frozenset[int], Counter[str]] = defaultdict(Counter)
    for excluded in {demand.excluded for demand in demands}:
        for demand in demands:
            if demand.excluded >= excluded:
                by_excluded[excluded].update(demand.wanted)
    return {
        sku
        for excluded, wanted in by_excluded.items()
        for sku, units in wanted.items()
        if units > shelves.there(sku, excluded)
    }


def _hopeful(shelves: Shelves, demands: Sequence[Demand], scarce: set[str]) -> list[int]:
    """Those that compete for something scarce and would be complete if they were alone."""
    return [
        n
        for n, demand in enumerate(demands)
        if not scarce.isdisjoint(demand.wanted)
        and all(shelves.there(s, demand.excluded) >= q for s, q in demand.wanted.items())
    ]


def _most_complete(
    shelves: Shelves,
    demands: Sequence[Demand],
    hopeful: Sequence[int],
    scarce: set[str],
    seconds: float,
) -> set[int] | None:
    """The largest set of them that the stock can complete; of equal ones that of the earlier.

    None when that is not proven in time: half an answer would depend on how busy we are.
    """
    from ortools.sat.python import cp_model  # 60 MB, which only a worker that needs it takes

    model = cp_model.CpModel()
    takes = {n: model.new_bool_var(str(n)) for n in hopeful}
    for sku in sorted(scarce):
        for excluded in {demands[n].excluded for n in hopeful}:
            # Who may have it only from where these may have it.
            rivals = [n for n in hopeful if demands[n].excluded >= excluded]
            units = sum(demands[n].wanted.get(sku, 0) * takes[n] for n in rivals)
            model.add(units <= shelves.there(sku, excluded))
    count = len(hopeful)
    model.maximize(sum((count * count + count - i) * takes[n] for i, n in enumerate(hopeful)))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 1
    solver.parameters.max_time_in_seconds = seconds
    if solver.solve(model) != cp_model.OPTIMAL:
        return None
    return {n for n, take in takes.items() if solver.boolean_value(take)}
