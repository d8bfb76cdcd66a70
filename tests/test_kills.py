"""A worker is killed between inventory's commit and the acknowledgement, fifty times over: every
message comes again, and none of them has an effect twice."""

import pytest

from conftest import eventually
from inventory.models import Allocation, Backorder, Reservation, StockLevel
from inventory.selectors import books_off
from orders.intake import accept
from supplychain.events.consumers import consumers
from supplychain.events.models import DeadLetter, InboxEntry, OutboxEvent
from supplychain.operations.bench.world import depth, furnish

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]
KILLS, PER_KILL = 50, 3
#: A worker needs some seconds to see that its child is gone; so several take turns.
WORKERS = 5


@pytest.fixture
def tally(tmp_path):
    file = tmp_path / "kills"
    file.touch()
    return file


def all_handled() -> bool:
    """Each of inventory's consumers has had every event that it subscribes to."""
    if OutboxEvent.objects.filter(published_at=None).exists():
        return False
    for consumer in consumers():
        types = [kind.event_type for kind in consumer.event_types]
        told = OutboxEvent.objects.filter(event_type__in=types).count()
        handled = InboxEntry.objects.filter(consumer=consumer.name).count()
        if consumer.queue == "inventory" and handled != told:
            return False
    return True


def test_fifty_kills_between_commit_and_ack(processes, broker, tally):
    channel, bodies = furnish(PER_KILL * KILLS)
    processes.relay()
    processes.ingester()
    deadly = {"KILL_AFTER_COMMIT": str(tally), "KILLS": str(KILLS)}
    workers = [processes.worker("inventory", concurrency=1, **deadly) for _ in range(WORKERS)]
    for number in range(KILLS):
        accept(channel=channel, bodies=bodies[PER_KILL * number :][:PER_KILL])
        eventually(lambda n=number: tally.stat().st_size > n)
        for place, worker in enumerate(workers):
            if worker.poll() is not None:
                workers[place] = processes.worker("inventory", concurrency=1, **deadly)
    eventually(all_handled)
    for worker in workers:
        processes.stop(worker)
    while depth(broker, "inventory"):  # repetitions that were still under way
        worker = processes.worker("inventory")
        eventually(lambda: depth(broker, "inventory") == 0)
        processes.stop(worker)

    assert tally.stat().st_size >= KILLS
    # What the broker gave up in the end, for its many deliveries, had been handled long ago.
    assert not DeadLetter.objects.exclude(resolved_by="system").exists()
    assert Allocation.objects.count() == len(bodies)
    units = sum(line["quantity"] for body in bodies for line in body["lines"])
    held = sum(Reservation.objects.filter(state="held").values_list("quantity", flat=True))
    waiting = sum(Backorder.objects.values_list("quantity", flat=True))
    assert held == sum(StockLevel.objects.values_list("reserved", flat=True))
    assert held + waiting == units
    assert list(books_off()) == []
