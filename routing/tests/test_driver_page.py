"""Whose route is whose, on the driver's pages and in the API."""

import json
import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.staticfiles import finders
from django.urls import reverse

from inventory import staffing
from routing import driver_page, drivers, driving
from routing.drivers import NoDriver
from routing.models import Depot, Route, Shipment, Vehicle

from .conftest import cancelled, data_of, hear, planned_route, state, stop_of, told

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
API = "/api/v1"


def somebody(name, role="drivers", staff=False):
    user = User.objects.create_user(name, password=name, is_staff=staff)
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


@pytest.fixture
def ann():
    return somebody("ann")


@pytest.fixture
def route(ann):
    """Two stops, today, with the van that Ann drives."""
    made = planned_route(2)
    Vehicle.objects.filter(pk=made.vehicle_id).update(driver=ann)
    return made


@pytest.fixture
def driver(client, ann):
    client.force_login(ann)
    return client


def dispatcher(client):
    client.force_login(somebody("dora", "dispatchers", staff=True))
    return client


def call(client, method, path, body=None):
    kwargs = {"data": body or {}, "content_type": "application/json"} if method == "post" else {}
    response = getattr(client, method)(f"{API}/{path}", **kwargs)
    return response.status_code, response.json() if response.content else None


def page_data(response):
    found = re.search(
        r'<script id="page" type="application/json">(.*?)</script>', response.content.decode()
    )
    assert found
    return json.loads(found[1])


def listed(client):
    return [row.pk for row in client.get("/drive/").context["routes"]]


# --- the pages ----------------------------------------------------------------------------


def test_a_driver_logs_in_on_their_own_page_and_comes_to_their_routes(client, route):
    asked = client.get("/drive/", follow=True)
    assert asked.redirect_chain == [("/drive/login/?next=/drive/", 302)]
    assert "django administration" not in asked.content.decode().lower()
    said = {"username": "ann", "password": "wrong", "next": f"/drive/{route.pk}/"}
    refused = client.post("/drive/login/", said)
    assert (
        refused.status_code == 200 and "correct username and password" in refused.content.decode()
    )
    came = client.post("/drive/login/", {**said, "password": "ann"})
    assert came["Location"] == f"/drive/{route.pk}/"
    assert listed(client) == [route.pk]
    client.post("/drive/logout/")
    assert client.get("/drive/").status_code == 302


def test_of_the_days_to_come_a_driver_knows_when_they_leave_and_no_more(driver, route):
    later = route.starts_at + timedelta(days=1)
    times = {"starts_at": later, "ends_at": route.ends_at + timedelta(days=1)}
    Route.objects.update(day=route.day + timedelta(days=1), **times)
    shown = driver.get("/drive/")
    assert listed(driver) == [] and "No route today" in shown.content.decode()
    assert [row.pk for row in shown.context["ahead"]] == [route.pk]
    assert f"leaves {later:%H:%M}" in shown.content.decode()
    assert "2 stops by now; it may still change" in shown.content.decode()
    assert driver.get(f"/drive/{route.pk}/").status_code == 404
    Vehicle.objects.update(driver=somebody("bob"))
    assert not driver.get("/drive/").context["ahead"]


def test_the_page_has_all_that_the_route_needs(driver, route):
    stop = stop_of(1)
    Shipment.objects.filter(pk=stop.shipment_id).update(customer="<b>Eve</b> & Sons")
    response = driver.get(f"/drive/{route.pk}/")
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    page = page_data(response)
    shown = next(row for row in page["route"]["stops"] if row["id"] == str(stop.pk))
    assert shown["customer"] == "<b>Eve</b> & Sons"
    assert (shown["weight_kg"], shown["items"]) == (5.0, 1)
    assert shown["goods"] == [{"sku": "A", "quantity": 1}]
    assert {"address", "latitude", "window_from", "window_until", "eta", "recalled"} <= set(shown)
    assert (page["zone"], page["mayStart"]) == ("UTC", True)
    assert b"<b>Eve" not in response.content
    assert b"http://" not in response.content and b"https://" not in response.content


def test_the_list_says_how_far_each_route_is(driver, route):
    driving.dispatch_route(route_id=route.pk)
    driving.deliver_stop(stop_id=stop_of(1).pk)
    assert "1 of 2 stops done" in driver.get("/drive/").content.decode()


def test_what_is_done_stands_last(driver, route):
    copy = Route(
        depot=route.depot,
        run=route.run,
        vehicle=route.vehicle,
        day=route.day,
        state=Route.State.COMPLETED,
        starts_at=route.starts_at - timedelta(hours=3),
        ends_at=route.starts_at,
        distance_km=1,
        load_kg=1,
        load_m3=0,
    )
    copy.save()
    assert listed(driver) == [route.pk, copy.pk]


@pytest.mark.parametrize("role", ["", "warehouse staff", "auditors"])
def test_who_has_nothing_to_drive_is_told_so(client, route, role):
    client.force_login(somebody("bob", role, staff=True))
    for path in ("/drive/", f"/drive/{route.pk}/"):
        answer = client.get(path)
        assert answer.status_code == 403
        assert "not known as a driver" in answer.content.decode()
        assert "Customer" not in answer.content.decode()


def test_dispatchers_open_any_drivers_page(client, route):
    dispatcher(client)
    assert listed(client) == [route.pk]
    answer = client.get(f"/drive/{route.pk}/")
    assert answer.status_code == 200
    assert "Who drives this route" in answer.content.decode()


def test_the_service_worker_keeps_the_files_that_are_there(client):
    answer = client.get("/drive/worker.js")
    assert answer["Content-Type"].startswith("text/javascript")
    assert answer["Cache-Control"] == "no-cache"
    found = re.search(r"const FILES = (\[.*?\]);", answer.content.decode())
    files = json.loads(found[1] if found else "[]")
    assert "/static/routing/driver/route.js" in files and len(files) > 5
    for file in files:
        assert finders.find(file.removeprefix("/static/")), file


def test_another_version_of_a_file_is_another_worker(monkeypatch, tmp_path):
    (tmp_path / "worker.js").write_text("1")
    (tmp_path / "a.css").write_text("a")
    monkeypatch.setattr(driver_page, "_FILES", tmp_path)
    before = driver_page._worker.__wrapped__()
    (tmp_path / "a.css").write_text("b")
    assert driver_page._worker.__wrapped__().splitlines()[0] != before.splitlines()[0]


# --- whose route it is ---------------------------------------------------------------------


def test_what_is_driven_by_somebody_else_is_not_there(client, route):
    other = somebody("bob")
    client.force_login(other)
    assert listed(client) == []
    assert client.get(f"/drive/{route.pk}/").status_code == 404
    assert call(client, "get", "routes/")[1]["results"] == []
    driving.dispatch_route(route_id=route.pk)
    before = told()
    stop, said = stop_of(1).pk, {"reason": "x"}
    answers = [
        call(client, "get", f"routes/{route.pk}/"),
        call(client, "get", f"routes/{route.pk}/next-stop/"),
        call(client, "post", f"routes/{route.pk}/dispatch/"),
        call(client, "post", f"stops/{stop}/deliver/"),
        call(client, "post", f"stops/{stop}/fail/", said),
    ]
    assert {status for status, _ in answers} == {404}
    assert told() == before


def test_a_route_that_is_given_to_another_is_theirs_alone(driver, client, route):
    bob = somebody("bob")
    drivers.give_route(route_id=route.pk, username="bob")
    assert listed(driver) == []
    assert driver.get(f"/drive/{route.pk}/").status_code == 404
    client.force_login(bob)
    assert listed(client) == [route.pk]
    drivers.give_route(route_id=route.pk, username=None)
    assert listed(client) == []


def test_what_another_day_brings_is_not_shown_but_what_is_still_on_the_road_is(driver, route):
    tomorrow = route.day + timedelta(days=1)
    Route.objects.update(day=tomorrow)
    assert listed(driver) == []
    assert driver.get(f"/drive/{route.pk}/").status_code == 404
    assert call(driver, "get", f"routes/{route.pk}/")[0] == 404
    Route.objects.update(day=route.day - timedelta(days=1))
    assert listed(driver) == [route.pk]  # the night shift, a little late
    driving.dispatch_route(route_id=route.pk)
    assert listed(driver) == [route.pk]
    driving.complete_route(route_id=route.pk)
    assert listed(driver) == []
    Route.objects.update(day=route.day)
    assert listed(driver) == [route.pk]
    Route.objects.update(state=Route.State.WITHDRAWN)
    assert listed(driver) == []


@pytest.mark.parametrize(
    ("zone", "shown"), [("Pacific/Auckland", True), ("America/New_York", False)]
)
def test_today_is_the_day_at_the_depot(driver, route, monkeypatch, zone, shown):
    """At 20:00 in London it is tomorrow in Auckland, and still today in New York."""
    Depot.objects.update(time_zone=zone)
    Route.objects.update(day="2026-03-02")
    monkeypatch.setattr(drivers.timezone, "now", lambda: datetime(2026, 3, 1, 20, tzinfo=UTC))
    assert (listed(driver) == [route.pk]) == shown


def test_nobody_drives_without_the_right_whatever_their_vehicle(client, route):
    User.objects.get(username="ann").groups.clear()
    client.force_login(User.objects.get(username="ann"))
    assert client.get("/drive/").status_code == 403
    assert call(client, "get", f"routes/{route.pk}/")[0] == 403
    driving.dispatch_route(route_id=route.pk)
    assert call(client, "post", f"stops/{stop_of(1).pk}/deliver/")[0] == 403


# --- what a driver does --------------------------------------------------------------------


def test_a_drivers_day_through_the_api(driver, route):
    assert [row["id"] for row in call(driver, "get", "routes/")[1]["results"]] == [str(route.pk)]
    status, shown = call(driver, "post", f"routes/{route.pk}/dispatch/")
    assert (status, shown["state"], shown["driver"]) == (200, "dispatched", "ann")
    first = call(driver, "get", f"routes/{route.pk}/next-stop/")[1]["id"]
    assert call(driver, "post", f"stops/{first}/deliver/", {"proof_name": "Eve"})[0] == 200
    second = call(driver, "get", f"routes/{route.pk}/next-stop/")[1]["id"]
    status, shown = call(driver, "post", f"stops/{second}/fail/", {"reason": "nobody there"})
    assert (status, shown["state"]) == (200, "completed")
    assert data_of("stop_delivered")[0]["proof_name"] == "Eve"


def test_drivers_change_nothing_else(driver, route):
    Vehicle.objects.update(driver=User.objects.get(username="ann"))
    refused = [
        call(driver, "post", "depots/mill/plan/"),
        call(driver, "post", f"routes/{route.pk}/freeze/"),
        call(driver, "post", f"routes/{route.pk}/thaw/"),
        call(driver, "post", f"routes/{route.pk}/driver/", {"driver": "ann"}),
        call(driver, "post", f"stops/{stop_of(1).pk}/move/", {"route": str(route.pk)}),
        call(driver, "get", "plans/"),
        call(driver, "get", f"depots/mill/days/{route.day}/"),
        call(driver, "get", "routing/alerts/"),
    ]
    assert {status for status, _ in refused} == {403}
    assert driver.post(f"/drive/{route.pk}/driver/", {"driver": ""}).status_code == 403


def test_who_may_not_start_waits_for_the_dispatcher(driver, route):
    group = Group.objects.get(name="drivers")
    group.permissions.remove(group.permissions.get(codename="start_route"))
    try:
        assert page_data(driver.get(f"/drive/{route.pk}/"))["mayStart"] is False
        assert call(driver, "post", f"routes/{route.pk}/dispatch/")[0] == 403
        assert state() == "planned"
    finally:
        group.permissions.add(*_start_right())


def _start_right():
    from django.contrib.auth.models import Permission

    return Permission.objects.filter(codename="start_route")


def test_an_answer_that_is_sent_again_the_next_day_is_found(driver, route):
    driving.dispatch_route(route_id=route.pk)
    driving.deliver_stop(stop_id=stop_of(1).pk)
    said = {"proof_name": "Eve", "reference": str(uuid4())}
    assert call(driver, "post", f"stops/{stop_of(2).pk}/deliver/", said)[0] == 200
    Route.objects.update(day=route.day - timedelta(days=1))
    assert call(driver, "get", f"routes/{route.pk}/")[0] == 404
    before = told()
    assert call(driver, "post", f"stops/{stop_of(2).pk}/deliver/", said)[0] == 200
    other = {**said, "reference": str(uuid4())}
    assert call(driver, "post", f"stops/{stop_of(2).pk}/deliver/", other)[0] == 409
    assert told() == before


def test_a_cancelled_order_is_shown_and_not_handed_over(driver, route):
    driving.dispatch_route(route_id=route.pk)
    hear(cancelled(1))
    page = page_data(driver.get(f"/drive/{route.pk}/"))
    assert [row["recalled"] for row in page["route"]["stops"]].count(True) == 1
    status, body = call(driver, "post", f"stops/{stop_of(1).pk}/deliver/", {"proof_name": "Eve"})
    assert status == 409 and "bring it back" in body["errors"][0]["reason"]
    assert (
        call(driver, "post", f"stops/{stop_of(1).pk}/fail/", {"reason": page["recalled"]})[0] == 200
    )
    assert state(1) == "returned"


# --- who gives routes to whom --------------------------------------------------------------


def test_who_may_not_drive_is_given_nothing(client, route):
    answer = dispatcher(client).post(f"/drive/{route.pk}/driver/", {"driver": "nobody"})
    assert answer.status_code == 409
    assert "give them the role first" in answer.content.decode()


def test_a_dispatcher_sees_who_drives_and_the_way_back_to_the_plan(client, route, ann):
    dispatcher(client)
    shown = client.get(f"/drive/{route.pk}/").content.decode()
    assert "Driven by <b>ann</b>" in shown
    assert f'href="/admin/plan/mill/{route.day}/"' in shown
    Vehicle.objects.update(driver=None)
    assert "Nobody is known to drive" in client.get(f"/drive/{route.pk}/").content.decode()
    client.force_login(ann)
    drivers.give_route(route_id=route.pk, username="ann")
    assert "/admin/" not in client.get(f"/drive/{route.pk}/").content.decode()


def test_a_dispatcher_gives_a_route_to_somebody(client, route):
    dispatcher(client)
    somebody("bob")
    address = f"routes/{route.pk}/driver/"
    assert call(client, "post", address, {"driver": "bob"})[1]["driver"] == "bob"
    assert call(client, "post", address, {"driver": None})[1]["driver"] == "ann"
    status, body = call(client, "post", address, {"driver": "dora"})
    assert status == 409 and "give them the role first" in body["errors"][0]["reason"]
    status, body = call(client, "post", address, {})
    assert status == 400 and body["errors"][0]["field"] == "driver"
    assert client.post(f"/drive/{route.pk}/driver/", {"driver": "bob"}).status_code == 302
    assert Route.objects.filter(driver__username="bob").exists()
    client.post(f"/drive/{route.pk}/driver/", {"driver": ""})
    assert Route.objects.get().driver is None
    with pytest.raises(NoDriver):
        drivers.give_route(route_id=route.pk, username="nobody")


def test_a_driver_who_leaves_leaves_their_routes_behind(route):
    User.objects.get(username="ann").delete()
    route.refresh_from_db()
    assert (route.driver, Vehicle.objects.get(pk=route.vehicle_id).driver) == (None, None)


def test_drivers_are_made_by_command_and_see_no_admin(client):
    ann, _ = staffing.employ(username="amy", role="drivers", password="a long enough one")
    assert not ann.is_staff
    assert list(drivers.all_drivers()) == [ann]
    client.force_login(ann)
    assert client.get(reverse("admin:index")).status_code == 302
    dora, _ = staffing.employ(username="dora", role="dispatchers", password="a long enough one")
    assert (
        dora.is_staff
        and dora.has_perm(drivers.CHANGE)
        and not dora.has_perm("inventory.view_stocklevel")
    )


# --- and the API for all others -------------------------------------------------------------


@pytest.mark.parametrize("role", ["warehouse staff", "operators"])
def test_staff_without_a_right_in_routing_neither_see_nor_change_routes(client, route, role):
    client.force_login(somebody("bob", role, staff=True))
    assert call(client, "get", "routes/")[0] == 403
    assert call(client, "get", f"routes/{route.pk}/")[0] == 403
    assert call(client, "post", f"routes/{route.pk}/dispatch/")[0] == 403
    assert call(client, "post", "depots/mill/plan/")[0] == 403


@pytest.mark.parametrize("role", ["supervisors", "auditors"])
def test_who_may_look_may_only_look(client, route, role):
    client.force_login(somebody("bob", role, staff=True))
    assert call(client, "get", f"routes/{route.pk}/")[0] == 200
    assert call(client, "get", "plans/")[0] == 200
    assert call(client, "post", f"routes/{route.pk}/dispatch/")[0] == 403
    driving.dispatch_route(route_id=route.pk)
    assert call(client, "post", f"stops/{stop_of(1).pk}/deliver/")[0] == 403
    assert client.get(f"/drive/{route.pk}/").status_code == 403
