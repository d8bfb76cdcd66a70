"""A program that solves one problem with OR-Tools: reads it from standard input, writes the
orders found to standard output. See with_ortools."""

from __future__ import annotations

import pickle
import sys

from routing.engines.ortools_model import orders_found


def main() -> None:
    problem, start, seconds, seed = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our parent
    found = orders_found(problem, start, seconds=seconds, seed=seed, alone=True)
    pickle.dump(found, sys.stdout.buffer)


if __name__ == "__main__":
    main()
