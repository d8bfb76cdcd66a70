"""The first page: each figure is what its link lists, and each sees their own warehouses."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from inventory import adjusting, counting, receiving, transferring
from inventory.models import Reservation, StockLevel, Warehouse, WarehouseStaff
from supplychain.home import tasks_of

from .conftest import consume, placed, stocked

pytestmark = pytest.mark.django_db


@pytest.fixture
def busy():
    """Something of everything, in York; some of it in Leeds, too."""
    stocked(A={"york": 9, "leeds": 9}, B={"york": 5})
    york, leeds = (Warehouse.objects.get(code=code) for code in ("york", "leeds"))
    consume(*[placed(n, A=1) for n in range(3)], placed(4, B=7))
    today = timezone.now().date()
    late = Reservation.objects.earliest("pk")
    Reservation.objects.filter(pk=late.pk).update(pick_on=today + timedelta(days=2))
    for level in StockLevel.objects.filter(product__sku="A"):
        why = {"reason": "wet", "actor": "ada"}
        adjusting.set_limits(level_id=level.pk, reorder_point=100, actor="ada")
        adjusting.quarantine_stock(level_id=level.pk, quantity=1, **why)
    yesterday = today - timedelta(days=1)
    for place in (york, leeds):
        counting.open_count(warehouse=place, due_on=yesterday, actor="ada")
        for number, day in enumerate([yesterday, today]):
            receiving.expect_receipt(
                warehouse=place,
                reference=f"advice {number}",
                supplier="Smith",
                expected_on=day,
                lines=[("A", 5)],
                actor="ada",
            )
    there = {"lines": [("A", 1)], "reason": "short", "actor": "ada"}
    transferring.propose_transfer(source=york, target=leeds, **there)
    on_the_way = transferring.propose_transfer(source=leeds, target=york, **there)
    transferring.ship_transfer(transfer_id=on_the_way.pk, actor="ada")


def figures(user):
    return {t.title: t.count for tasks in tasks_of(user).values() for t in tasks}


def test_each_figure_is_what_its_link_lists(busy, admin_client, admin_user):
    found = [task for tasks in tasks_of(admin_user).values() for task in tasks]
    assert {task.title for task in found if task.count} >= {
        "Lines to pick",
        "Lines to pick later",
        "Short lines",
        "Low stock",
        "In quarantine",
        "Counts due",
        "Late inbound",
        "Inbound today",
        "Transfers to ship",
        "Transfers to receive",
    }
    for task in found:
        page = admin_client.get(task.url)
        assert page.status_code == 200, task
        assert page.context["cl"].result_count == task.count, task
    home = admin_client.get("/admin/").content.decode()
    assert all(task.title in home for task in found)


def test_staff_see_what_their_own_warehouse_has_to_do(busy):
    user = User.objects.create_user("sam", is_staff=True)
    user.groups.add(Group.objects.get(name="warehouse staff"))
    assert figures(user)["Counts due"] == 0
    WarehouseStaff.objects.create(user=user, warehouse=Warehouse.objects.get(code="leeds"))
    mine = figures(User.objects.get(pk=user.pk))
    assert mine["Counts due"] == mine["Late inbound"] == mine["Inbound today"] == 1
    assert (mine["Transfers to ship"], mine["Transfers to receive"]) == (0, 0)
    assert mine["Low stock"] == 1
    assert mine["Lines to pick"] == 0
    assert "Dead letters" not in mine


def test_who_has_no_role_is_told_whom_to_ask(client):
    client.force_login(User.objects.create_user("new", is_staff=True))
    assert "ask a supervisor" in client.get("/admin/").content.decode()
