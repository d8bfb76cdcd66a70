"""manage.py event_catalogue: what every domain tells and who listens, as a page to read."""

import json
import re
import types
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from inspect import cleandoc
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from supplychain.events import Event, Payload
from supplychain.events.base import event_classes
from supplychain.events.consumers import Consumer, consumers
from supplychain.events.envelope import Envelope

INTRODUCTION = """\
# Events

What every domain tells, and who listens. Written by `manage.py event_catalogue` from the event
classes (`<domain>/events.py`) and the consumers (`<domain>/consumers.py`): change those, not
this page.

A domain publishes its events to the topic exchange of its own name, with the event's type as
routing key. Every consumer is fed by its domain's queue and handles each event once.
"""
ENVELOPE = """\
## What every event carries

The event's own fields, listed further down, are the envelope's `data`. A field without a
default is always there.
"""
#: How the values look in JSON.
NAMES: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    UUID: "UUID",
    Decimal: "decimal, as text",
    datetime: "time",
    date: "date",
    types.NoneType: "null",
}


class Command(BaseCommand):
    help = "Write docs/events.md from the event classes and consumers, or check that it is fresh."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="exit 1 when it is out of date")
        parser.add_argument(
            "--file", type=Path, default=settings.BASE_DIR / "docs" / "events.md", metavar="PATH"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        file, wanted = options["file"], catalogue()
        if options["check"]:
            if not file.exists() or file.read_text() != wanted:
                raise CommandError(
                    f"{file} is not what the event classes and consumers say now. "
                    "Type `python manage.py event_catalogue` and commit what it writes."
                )
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(wanted)
        self.stdout.write(f"Wrote {len(event_classes())} events to {file}.")


def catalogue() -> str:
    """The page; the same declarations always give the same text."""
    return "\n".join(_page()).rstrip() + "\n"


def _page() -> Iterator[str]:
    yield INTRODUCTION
    if listeners := [c for c in consumers() if c.everything]:
        yield from ("These listen to every event of every domain:", "")
        yield from (_listener(consumer) for consumer in listeners)
        yield ""
    yield from _overview()
    yield from (ENVELOPE, *_fields(Envelope))
    for producer, told in groupby(event_classes(), key=lambda event: event.producer):
        yield from _domain(producer, list(told))


def _overview() -> Iterator[str]:
    yield from ("| event | what happened | consumers |", "|---|---|---|")
    for event in event_classes():
        names = ", ".join(f"`{consumer.name}`" for consumer in _subscribed(event))
        yield f"| {_link(event)} | {_summary(event)} | {names or '—'} |"
    yield ""


def _domain(producer: str, told: list[type[Event]]) -> Iterator[str]:
    yield from (f"## {producer}", "")
    for event in told:
        yield from _event(event)
    for part in sorted(_parts(told), key=lambda part: part.__name__):
        yield from (f"### `{_name(part)}`", "", *_prose(part), *_fields(part))


def _event(event: type[Event]) -> Iterator[str]:
    yield from (f"### `{event.event_type}`", "", *_prose(event))
    yield (
        f"Version {event.event_version} · about `{event.subject_template}` · "
        f"owned by {event.producer} · {event.sensitivity} data"
    )
    yield ""
    if event.model_fields:
        yield from _fields(event)
    if subscribed := _subscribed(event):
        yield from ("Consumed by", "")
        yield from (_listener(consumer) for consumer in subscribed)
    else:
        yield "Nobody listens but those who listen to everything."
    yield ""


def _subscribed(event: type[Event]) -> list[Consumer]:
    return [c for c in consumers() if event in c.types and not c.everything]


def _listener(consumer: Consumer) -> str:
    return f"- `{consumer.name}` from the queue `{consumer.queue}`: {_summary(consumer.function)}"


def _summary(declared: object) -> str:
    """The first paragraph of its docstring, on one line."""
    first = cleandoc(declared.__doc__ or "").partition("\n\n")[0]
    return _markdown(first.replace("\n", " "))


def _prose(model: type[BaseModel]) -> Iterator[str]:
    """Its docstring; then, of its bases, what they say after their first paragraph, which is
    about the base itself."""
    own = vars(model).get("__doc__") or ""
    if own:
        yield from (_markdown(cleandoc(own)), "")
    for base in model.__mro__[1:]:
        if base is Event or base is Payload:
            return
        shared = cleandoc(vars(base).get("__doc__") or "").partition("\n\n")[2]
        if shared:
            yield from (_markdown(shared), "")


def _markdown(docstring: str) -> str:
    return re.sub(r"``(.+?)``", r"`\1`", docstring)


def _fields(model: type[BaseModel]) -> Iterator[str]:
    yield from ("| field | type | default |", "|---|---|---|")
    for name, field in model.model_fields.items():
        yield f"| `{name}` | {_type(field.annotation)} | {_default(field)} |"
    yield ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True, validated_data={})
    return f"`{json.dumps(value, default=str)}`"


def _type(annotation: Any) -> str:
    """In words of JSON, with a link where it is a part that this page describes."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(argument) for argument in arguments)
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}"
    if origin is Literal:
        return " or ".join(f"`{json.dumps(argument)}`" for argument in arguments)
    if origin is dict:
        return "object"
    if isinstance(annotation, type) and issubclass(annotation, Payload):
        return _link(annotation)
    return NAMES.get(annotation) or str(getattr(annotation, "__name__", annotation))


def _parts(told: list[type[Event]]) -> set[type[Payload]]:
    """The payloads inside of these events, at any depth."""
    found: set[type[Payload]] = set()
    waiting: list[Any] = [f.annotation for event in told for f in event.model_fields.values()]
    while waiting:
        annotation = waiting.pop()
        waiting.extend(get_args(annotation))
        is_part = isinstance(annotation, type) and issubclass(annotation, Payload)
        if is_part and annotation not in found:
            found.add(annotation)
            waiting.extend(f.annotation for f in annotation.model_fields.values())
    return found


def _name(model: type[Payload]) -> str:
    if issubclass(model, Event):
        return model.event_type
    return f"{model.__module__.partition('.')[0]}.{model.__name__}"


def _link(model: type[Payload]) -> str:
    """To the anchor that GitHub makes of the heading."""
    return f"[`{_name(model)}`](#{_name(model).lower().replace('.', '')})"
