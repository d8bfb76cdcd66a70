"""Places the bench's orders, as a process of its own:

    python -m supplychain.operations.bench.place throughput 2000
    python -m supplychain.operations.bench.place latency 200

Prints a JSON list: for throughput [second when it began], for latency [event id, second of its
commit] for each order. Seconds of the machine's clock.
"""

from __future__ import annotations

import json
import sys
import threading
import time

import django

BULK = 100
PER_SECOND = 10


def main() -> None:
    django.setup()
    kind, count = sys.argv[1], int(sys.argv[2])
    found = _latency(count) if kind == "latency" else _throughput(count)
    print(json.dumps(found), flush=True)  # noqa: T201 - read by its parent


def _throughput(count: int) -> list[float]:
    from orders.intake import accept
    from orders.models import Channel
    from supplychain.operations import scenario

    from .world import chunks

    channel, bodies = Channel.objects.get(code="bench"), scenario.build(count).orders
    began = time.time()
    for piece in chunks(bodies, BULK):
        if refused := [r.errors for r in accept(channel=channel, bodies=piece) if r.errors]:
            raise SystemExit(f"{len(refused)} orders were refused: {refused[0]}")
    return [began]


def _latency(count: int) -> list[tuple[str, float]]:
    """At a steady pace; the time is taken when the commit has returned, before anything else."""
    from django.db import transaction

    from orders import events
    from orders.intake import accept
    from orders.models import Channel
    from supplychain.operations import scenario

    stamps: list[tuple[str, float]] = []
    ids: list[str] = []

    def note(envelopes: list[object], **_: object) -> None:
        ids.extend(str(envelope.event_id) for envelope in envelopes)  # type: ignore[attr-defined]

    events.OrderPlaced.signal.connect(note)
    channel, begin = Channel.objects.get(code="bench"), time.monotonic()
    pause = threading.Event()
    for number, body in enumerate(scenario.build(count).orders):
        pause.wait(max(0.0, begin + number / PER_SECOND - time.monotonic()))
        with transaction.atomic():
            transaction.on_commit(lambda: stamps.append((ids[-1], time.time())))
            accept(channel=channel, bodies=[body])
    return stamps


if __name__ == "__main__":
    main()
