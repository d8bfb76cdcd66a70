"""What analytics does when anybody tells anything."""

from supplychain.events import Event, consumer

from . import services


@consumer(queue="analytics", everything=True, batch=200)
def measure(events: list[Event]) -> None:
    """Keep the read models up to date."""
    services.measure(events=events)
