"""A program that solves one problem with OR-Tools: its argument is the seed, the problem comes on
standard input; each line of standard output is better than the one before. See with_ortools."""

from __future__ import annotations

import json
import pickle
import sys

from routing.engines.ortools_model import Numbers, orders_found


def main() -> None:
    problem, start, how = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our parent
    found = orders_found(problem, start, seed=int(sys.argv[1]), tell=_tell, **how)
    if found is not None:
        _tell(found)


def _tell(found: Numbers) -> None:
    print(json.dumps(found), flush=True)  # noqa: T201 - to its parent


if __name__ == "__main__":
    main()
