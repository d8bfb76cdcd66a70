"""The embedded system, in a process of its own: SQLite, an in-process broker, threads.

The functions named in_* run there, with nothing of this process but its Python.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from decimal import Decimal

import pytest

from conftest import ROOT

BODY = {
    "external_id": "A-1",
    "customer": {"name": "Ana", "email": "ana@example.com"},
    "ship_to": {
        "address": "Rua Augusta 1",
        "city": "São Paulo",
        "postal_code": "01304-001",
        "country": "BR",
        "latitude": -23.55,
        "longitude": -46.65,
    },
    "lines": [{"sku": "LAMP", "quantity": 2, "unit_price": "19.90"}],
    "currency": "BRL",
}


@pytest.fixture
def run(tmp_path):
    """Run a function of this module on an embedded system, which must end whole and in time;
    gives what the function returned, and the log."""

    def run_there(function, settings="supplychain.settings"):
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": settings,
            "SUPPLYCHAIN_NO_DOTENV": "1",
            "DATABASE_URL": f"sqlite:///{tmp_path}/embedded.sqlite3",
            "CELERY_BROKER_URL": "memory://localhost/",
            "EMAIL_URL": f"filemail:///{tmp_path}/mails",
            "PLANNING_INTERVAL": "0.2",
            "PLANNING_QUIET": "0.2",
            "PLANNING_SOLVE_SECONDS": "1",
        }
        code = f"from tests import test_embedded as t; t.there(t.{function.__name__})"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        assert told["left"] == []
        assert told["seconds_to_end"] < 10
        return told["found"], done.stderr

    return run_there


def there(function):
    """Set up Django and the system, run the function in it, print what it gives."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from supplychain.embedded import Embedded

    system = Embedded()
    with system:
        found = function(system)
        system.check()
        began = time.monotonic()
    seconds = time.monotonic() - began
    left = [thread.name for thread in system._threads if thread.is_alive()]
    told = {"found": found, "seconds_to_end": seconds, "left": left}
    sys.stdout.write(json.dumps(told, default=str))


def wait(system, done):
    assert system.wait_until(done, 60), "it did not come true in a minute"


# --- an order -----------------------------------------------------------------------------


def in_an_order_is_planned(system):
    from inventory import services as inventory
    from orders.intake import accept
    from orders.models import CatalogueItem, Channel, Order
    from orders.services import create_channel
    from routing.models import Depot

    lamp = {
        "sku": "LAMP",
        "name": "Lamp",
        "weight_kg": Decimal("1.5"),
        "volume_m3": Decimal("0.01"),
    }
    inventory.register_products(products=[inventory.ProductData(**lamp)])
    warehouse = inventory.register_warehouse(
        code="GRU", name="Guarulhos", latitude=-23.4356, longitude=-46.4731
    )
    inventory.receive_stock(warehouse=warehouse, lines=[("LAMP", 5)], reference="r", actor="test")
    wait(system, CatalogueItem.objects.exists)
    wait(system, Depot.objects.exists)
    create_channel(code="shop")
    [result] = accept(channel=Channel.objects.get(code="shop"), bodies=[BODY])
    wait(system, Order.objects.filter(status="planned").exists)
    wait(system, lambda: everything_is_handled(system))
    return {"status": result.status, **history()}


def everything_is_handled(system):
    from supplychain.events.models import InboxEntry, OutboxEvent

    settled = not OutboxEvent.objects.filter(published_at=None).exists()
    return settled and system.messages_waiting() == 0 and InboxEntry.objects.count() == expected()


def expected():
    """How many inbox rows there must be: one per event and subscriber."""
    from supplychain.events.consumers import subscribers
    from supplychain.events.models import OutboxEvent

    types = OutboxEvent.objects.values_list("event_type", flat=True)
    return sum(len(subscribers(event_type)) for event_type in types)


def history():
    from audit.models import StoredEvent
    from audit.selectors import chain_faults
    from inventory.models import StockLevel
    from orders.models import StatusChange
    from supplychain.events.models import DeadLetter

    return {
        "history": list(StatusChange.objects.order_by("at").values_list("status", flat=True)),
        "reserved": StockLevel.objects.get().reserved,
        "stored": StoredEvent.objects.count(),
        "chain": [fault for _, fault in chain_faults() if fault],
        "dead": DeadLetter.objects.count(),
    }


def test_an_order_goes_from_placed_to_planned(run):
    found, _ = run(in_an_order_is_planned)
    # What it was promised stands between them, as a note that repeats the status.
    assert list(dict.fromkeys(found["history"])) == ["placed", "reserved", "planned"]
    assert found["reserved"] == 2
    assert found["stored"] >= 7
    assert (found["chain"], found["dead"]) == ([], 0)


# --- what fails ---------------------------------------------------------------------------


def in_a_consumer_fails(system):
    from supplychain.events.models import DeadLetter
    from tests.lab.act import effects, try_things

    try_things({1: "raise:as told", 2: "ok"})
    wait(system, DeadLetter.objects.exists)
    wait(system, lambda: effects("watch_it") == [1, 2])
    wait(system, lambda: effects("count_it") == [2])
    letter = DeadLetter.objects.get()
    return {
        "letter": [letter.queue, letter.consumer, letter.reason, letter.exception, letter.attempts],
        "message": letter.message,
        "tried": effects("try_it"),
    }


def test_a_failing_consumer_is_retried_after_a_delay_and_ends_as_a_dead_letter(run):
    found, log = run(in_a_consumer_fails, settings="tests.settings")
    assert found["letter"] == ["lab", "lab.try_it", "exhausted", "ValueError", 4]
    assert found["message"] == "as told"
    assert found["tried"] == [2]  # its neighbour went through
    assert log.count("lab.try_it: retry in 0.") == 3


def in_messages_are_garbage(system):
    from supplychain.events.models import DeadLetter
    from supplychain.events.names import HOME_EXCHANGE
    from supplychain.events.wire import Outgoing
    from supplychain.events.wires import memory_wire
    from tests.lab.act import effects, try_things

    bodies = ["no json", "[[{}],{},{}]", b"\xff\xfe"]
    headers = {"task": "lab.tried"}
    memory_wire().publish([Outgoing(HOME_EXCHANGE, "lab", body, headers) for body in bodies])
    wait(system, lambda: DeadLetter.objects.count() == 3)
    try_things({1: "ok"})
    wait(system, lambda: effects("try_it") == [1])
    return sorted(DeadLetter.objects.values_list("exception", flat=True))


def test_garbage_ends_as_dead_letters_and_the_worker_goes_on(run):
    found, _ = run(in_messages_are_garbage, settings="tests.settings")
    assert found == ["MalformedMessage"] * 3


# --- how it ends --------------------------------------------------------------------------


def in_much_is_under_way(system):
    """Leave while workers work, the outbox is full, and a retry waits for minutes."""
    from supplychain.events.names import delay_name
    from supplychain.events.wire import Outgoing
    from supplychain.events.wires import memory_wire
    from tests.lab.act import effects, try_things

    memory_wire().publish([Outgoing(delay_name(512), "lab", "[]", delay=500)])
    try_things({n: "ok" for n in range(3000)})
    wait(system, lambda: effects("watch_it"))


def test_it_ends_in_time_in_the_middle_of_work(run):
    """That it ends in time and with all of its threads is asked of every run."""
    run(in_much_is_under_way, settings="tests.settings")
