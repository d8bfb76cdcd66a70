"""Who decides in a replay of a dynamic day: our policy, and the two published with the
competition's code, which let everything leave at once (greedy) or as late as it may (lazy)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from routing.dynamic import TUNED, Tuning, leaving_now, neighbourly
from routing.problem import Plan
from routing.solver import solve
from supplychain.errors import SupplyChainError

from .dynamic_day import Day, Planner, Request, Route
from .sample import OURS

GREEDY, LAZY = "greedy", "lazy"
POLICIES = (OURS, GREEDY, LAZY)


class UnknownPolicy(SupplyChainError):
    """There is no such policy."""

    permanent = True


def planner(
    day: Day, policy: str, *, seconds: float, seed: int = 1, tuning: Tuning = TUNED
) -> Planner:
    """``seconds`` is the time for each epoch. Raises UnknownPolicy."""
    if policy == OURS:
        return _ours(day, seconds, seed, tuning)
    if policy == GREEDY:
        return _all_of(day, lambda request, epoch: True, seconds, seed)
    if policy == LAZY:
        return _all_of(day, lambda request, epoch: request.must_go(epoch), seconds, seed)
    raise UnknownPolicy(f"There is no policy {policy}; there are {', '.join(POLICIES)}.")


def _ours(day: Day, seconds: float, seed: int, tuning: Tuning) -> Planner:
    """The planner knows the customers, from whom the requests are drawn, but not the draws."""
    near = [0.0, *neighbourly(day.instance.units[1:, 1:], tuning.near).tolist()]

    def plan(epoch: int, open_: Sequence[Request]) -> list[Route]:
        left = {request.key: request.last_epoch - epoch for request in open_}
        neighbours = {request.key: near[request.customer] for request in open_}
        return _routes(
            leaving_now(
                day.problem(epoch, open_),
                left,
                neighbours,
                seconds=seconds,
                seed=seed,
                tuning=tuning,
            )
        )

    return plan


def _all_of(day: Day, goes: Callable[[Request, int], bool], seconds: float, seed: int) -> Planner:
    def plan(epoch: int, open_: Sequence[Request]) -> list[Route]:
        chosen = [request for request in open_ if goes(request, epoch)]
        if not chosen:
            return []
        return _routes(solve(day.problem(epoch, chosen), seconds=seconds, seed=seed))

    return plan


def _routes(plan: Plan) -> list[Route]:
    return [[stop.key for stop in route.stops] for route in plan.routes]
