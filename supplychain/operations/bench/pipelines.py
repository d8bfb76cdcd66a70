"""Ours and the plain pipeline, each as its set of processes, and an order load for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kombu import Connection

from supplychain.events.consumers import queue_names
from supplychain.operations.children import CONCURRENCY, Children

from . import world

OURS, PLAIN = "ours", "plain"
_SETTINGS = {OURS: "supplychain.settings", PLAIN: "supplychain.operations.bench.plain_settings"}


def environment(kind: str) -> dict[str, str]:
    return {"DJANGO_SETTINGS_MODULE": _SETTINGS[kind], "BENCH_NOTE_STARTS": "true"}


@contextmanager
def running(kind: str, folder: Path, broker: Connection, orders: int) -> Iterator[Children]:
    """Everything empty, the world furnished for so many orders, all processes ready."""
    world.empty(broker)
    world.furnish(orders)
    world.analyze()
    with Children(folder, environment(kind)) as children:
        if kind == OURS:
            children.relay()
        for queue in queue_names():
            name = queue if kind == OURS else f"plain.{queue}"
            children.worker(name, CONCURRENCY.get(queue, 2))
        yield children


def place(kind: str, what: str, count: int) -> list[Any]:
    """Run place.py; gives what it printed."""
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "supplychain.operations.bench.place", what, str(count)],
        env={**os.environ, **environment(kind), "BENCH_NOTE_STARTS": "false"},
        check=True,
        stdout=subprocess.PIPE,
    )
    printed: list[Any] = json.loads(done.stdout)
    return printed
