import pytest
from django.db import connection, transaction

from supplychain.events.consumers import get_consumer
from supplychain.events.handling import handle
from supplychain.events.outbox import Emission, emit_all
from supplychain.events.testing import message_of
from tests.lab.events import Counted
from tests.lab.models import Thing

CONSUMER = "audit.record_events"


class NoWire:
    """Nothing here may fail, so nothing may be sent on."""

    def publish(self, messages):
        raise AssertionError(f"{len(messages)} events failed: {messages[0].headers}")

    def close(self):
        pass


def happen(count, thing="anvil", correlation_id=None):
    """Let a lab thing have events; gives their envelopes."""
    with transaction.atomic():
        row, _ = Thing.objects.get_or_create(name=thing)
        events = [Counted(thing=thing, number=n) for n in range(count)]
        return emit_all([Emission(e, row, correlation_id=correlation_id) for e in events])


def record(envelopes):
    """Hand events to audit's consumer as its worker would."""
    consumer = get_consumer(CONSUMER)
    assert consumer is not None
    return handle(consumer, [message_of(e, consumer) for e in envelopes], NoWire())


@pytest.fixture
def tamper():
    """Run SQL on the store as somebody who has got round the triggers."""

    def run(sql, *values):
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE audit_storedevent DISABLE TRIGGER USER")
            cursor.execute(sql, values)
            cursor.execute("ALTER TABLE audit_storedevent ENABLE TRIGGER USER")

    return run
