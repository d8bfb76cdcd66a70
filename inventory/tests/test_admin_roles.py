"""Who may see and do what in the admin, and where."""

from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from inventory import access, counting, receiving, transferring
from inventory.models import (
    Receipt,
    RegionExclusion,
    Reservation,
    SourcingRule,
    StockImport,
    StockLevel,
    StockMovement,
    Warehouse,
    WarehouseStaff,
)

from .conftest import consume, order, placed, stocked, warehouse

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
TODAY = timezone.now().date()
SUPERUSER = "superuser"
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label_lower)


def somebody(role, *codes):
    user = User.objects.create_user(f"{role} {User.objects.count()}", is_staff=True)
    if role == SUPERUSER:
        user.is_superuser = True
        user.save()
    elif role:
        user.groups.add(Group.objects.get(name=role))
    for code in codes:
        WarehouseStaff.objects.create(user=user, warehouse=Warehouse.objects.get(code=code))
    return user


@pytest.fixture
def works(client):
    def log_in(role, *codes):
        client.force_login(somebody(role, *codes))
        return client

    return log_in


def world():
    """Stock and one of each piece of paperwork in York and in Leeds."""
    busy_day(1, "S0", "S1")
    york = Warehouse.objects.get(code="york")
    StockImport.objects.create(reference="file", started_by="x")
    SourcingRule.objects.create(channel="web")
    RegionExclusion.objects.create(warehouse=york, country="BR")


def busy_day(number, *skus):
    stocked(**{sku: {"york": 10, "leeds": 10} for sku in skus})
    consume(*[placed(10 * number + n, **{sku: 11}) for n, sku in enumerate(skus)])
    york, leeds = Warehouse.objects.get(code="york"), Warehouse.objects.get(code="leeds")
    announced = {"reference": f"PO {number}", "supplier": "", "expected_on": TODAY, "actor": "x"}
    lines = [(sku, 1) for sku in skus]
    for home, other in ((york, leeds), (leeds, york)):
        receiving.expect_receipt(warehouse=home, lines=lines, **announced)
        transferring.propose_transfer(source=home, target=other, lines=lines, reason="", actor="x")
        counting.open_count(warehouse=home, due_on=TODAY, actor="x")


# --- which warehouses ---------------------------------------------------------------------


def test_here_stands_who_works_where():
    stocked(A={"york": 1, "leeds": 1, "london": 1})
    mine = {
        role: {row.code for row in access.warehouses_of(somebody(role, "york", "leeds"))}
        for role in ("", *access.ROLES, SUPERUSER)
    }
    named, everywhere = {"york", "leeds"}, {"york", "leeds", "london"}
    local = ("", "warehouse staff", "operators", "dispatchers", "drivers")
    assert mine == {
        **dict.fromkeys(local, named),
        **dict.fromkeys(("supervisors", "auditors", SUPERUSER), everywhere),
    }
    assert not access.warehouses_of(AnonymousUser()).exists()
    assert not access.warehouses_of(somebody("warehouse staff")).exists()
    rows = access.theirs(somebody("", "york"), StockLevel.objects.all(), "warehouse")
    assert [row.warehouse.code for row in rows] == ["york"]


def test_roles_have_the_rights_that_stand_here_and_no_others():
    group = Group.objects.get(name="auditors")
    before = set(group.permissions.values_list("pk", flat=True))
    assert not group.permissions.exclude(codename__startswith="view_").exclude(
        codename="all_warehouses"
    )
    group.permissions.add(Permission.objects.get(codename="change_stocklevel"))
    group.permissions.remove(Permission.objects.get(codename="view_stocklevel"))
    own = Group.objects.create(name="our own")
    own.permissions.add(Permission.objects.get(codename="change_stocklevel"))
    access.grant_rights(apps.get_app_config("inventory"))
    assert set(group.permissions.values_list("pk", flat=True)) == before
    assert own.permissions.count() == 1


# --- every page ---------------------------------------------------------------------------


@pytest.mark.parametrize("role", [*access.ROLES, SUPERUSER])
def test_every_list_opens_for_those_who_may_see_it(works, role):
    world()
    client = works(role, "york", "leeds")
    user = User.objects.latest("pk")
    for model in MODELS:
        meta = model._meta
        address = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
        may = any(
            user.has_perm(f"{meta.app_label}.{do}_{meta.model_name}") for do in ("view", "change")
        )
        assert client.get(address).status_code == (200 if may else 403), address
    assert client.get(reverse("admin:index")).status_code == 200


@pytest.mark.parametrize("role", [*access.ROLES, SUPERUSER])
def test_every_page_of_a_row_opens_for_those_who_may_see_it(works, role):
    world()
    client = works(role, "york", "leeds")
    user = User.objects.latest("pk")
    for model in MODELS:
        row, meta = model._default_manager.first(), model._meta
        if row is None or meta.app_label != "inventory":
            continue
        may = user.has_perm(f"inventory.view_{meta.model_name}")
        if meta.model_name == "stockimport":  # somebody else's file
            may = may and user.has_perm(access.EVERYWHERE)
        address = reverse(f"admin:inventory_{meta.model_name}_change", args=[row.pk])
        assert (client.get(address).status_code == 200) == may, address


LISTS = [
    *("stocklevel", "stockmovement", "reservation", "backorder", "allocation"),
    *("receipt", "transfer", "cyclecount", "product", "warehouse"),
]


@pytest.mark.parametrize("name", LISTS)
def test_lists_take_as_many_statements_however_long_they_are(works, name):
    world()
    client = works("warehouse staff", "york", "leeds")
    address = reverse(f"admin:inventory_{name}_changelist")
    few = _statements(client, address)
    busy_day(2, *(f"S{n}" for n in range(6)))
    assert _statements(client, address) == few


@pytest.mark.parametrize("name", ["stocklevel", "receipt", "transfer", "cyclecount", "product"])
def test_pages_take_as_many_statements_however_much_they_show(works, name):
    """Of a row that has got more meanwhile, and of one that had more from the beginning."""
    world()
    client = works("warehouse staff", "york", "leeds")
    rows = apps.get_model("inventory", name)._default_manager

    def page(row):
        return reverse(f"admin:inventory_{name}_change", args=[row.pk])

    first = rows.earliest("pk")
    few = _statements(client, page(first))
    busy_day(2, *(f"S{n}" for n in range(6)))
    assert _statements(client, page(first)) == few
    assert _statements(client, page(rows.latest("pk"))) == few


def _statements(client, address):
    client.get(address)  # what is looked up once per process is known
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


# --- whose is what ------------------------------------------------------------------------


def test_others_warehouses_are_not_there(works):
    """Neither in lists nor in filters nor at addresses that somebody guesses."""
    world()
    client = works("warehouse staff", "york")
    for name, path in {
        "stocklevel": "warehouse",
        "receipt": "warehouse",
        "cyclecount": "warehouse",
        "reservation": "level__warehouse",
        "stockmovement": "level__warehouse",
    }.items():
        model = apps.get_model("inventory", name)
        rows = client.get(reverse(f"admin:inventory_{name}_changelist")).context["cl"].result_list
        mine = model._default_manager.filter(**{f"{path}__code": "york"})
        assert {row.pk for row in rows} == {row.pk for row in mine}, name
        other = model._default_manager.filter(**{f"{path}__code": "leeds"}).first()
        for page in ("change", "history"):
            address = reverse(f"admin:inventory_{name}_{page}", args=[other.pk])
            assert client.get(address).status_code == 404, address
        listed = client.get(reverse(f"admin:inventory_{name}_changelist")).content.decode()
        assert "leeds" not in listed, name
    leeds = Warehouse.objects.get(code="leeds")
    assert (
        client.get(reverse("admin:inventory_warehouse_change", args=[leeds.pk])).status_code == 404
    )


def test_orders_are_seen_by_who_picks_for_them_or_may_have_to(works):
    stocked(A={"leeds": 5, "york": 0})
    warehouse("york")
    consume(placed(1, A=5))  # all of it comes from Leeds
    consume(placed(2, A=1))  # waits
    for code, seen in {"york": {order(2)}, "leeds": {order(1), order(2)}}.items():
        client = works("warehouse staff", code)
        rows = client.get(reverse("admin:inventory_allocation_changelist")).context["cl"]
        assert {row.pk for row in rows.result_list} == seen
        address = reverse("admin:inventory_allocation_change", args=[order(1)])
        assert client.get(address).status_code == (200 if order(1) in seen else 404)


def test_what_is_done_elsewhere_is_refused(works):
    world()
    client = works("warehouse staff", "york")
    before = StockMovement.objects.count()
    leeds = Warehouse.objects.get(code="leeds")
    level = StockLevel.objects.filter(warehouse=leeds).earliest("pk")
    receipt = Receipt.objects.get(warehouse=leeds)
    held = Reservation.objects.filter(level__warehouse=leeds).earliest("pk")
    tries: dict[tuple[str, object], dict[str, object]] = {
        ("stocklevel_adjust", level.pk): {"delta": 1, "reason": "x", "reference": "0" * 32},
        ("stocklevel_quarantine", level.pk): {"quantity": 1, "reason": "x"},
        ("receipt_receive", receipt.pk): {"n0-S0": 1, "reference": "n"},
        ("receipt_cancel", receipt.pk): {},
        ("cyclecount_record", leeds.counts.get().pk): {"n0-S0": 1},
        ("reservation_release", held.pk): {"reason": "x"},
    }
    for (name, pk), said in tries.items():
        address = reverse(f"admin:inventory_{name}", args=[pk])
        assert client.get(address).status_code == 404, name
        assert client.post(address, {**said, "confirmed": "1"}).status_code == 404, name
    said = {"warehouse": leeds.pk, "reference": "n", "lines": "S0 1", "confirmed": "1"}
    answer = client.post(reverse("admin:inventory_stocklevel_receive"), said)
    assert "Select a valid choice" in str(answer.context["form"].errors)
    assert StockMovement.objects.count() == before
    assert set(Receipt.objects.values_list("state", flat=True)) == {"expected"}


ACTS = [
    (model._meta.model_name, name, getattr(type(page), name).act)
    for model, page in admin.site._registry.items()
    for name in dir(type(page))
    if hasattr(getattr(type(page), name, None), "act")
]


@pytest.mark.parametrize(
    "role", ["warehouse staff", "auditors", "operators", "dispatchers", "drivers", ""]
)
def test_who_has_no_right_can_not_do_it(works, role):
    """Every act there is, by everybody who may not: neither asked nor confirmed, and no button."""
    world()
    client = works(role, "york", "leeds")
    user = User.objects.latest("pk")
    before = StockMovement.objects.count()
    assert len(ACTS) > 15
    tried = 0
    for model, name, act in ACTS:
        if user.has_perm(act.right):
            continue
        row = apps.get_model("inventory", model)._default_manager.first()
        of_none = name in admin.site._registry[type(row)].actions_list
        address = reverse(f"admin:inventory_{model}_{name}", args=[] if of_none else [row.pk])
        assert client.get(address).status_code == 403, address
        assert client.post(address, {"confirmed": "1"}).status_code == 403, address
        if user.has_perm(f"inventory.view_{model}"):
            pages = [reverse(f"admin:inventory_{model}_changelist")]
            pages.append(reverse(f"admin:inventory_{model}_change", args=[row.pk]))
            assert not any(address in client.get(page).content.decode() for page in pages)
        tried += 1
    assert tried == (2 if role == "warehouse staff" else len(ACTS))
    assert StockMovement.objects.count() == before


def test_supervisors_say_who_works_where_and_who_ships_where(works):
    world()
    client = works("supervisors")
    york = Warehouse.objects.get(code="york")
    ada = somebody("warehouse staff")
    client.post(
        reverse("admin:inventory_warehousestaff_add"), {"user": ada.pk, "warehouse": york.pk}
    )
    assert [row.code for row in access.warehouses_of(ada)] == ["york"]
    rule = SourcingRule.objects.get()
    client.post(
        reverse("admin:inventory_sourcingrule_change", args=[rule.pk]), {"policy": "nearest"}
    )
    rule.refresh_from_db()
    assert (rule.channel, rule.policy) == ("web", "nearest")
    said = {"warehouse": york.pk, "country": "ar", "region": "", "channel": ""}
    client.post(reverse("admin:inventory_regionexclusion_add"), said)
    assert RegionExclusion.objects.filter(country="AR").exists()
    row = RegionExclusion.objects.get(country="BR")
    client.post(reverse("admin:inventory_regionexclusion_delete", args=[row.pk]), {"post": "yes"})
    assert list(RegionExclusion.objects.values_list("country", flat=True)) == ["AR"]
    product = reverse("admin:inventory_product_add")
    assert client.get(product).status_code == 200
    assert works("warehouse staff", "york").get(product).status_code == 403


def test_the_first_page_counts_what_is_theirs(works):
    world()
    Receipt.objects.filter(warehouse__code="leeds").update(expected_on=TODAY - timedelta(days=1))

    def late(client):
        tasks = client.get(reverse("admin:index")).context["to_do"]["Warehouse"]
        return next(task.count for task in tasks if task.title == "Late inbound")

    assert late(works("warehouse staff", "york")) == 0
    assert late(works("warehouse staff", "leeds")) == 1
    assert late(works("supervisors")) == 1
