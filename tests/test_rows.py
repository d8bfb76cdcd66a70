"""rows.insert(): the same rows as bulk_create makes."""

from datetime import date

import pytest
from django.db import IntegrityError, connection, transaction
from django.forms.models import model_to_dict
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from inventory.models import Allocation, Product, Reservation, StockLevel, Warehouse
from supplychain import rows
from supplychain.events.context import new_id
from supplychain.events.models import OutboxEvent

pytestmark = pytest.mark.django_db


def outbox(number):
    return OutboxEvent(
        event_id=new_id(),
        event_type="x.y",
        producer="x",
        subject=f"thing/{number}",
        envelope='{"a": "%s", "b": "O\'Neill 😀"}',
        not_before=timezone.now() if number % 2 else None,
    )


def allocation():
    return Allocation(
        order_id=new_id(),
        wanted={"A": 2, "%s": 1},
        destination={"city": "São Paulo", "latitude": -23.5},
        placed_at=timezone.now(),
        correlation_id="x",
    )


def _written(kind, key, row):
    return model_to_dict(kind.objects.get(**{key: getattr(row, key)}))


@pytest.mark.parametrize(
    ("make", "key"), [(lambda: outbox(1), "event_id"), (allocation, "order_id")]
)
def test_the_same_as_bulk_create(make, key):
    row, kind = make(), type(make())
    before = timezone.now()
    rows.insert([row])
    mine = _written(kind, key, row)
    kind.objects.all().delete()
    kind.objects.bulk_create([row])
    theirs = _written(kind, key, row)
    assert mine.pop("id", 0) != theirs.pop("id", 1)
    assert mine == theirs
    if kind is OutboxEvent:
        assert before <= OutboxEvent.objects.get().created_at <= timezone.now()


def test_in_order_and_in_few_statements():
    with CaptureQueriesContext(connection) as captured:
        rows.insert([outbox(n) for n in range(2500)])
    assert len(captured) == 3
    subjects = OutboxEvent.objects.order_by("id").values_list("subject", flat=True)
    assert list(subjects) == [f"thing/{n}" for n in range(2500)]


def test_keys_enums_days_and_nothing():
    place = Warehouse.objects.create(code="x", name="x", latitude=1, longitude=1)
    thing = Product.objects.create(sku="A", name="A", weight_kg=1, volume_m3=1)
    level = StockLevel.objects.create(warehouse=place, product=thing)
    order = allocation()
    order.save()
    row = Reservation(
        shipment_id=new_id(),
        allocation=order,
        level=level,
        quantity=3,
        state=Reservation.State.COMMITTED,
        pick_on=date(2026, 5, 4),
    )
    rows.insert([row])
    rows.insert([])
    found = Reservation.objects.get()
    assert (found.pk, found.level_id, found.allocation_id) == (row.pk, level.pk, order.pk)
    assert (found.state, found.pick_on, found.expires_at) == ("committed", date(2026, 5, 4), None)


def test_what_the_database_refuses_is_refused():
    row = outbox(1)
    rows.insert([row])
    with pytest.raises(IntegrityError), transaction.atomic():
        rows.insert([outbox(2), row])
    assert OutboxEvent.objects.count() == 1


def test_what_is_there_stays_as_it_is_and_what_is_new_is_named():
    first, second = allocation(), allocation()
    first.save()
    again = allocation()
    again.pk, again.channel = first.pk, "another"
    assert rows.insert_new([again, second]) == {second.pk}
    assert rows.insert_new([again, second]) == set()
    assert Allocation.objects.get(pk=first.pk).channel == first.channel
    assert rows.insert_new([]) == set()
