"""The admin's lists, and its pages of products and warehouses."""

import pytest

from inventory.events import ProductChanged, WarehouseChanged
from inventory.models import Allocation, Product, Reservation, StockLevel, Warehouse

from .conftest import consume, levels, order, placed, product, stocked, told, warehouse

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
BASE = "/admin/inventory/"
PLACE = {
    **{"code": "york", "name": "York", "latitude": "53.96", "longitude": "-1.08", "active": "on"},
    **{"priority": "0", "time_zone": "Europe/London", "handling_cost": "0", "cost_per_km": "0"},
    "count_every_days": "90",
}
THING = {
    **{"sku": "A", "name": "a thing", "weight_kg": "2.5", "volume_m3": "0.01", "active": "on"},
    "storage_class": "ambient",
}


# --- products and warehouses --------------------------------------------------------------


def test_a_warehouse_is_made_and_changed_through_its_service(admin_client):
    admin_client.post(BASE + "warehouse/add/", PLACE)
    row = Warehouse.objects.get()
    admin_client.post(f"{BASE}warehouse/{row.pk}/change/", {**PLACE, "name": "York North"})
    admin_client.post(f"{BASE}warehouse/{row.pk}/change/", {**PLACE, "name": "York North"})
    events = told(WarehouseChanged)
    assert [(e.code, e.name) for e in events] == [("york", "York"), ("york", "York North")]
    assert [e.envelope.sequence for e in events] == [1, 2]
    row.refresh_from_db()
    assert (row.name, row.event_sequence) == ("York North", 2)


def test_a_product_is_made_and_changed_through_its_service(admin_client):
    admin_client.post(BASE + "product/add/", THING)
    row = Product.objects.get()
    admin_client.post(f"{BASE}product/{row.pk}/change/", {**THING, "sku": "B", "weight_kg": "3"})
    events = told(ProductChanged)
    assert [(e.sku, e.weight_kg) for e in events] == [("A", 2.5), ("A", 3.0)]
    row.refresh_from_db()
    assert row.sku == "A"  # a key doesn't change


@pytest.mark.parametrize(
    ("page", "fields", "wrong"),
    [
        ("warehouse", {**PLACE, "code": "not a slug"}, "code"),
        ("warehouse", {**PLACE, "code": "leeds"}, "code"),
        ("warehouse", {**PLACE, "latitude": "91"}, "latitude"),
        ("warehouse", {**PLACE, "longitude": "-181"}, "longitude"),
        ("warehouse", {**PLACE, "latitude": "nan"}, "latitude"),
        ("product", {**THING, "sku": "TAKEN"}, "sku"),
        ("product", {**THING, "weight_kg": "-1"}, "weight_kg"),
        ("product", {**THING, "volume_m3": "-1"}, "volume_m3"),
    ],
)
def test_what_can_not_be_is_refused(admin_client, page, fields, wrong):
    warehouse("leeds")
    product("TAKEN")
    before = (Warehouse.objects.count(), Product.objects.count())
    answer = admin_client.post(f"{BASE}{page}/add/", fields)
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors
    assert wrong in answer.context["adminform"].form.errors
    assert (Warehouse.objects.count(), Product.objects.count()) == before


def test_products_and_warehouses_are_never_deleted(admin_client):
    row = warehouse()
    assert (
        admin_client.post(f"{BASE}warehouse/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    )


# --- stock --------------------------------------------------------------------------------


def test_stock_is_not_edited_by_hand(admin_client):
    stocked(A={"york": 5})
    row = StockLevel.objects.get()
    for page in (f"stocklevel/{row.pk}/change/", "stocklevel/add/", "stockmovement/add/"):
        assert admin_client.post(BASE + page, {"on_hand": 99}).status_code == 403
    assert levels("A") == {"york": (5, 0)}


def test_strangers_are_sent_to_the_login(client):
    stocked(A={"york": 5})
    level = StockLevel.objects.get()
    for page in ("stocklevel/receive/", f"stocklevel/{level.pk}/adjust/"):
        said = {"delta": 1, "reason": "x", "confirmed": "1"}
        assert client.post(BASE + page, said).url.startswith("/admin/login/")
    assert levels("A") == {"york": (5, 0)}


@pytest.mark.parametrize(
    ("page", "queries"),
    [
        ("stocklevel", {"": 2, "?availability=no": 1, "?availability=yes": 1, "?q=A": 1}),
        ("stockmovement", {"": 2, "?reason__exact=receipt": 2, "?q=B": 1}),
        ("reservation", {"": 2, "?state__exact=held": 2, "?q=A": 1}),
        ("backorder", {"": 1, "?q=B": 0, "?q=A": 1}),
        ("allocation", {"": 1, f"?q={order(1)}": 1, "?q=nonsense": 0}),
        ("product", {"": 2, "?q=B": 1}),
        ("warehouse", {"": 1, "?active__exact=0": 0}),
    ],
)
def test_everything_is_listed_filtered_and_searched(admin_client, page, queries):
    stocked(A={"york": 2}, B={"york": 5})
    consume(placed(1, A=3, B=1))
    for query, count in queries.items():
        answer = admin_client.get(f"{BASE}{page}/{query}")
        assert answer.status_code == 200
        assert len(answer.context["cl"].result_list) == count, query


def test_the_pages_of_single_rows_show_what_belongs_to_them(admin_client):
    stocked(A={"york": 2})
    consume(placed(1, A=3))
    level, allocation = StockLevel.objects.get(), Allocation.objects.get()
    page = admin_client.get(f"{BASE}stocklevel/{level.pk}/change/").content.decode()
    assert ">+2<" in page
    assert str(Reservation.objects.get().shipment_id) in page
    page = admin_client.get(f"{BASE}allocation/{allocation.pk}/change/").content.decode()
    assert "2 of A in york (held)" in page
    assert "1 × A" in page
