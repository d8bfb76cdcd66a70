"""The triggers that hold the event store append-only, for the databases we run on.

PostgreSQL has row triggers only, so TRUNCATE, which the tests' flush uses, stays possible; take
that right from the role in production. SQLite drops triggers with a table: a later migration
that rebuilds the table there must call ``create`` again.
"""

from typing import Any

TABLE = "audit_storedevent"

_POSTGRESQL = (
    """
    CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the event store is append-only'; END $$
    """,
    f"""
    CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON {TABLE}
    FOR EACH ROW EXECUTE FUNCTION audit_append_only()
    """,
)
_SQLITE = tuple(
    f"""
    CREATE TRIGGER audit_no_{action.lower()} BEFORE {action} ON {TABLE}
    BEGIN SELECT RAISE(ABORT, 'the event store is append-only'); END
    """
    for action in ("UPDATE", "DELETE")
)
_DROP = {
    "postgresql": (
        f"DROP TRIGGER audit_append_only ON {TABLE}",
        "DROP FUNCTION audit_append_only()",
    ),
    "sqlite": ("DROP TRIGGER audit_no_update", "DROP TRIGGER audit_no_delete"),
}


def create(apps: Any, schema_editor: Any) -> None:
    vendor = schema_editor.connection.vendor
    for statement in _POSTGRESQL if vendor == "postgresql" else _SQLITE:
        schema_editor.execute(statement)


def drop(apps: Any, schema_editor: Any) -> None:
    for statement in _DROP[schema_editor.connection.vendor]:
        schema_editor.execute(statement)
