"""While a new version is rolled out, processes of the old one go on: they name no new columns."""

import pytest
from django.db import connection
from django.forms.models import model_to_dict

from routing.models import PlanRun, Shipment

from .conftest import make_depot, make_shipments, plan

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("model", "new"), [(Shipment, {"goods": []}), (PlanRun, {"died": False, "in_vain": False})]
)
def test_a_row_that_an_old_process_inserts_is_taken(model, new):
    depot = make_depot()
    make_shipments(1)
    plan(depot)
    row = model.objects.get()
    assert new.keys() <= model_to_dict(row).keys()
    names = [f.column for f in model._meta.concrete_fields if f.column not in {*new, "id"}]
    said = ", ".join(connection.ops.quote_name(name) for name in names)
    table, key = model._meta.db_table, model._meta.pk
    given = said.replace('"shipment_id"', "gen_random_uuid()")
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({said}) SELECT {given} FROM {table} RETURNING {key.column}"
        )
        (pk,) = cursor.fetchone()
    inserted = model.objects.get(pk=pk)
    assert pk != row.pk
    assert {name: getattr(inserted, name) for name in new} == new


def test_what_is_not_yet_saved_has_its_values():
    assert (Shipment().goods, PlanRun().died, PlanRun().in_vain) == ([], False, False)
