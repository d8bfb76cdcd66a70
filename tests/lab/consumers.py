"""Consumers that do as their event says: succeed, fail n times, die, wait."""

import os
import signal
import threading

import psycopg2
from django.db import connection

from supplychain.errors import SupplyChainError
from supplychain.events import Retry, consumer
from supplychain.events.outbox import emit

from .events import Counted, Tried
from .models import Attempt, Effect, Thing


class Hopeless(SupplyChainError):
    """This can't ever work."""

    permanent = True


def note_attempt(consumer_name: str, number: int) -> int:
    """In a connection of its own, so that it outlives the consumer's rollback or death."""
    settings = connection.settings_dict
    with (
        psycopg2.connect(
            host=settings["HOST"],
            port=settings["PORT"],
            user=settings["USER"],
            password=settings["PASSWORD"],
            dbname=settings["NAME"],
        ) as own,
        own.cursor() as cursor,
    ):
        table = Attempt._meta.db_table
        cursor.execute(
            f"INSERT INTO {table} (consumer, number, at) VALUES (%s, %s, now())",
            [consumer_name, number],
        )
        cursor.execute(
            f"SELECT count(*) FROM {table} WHERE consumer = %s AND number = %s",
            [consumer_name, number],
        )
        return cursor.fetchone()[0]


def _behave(name: str, event: Tried) -> None:
    what, _, argument = event.behaviour.partition(":")
    if what == "raise":  # notes nothing, so that it works on any database
        raise ValueError(argument)
    if what not in {"fail", "hopeless", "kill", "wait"}:
        return
    attempts = note_attempt(name, event.number)
    if what == "fail" and attempts <= int(argument):
        raise ValueError(f"failing attempt {attempts} of {argument}")
    if what == "hopeless":
        raise Hopeless
    if what == "kill" and attempts <= int(argument):
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "wait":
        threading.Event().wait(float(argument))


def _effect(name: str, event: Tried) -> Effect:
    return Effect(
        consumer=name,
        thing=event.thing,
        number=event.number,
        sequence=event.envelope.sequence,
    )


@consumer(Tried, queue="lab", retry=Retry(attempts=4, base=0.2, cap=1.0))
def try_it(event: Tried) -> None:
    _behave("try_it", event)
    _effect("try_it", event).save()
    thing = Thing.objects.get(pk=event.thing)
    emit(Counted(thing=event.thing, number=event.number), of=thing)


@consumer(Tried, queue="lab_other", batch=50, retry=Retry(attempts=4, base=0.2, cap=1.0))
def watch_it(events: list[Tried]) -> None:
    for event in events:
        if event.behaviour.startswith("batch-"):
            _behave("watch_it", event.model_copy(update={"behaviour": event.behaviour[6:]}))
    Effect.objects.bulk_create([_effect("watch_it", event) for event in events])


@consumer(Counted, queue="lab_other", batch=50)
def count_it(events: list[Counted]) -> None:
    Effect.objects.bulk_create([_effect("count_it", event) for event in events])
