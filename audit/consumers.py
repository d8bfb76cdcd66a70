"""What audit does when anybody tells anything."""

from supplychain.events import Event, consumer

from . import services


@consumer(queue="audit", everything=True, batch=200)
def record_events(events: list[Event]) -> None:
    """Keep every event of every domain."""
    services.record(events=events)
