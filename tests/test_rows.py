"""rows.insert() and rows.update(): the same rows as bulk_create and bulk_update make."""

from datetime import date

import pytest
from django.db import DataError, IntegrityError, connection, transaction
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


def reservations(count):
    place = Warehouse.objects.create(code="x", name="x", latitude=1, longitude=1)
    things = [Product(sku=f"{n}", name="A", weight_kg=1, volume_m3=1) for n in range(count)]
    Product.objects.bulk_create(things)
    levels = [StockLevel(warehouse=place, product=thing) for thing in things]
    StockLevel.objects.bulk_create(levels)
    order = allocation()
    order.save()
    made = [
        Reservation(shipment_id=new_id(), allocation=order, level=level, quantity=3)
        for level in levels
    ]
    Reservation.objects.bulk_create(made)
    return made


def changed(row, n):
    """Something of each kind, and some of it nothing."""
    row.quantity, row.state = n, Reservation.State.COMMITTED
    row.shipment_id = new_id()
    row.pick_on = date(2026, 5, 4) if n % 2 else None
    row.expires_at = timezone.now() if n % 3 else None
    return row


def test_the_same_as_bulk_update():
    made = reservations(7)
    for n, row in enumerate(made):
        changed(row, n + 1)
    names = ["quantity", "state", "shipment_id", "pick_on", "expires_at"]
    rows.update(made[:-1], names)
    mine = [model_to_dict(row) for row in Reservation.objects.order_by("pk")]
    Reservation.objects.bulk_update(made[:-1], names)
    assert mine == [model_to_dict(row) for row in Reservation.objects.order_by("pk")]
    assert {row["quantity"] for row in mine} == {1, 2, 3, 4, 5, 6}
    assert mine[-1]["state"] == "held", "who is not named stays"


def test_no_other_field_is_touched_and_nothing_is_nothing():
    (row,) = reservations(1)
    changed(row, 5)
    rows.update([row], ["quantity"])
    found = Reservation.objects.get()
    assert (found.quantity, found.state, found.pick_on) == (5, "held", None)
    assert found.shipment_id != row.shipment_id
    rows.update([], ["quantity"])


def test_floats_words_documents_and_keys_are_updated():
    made = [allocation(), allocation()]
    Allocation.objects.bulk_create(made)
    for row in made:
        row.wanted, row.destination = {"B": 1}, {"city": "50 % of O'Neill 😀", "latitude": 1.5}
        row.correlation_id = "%s"
    rows.update(made, ["wanted", "destination", "correlation_id"])
    for found in Allocation.objects.all():
        assert (found.wanted, found.correlation_id) == ({"B": 1}, "%s")
        assert found.destination == made[0].destination
    place = Warehouse.objects.create(code="x", name="x", latitude=1, longitude=1)
    place.latitude, place.name = 2.25, "y"
    rows.update([place], ["latitude", "name"])
    place.refresh_from_db()
    assert (place.latitude, place.name, place.longitude) == (2.25, "y", 1)


def test_what_is_too_long_is_refused_and_not_cut():
    place = Warehouse.objects.create(code="x", name="x", latitude=1, longitude=1)
    place.name = "y" * 5000
    with pytest.raises(DataError), transaction.atomic():
        rows.update([place], ["name"])


def test_many_are_updated_in_few_statements():
    made = [outbox(n) for n in range(2500)]
    OutboxEvent.objects.bulk_create(made)
    for row in made:
        row.subject = f"other/{row.event_id}"
    with CaptureQueriesContext(connection) as captured:
        rows.update(made, ["subject"])
    assert len(captured) == 3
    assert all(row.subject == f"other/{row.event_id}" for row in OutboxEvent.objects.all())
