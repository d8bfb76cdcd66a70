"""On PostgreSQL the database itself refuses to change or delete a line of the ledger."""

from django.db import migrations

CREATE = """
CREATE FUNCTION inventory_ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The stock ledger is append-only: book a movement that corrects it.';
END $$;
CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE ON inventory_stockmovement
    FOR EACH ROW EXECUTE FUNCTION inventory_ledger_is_append_only();
"""
DROP = """
DROP TRIGGER ledger_is_append_only ON inventory_stockmovement;
DROP FUNCTION inventory_ledger_is_append_only();
"""


def _on_postgresql(sql):
    def run(apps, schema_editor):
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(sql)

    return run


class Migration(migrations.Migration):
    dependencies = [("inventory", "0003_a_real_warehouse")]
    operations = [migrations.RunPython(_on_postgresql(CREATE), _on_postgresql(DROP))]
