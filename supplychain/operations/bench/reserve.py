"""One of the connections of the bench of reserving, as a process of its own:

    python -m supplychain.operations.bench.reserve ours 0 8

It makes its share of the orders, says "ready", waits for a line on its standard input, reserves,
and prints a JSON object: the seconds of the machine's clock when it began and when it ended, and
how often it had to begin a transaction again.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import django

if TYPE_CHECKING:
    from orders.events import OrderPlaced

ORDERS, LINES, SKUS, HOT, HOT_SHARE = 5_000, 3, 1_000, 10, 0.2
#: As inventory's consumer takes them.
BATCH = 100
SEED = 20261125
MOST_AGAIN = 100
#: Code, latitude, longitude.
WAREHOUSES = (
    ("GUARULHOS", -23.46, -46.53),
    ("CAMPINAS", -22.91, -47.06),
    ("RIO", -22.91, -43.17),
    ("CURITIBA", -25.43, -49.27),
)


def main() -> None:
    django.setup()
    kind, mine, of = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    placed = orders()
    batches = [placed[start : start + BATCH] for start in range(0, len(placed), BATCH)][mine::of]
    if kind == "ours":
        work = [_together(batch) for batch in batches]
    else:
        work = [_alone(event) for batch in batches for event in batch]
    _connect()
    # Without walks of the garbage collector over all the orders that this process holds.
    gc.collect()
    gc.freeze()
    print("ready", flush=True)  # noqa: T201 - read by its parent
    if not sys.stdin.readline():
        raise SystemExit("Nobody is there any more who wants it measured.")
    began = time.time()
    again = sum(_until_it_is_done(transaction) for transaction in work)
    print(json.dumps({"began": began, "ended": time.time(), "again": again}))  # noqa: T201


def sku(number: int) -> str:
    """The first are the hot ones."""
    return f"SKU-{number:04}"


def orders(count: int = ORDERS) -> list[OrderPlaced]:
    """The same in each process, as they come out of their messages."""
    chance = random.Random(SEED)  # noqa: S311 - a load, not a secret
    return [_placed(chance, number) for number in range(count)]


def _placed(chance: random.Random, number: int) -> OrderPlaced:
    from orders import events as tell
    from supplychain.events.envelope import Envelope

    _, latitude, longitude = chance.choice(WAREHOUSES)
    placed_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    event = tell.OrderPlaced(
        order_id=UUID(int=chance.getrandbits(128), version=4),
        channel="bench",
        external_id=f"BENCH-{number}",
        customer=tell.Customer(name="Ana B.", email="ana@example.com"),
        ship_to=tell.Address(
            address=f"Rua {number}",
            city="São Paulo",
            postal_code="01000",
            country="BR",
            latitude=latitude + chance.gauss(0, 1),
            longitude=longitude + chance.gauss(0, 1),
        ),
        lines=[
            tell.OrderLine(sku=name, quantity=chance.randint(1, 3), unit_price=Decimal("9.90"))
            for name in _skus(chance)
        ],
        currency="BRL",
        total=Decimal("99.00"),
        placed_at=placed_at,
    )
    envelope = Envelope(
        event_id=UUID(int=chance.getrandbits(128), version=4),
        event_type=event.event_type,
        event_version=event.event_version,
        timestamp=placed_at,
        producer=event.producer,
        subject=event.subject,
        sequence=1,
        correlation_id=f"bench {number}",
        data=event.model_dump(mode="json"),
    )
    return tell.OrderPlaced.read(envelope)


def _skus(chance: random.Random) -> list[str]:
    """Three different ones, a fifth of them hot."""
    numbers: dict[int, None] = {}
    while len(numbers) < LINES:
        hot = chance.random() < HOT_SHARE
        numbers[chance.randrange(HOT) if hot else chance.randrange(HOT, SKUS)] = None
    return [sku(number) for number in numbers]


# --- ours and the usual way ---------------------------------------------------------------


def _together(batch: list[OrderPlaced]) -> Callable[[], None]:
    from inventory.allocating import reserve_orders

    return lambda: reserve_orders(placed=batch)


def _alone(event: OrderPlaced) -> Callable[[], None]:
    from .usual import reserve_order

    return lambda: reserve_order(event)


def _connect() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _until_it_is_done(transaction: Callable[[], None]) -> int:
    """How often it was broken off by a deadlock or a conflict and begun again."""
    from django.db import OperationalError

    again = 0
    while True:
        try:
            transaction()
        except OperationalError:
            again += 1
            if again > MOST_AGAIN:
                raise
        else:
            return again


if __name__ == "__main__":
    main()
