"""Promise: many rows are inserted as bulk_create inserts them and updated as bulk_update updates
them, for half of the work of building the statement and less, and counted no further than anybody
wants to know.

They are for what is written thousands of times a second, or while others wait for a lock; else
bulk_create and bulk_update will do. No signals, nothing set on the rows, no parents; what the
database numbers itself it numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

from django.db import connection
from django.db.models import (
    AutoField,
    BooleanField,
    CharField,
    DateField,
    Field,
    ForeignKey,
    IntegerField,
    Model,
    QuerySet,
    TextField,
    UUIDField,
)

#: SQLite takes no more than some thirty thousand values in a statement.
AT_ONCE = 1000


def count_up_to(most: int, rows: QuerySet[Any, Any]) -> int:
    """How many there are, at most so many, whatever lies beyond."""
    return rows.order_by().values("pk")[:most].count()


def insert(rows: Sequence[Model]) -> None:
    """Insert these rows of one model, in this order."""
    for start in range(0, len(rows), AT_ONCE):
        _insert(rows[start : start + AT_ONCE])


def insert_new(rows: Sequence[Model]) -> set[Any]:
    """Insert those of these rows whose keys are not there yet, in this order; gives their primary
    keys. The others stay as they are."""
    new: set[Any] = set()
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        key = some[0]._meta.pk
        returned = connection.ops.quote_name(str(key.column))
        found = _insert(some, f" ON CONFLICT DO NOTHING RETURNING {returned}")
        new.update(key.to_python(value) for (value,) in found)
    return new


def update(rows: Iterable[Model], fields: Sequence[str]) -> None:
    """Write these fields of rows of one model. The values come as a table to join with: the CASE
    for each field and row that bulk_update builds took nine tenths of storing a plan."""
    all_rows = list(rows)
    for start in range(0, len(all_rows), AT_ONCE):
        _update(all_rows[start : start + AT_ONCE], fields)


def _update(rows: Sequence[Model], names: Sequence[str]) -> None:
    meta, name = rows[0]._meta, connection.ops.quote_name
    changed: list[Field[Any, Any]] = [meta.get_field(field) for field in names]  # type: ignore[misc]
    fields: list[Field[Any, Any]] = [meta.pk, *changed]
    values = [_as_given(field) for field in fields]
    # Of a table of values both databases call the columns so.
    setting = ", ".join(
        f"{name(str(field.column))} = v.column{n}" for n, field in enumerate(changed, start=2)
    )
    table, key = name(meta.db_table), name(str(meta.pk.column))
    row = f"({', '.join(['%s'] * len(fields))})"
    first = f"({', '.join(map(_typed, fields))})"
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET {setting} "  # noqa: S608
            f"FROM (VALUES {', '.join([first, *[row] * (len(rows) - 1)])}) AS v "
            f"WHERE {table}.{key} = v.column1",
            [value(row) for row in rows for value in values],
        )


def _typed(field: Field[Any, Any]) -> str:
    """A value of which the database must know the type, though it be null; of no fixed length, to
    which a longer one would be cut in silence."""
    if connection.vendor != "postgresql":
        return "%s"
    return f"CAST(%s AS {str(field.cast_db_type(connection)).partition('(')[0]})"


def _insert(rows: Sequence[Model], ending: str = "") -> list[Any]:
    meta = rows[0]._meta
    fields = [field for field in meta.concrete_fields if not isinstance(field, AutoField)]
    values = [_value(field) for field in fields]
    name = connection.ops.quote_name
    columns = ", ".join(name(str(field.column)) for field in fields)
    row = f"({', '.join(['%s'] * len(fields))})"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {name(meta.db_table)} ({columns}) "  # noqa: S608
            f"VALUES {', '.join([row] * len(rows))}{ending}",
            [value(row) for row in rows for value in values],
        )
        return cursor.fetchall() if ending else []


def _value(field: Field[Any, Any]) -> Callable[[Model], Any]:
    """How the database is given the field's value."""
    if isinstance(field, DateField) and (field.auto_now or field.auto_now_add):
        now = field.get_db_prep_save(field.pre_save(field.model(), add=True), connection)
        return lambda row: now
    return _as_given(field)


def _as_given(field: Field[Any, Any]) -> Callable[[Model], Any]:
    if _goes_as_it_is(field.target_field if isinstance(field, ForeignKey) else field):
        get: Callable[[Model], Any] = attrgetter(field.attname)
        return get
    return lambda row: field.get_db_prep_save(getattr(row, field.attname), connection)


def _goes_as_it_is(field: Field[Any, Any]) -> bool:
    if isinstance(field, UUIDField | DateField):
        return connection.features.has_native_uuid_field  # so are its dates
    return isinstance(field, BooleanField | CharField | IntegerField | TextField)
