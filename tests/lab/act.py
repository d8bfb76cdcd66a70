"""What tests do to the lab."""

from django.db import transaction

from supplychain.events.envelope import Envelope
from supplychain.events.outbox import Emission, emit_all

from .events import Tried
from .models import Effect, Thing


def try_things(behaviours: dict[int, str], thing: str = "anvil") -> list[Envelope]:
    """Emit one Tried per number, in one transaction."""
    with transaction.atomic():
        row, _ = Thing.objects.get_or_create(name=thing)
        return emit_all(
            [
                Emission(Tried(thing=thing, number=number, behaviour=behaviour), row)
                for number, behaviour in behaviours.items()
            ]
        )


def effects(consumer: str) -> list[int]:
    """The numbers that a consumer has applied, sorted; twice in it means applied twice."""
    return sorted(Effect.objects.filter(consumer=consumer).values_list("number", flat=True))
