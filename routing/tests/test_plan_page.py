"""The dispatcher's plan page: who may see it, what it is drawn from, what is printed."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.contrib.staticfiles import finders
from django.urls import reverse
from django.utils import timezone

from routing import planning
from routing.asking import RunUnderWay, ask_for_plan, unanswered
from routing.comparing import compared
from routing.driving import dispatch_route, freeze_route
from routing.due import due_runs
from routing.models import Alert, Depot, Plan, PlanRun, Route, Shipment, Vehicle
from routing.moving import move_stop
from routing.plan_day import day_of_depot
from routing.tasks import plan_due_depots as tick
from routing.wording import in_words

from .conftest import (
    cancelled,
    hear,
    make_depot,
    make_shipments,
    parcel,
    plan,
    planned_route,
    reserved,
    stop_of,
)
from .test_api import API, call

pytestmark = pytest.mark.django_db(transaction=True)


def user(client, users, *rights):
    somebody = users.objects.create_user("somebody", is_staff=True)
    somebody.user_permissions.set(Permission.objects.filter(codename__in=rights))
    client.force_login(somebody)
    return somebody


def page(client, route, name="plan-of-day", query=""):
    return client.get(reverse(name, args=[route.depot.code, route.day]) + query)


def day(client, route, **headers):
    return client.get(f"{API}/depots/{route.depot.code}/days/{route.day}/", headers=headers)


# --- who may --------------------------------------------------------------------------------


def test_who_may_see_routes_sees_the_page_and_nothing_to_press(client, django_user_model):
    route = planned_route(1)
    assert page(client, route).status_code == 302  # to the log-in
    somebody = user(client, django_user_model)
    for name in ("plan-of-day", "plan-manifest"):
        assert page(client, route, name).status_code == 403
    assert client.get(reverse("plan-today")).status_code == 403
    somebody.user_permissions.set(Permission.objects.filter(codename="view_route"))
    shown = page(client, route).content.decode()
    assert "plan-now" not in re.sub(r"<script.*?</script>", "", shown, flags=re.DOTALL)
    assert config(shown)["mayChange"] is False
    assert config(shown)["urls"]["shipment"] == config(shown)["urls"]["journey"] == ""


def test_who_may_change_routes_finds_the_buttons(staff):
    route = planned_route(1)
    shown = page(staff, route).content.decode()
    assert 'id="plan-now"' in shown and config(shown)["mayChange"] is True
    assert config(shown)["urls"]["shipment"]


def config(shown):
    found = re.search(r'<script id="plan-config" type="application/json">(.*?)</script>', shown)
    assert found
    return json.loads(found[1])


def test_looking_is_not_moving(client, django_user_model):
    route = planned_route(2)
    user(client, django_user_model, "view_route")
    assert day(client, route).status_code == 200
    body = {"route": str(route.pk), "position": 2, "dry_run": True}
    asked = [
        (f"stops/{route.stops.earliest('position').pk}/move/", body),
        (f"shipments/{parcel(1)}/place/", body),
        (f"routes/{route.pk}/freeze/", {}),
        (f"routes/{route.pk}/dispatch/", {}),
        ("depots/mill/plan/", {"wait": False}),
    ]
    for path, data in asked:
        assert call(client, "post", path, data)[0] == 403
    assert not unanswered().exists()


# --- where it leads -------------------------------------------------------------------------


def test_without_a_depot_the_page_says_where_they_come_from(staff):
    assert "no depot yet" in staff.get(reverse("plan-today")).content.decode()


def test_it_opens_at_a_depot_at_work_and_its_next_day_with_routes(staff):
    make_depot("alder")
    route = planned_route(1)
    assert staff.get(reverse("plan-today"))["Location"] == f"/admin/plan/mill/{route.day}/"
    earlier = route.day - timedelta(days=3)
    Route.objects.update(day=earlier)
    assert staff.get(reverse("plan-of-depot", args=["mill"]))["Location"].endswith(f"/{earlier}/")
    assert staff.get(reverse("plan-of-depot", args=["nowhere"])).status_code == 404
    assert staff.get("/admin/plan/mill/2026-02-30/").status_code == 404


def test_days_lead_to_those_before_and_after_with_something_on_them(staff):
    route = planned_route(1)
    shown = staff.get(reverse("plan-of-day", args=["mill", date(2020, 1, 1)]))
    assert shown.context["later"] == route.day and shown.context["earlier"] is None
    assert [row["routes"] for row in shown.context["days"]] == [0, 1]
    assert page(staff, route).context["later"] is None


def test_its_links_stand_where_dispatchers_look(staff):
    route = planned_route(1)
    here = f"/admin/plan/mill/{route.day}/"
    assert here in staff.get(reverse("admin:routing_route_changelist")).content.decode()
    assert (
        "/admin/plan/mill/" in staff.get(reverse("admin:routing_depot_changelist")).content.decode()
    )
    assert '/admin/plan/"' in staff.get(reverse("admin:index")).content.decode()


def test_the_browser_is_told_to_ask_nobody_else(staff, settings):
    route = planned_route(1)
    policy = page(staff, route)["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "http" not in policy
    settings.MAP_TILES = "https://{s}.tiles.example.com/{z}/{x}/{y}.png"
    shown = page(staff, route)
    assert shown["Content-Security-Policy"].endswith("data: https://*.tiles.example.com")
    assert config(shown.content.decode())["tiles"] == settings.MAP_TILES


# --- what it is drawn from ------------------------------------------------------------------


def test_a_day_says_what_a_dispatcher_has_to_know(staff):
    depot = make_depot(vehicles=1)
    opens = timezone.now().replace(microsecond=0) + timedelta(hours=3)
    window = {"requested_from": opens, "requested_until": opens + timedelta(hours=1)}
    make_shipments(2)
    Shipment.objects.filter(pk=parcel(2)).update(**window)
    make_shipments(1, first=3, kg=5000)
    plan(depot)
    route = Route.objects.get()
    shown = day(staff, route).json()
    vehicle, told = shown["vehicles"][0], shown["routes"][0]
    assert (vehicle["name"], vehicle["capacity_kg"]) == ("vehicle 1", 1000)
    assert (
        vehicle["shift_from"][:16]
        == f"{depot.vehicles.get(active=True).shift_start:{route.day}T%H:%M}"
    )
    assert told["vehicle_id"] == vehicle["id"] and told["end"]["code"] == "mill"
    assert shown["place"] == {
        **{"code": "mill", "name": "Mill", "latitude": 53.96, "longitude": -1.08},
        **{"time_zone": "UTC", "cut_off": None},
    }
    assert (shown["version"], shown["versions"][0]["why"]) == (1, "by hand")
    assert (shown["unplanned_total"], len(shown["unplanned"])) == (1, 1)
    assert (shown["run"]["planned"], shown["asked"]) == (2, False)
    assert shown["unplanned"][0]["reason"].startswith("5000 kg")


def test_every_second_of_a_route_is_driving_waiting_or_service(staff):
    depot = make_depot(vehicles=1)
    make_shipments(3)
    opens = timezone.now().replace(microsecond=0) + timedelta(hours=4)
    window = {"requested_from": opens, "requested_until": opens + timedelta(hours=1)}
    Shipment.objects.filter(pk=parcel(3)).update(**window)
    first = timezone.now() + timedelta(minutes=30)
    Shipment.objects.filter(pk=parcel(1)).update(requested_until=first)
    plan(depot)
    route = day(staff, Route.objects.get()).json()["routes"][0]
    spent = sum(s["drive_s"] + s["wait_s"] + s["service_s"] for s in route["stops"])
    begins, ends = (datetime.fromisoformat(route[key]) for key in ("starts_at", "ends_at"))
    assert spent + route["back_s"] == pytest.approx((ends - begins).total_seconds(), abs=3)
    waited = [stop for stop in route["stops"] if stop["wait_s"]]
    assert [stop["shipment_id"] for stop in waited] == [str(parcel(3))]
    assert waited[0]["wait_s"] > 3600


def test_a_day_takes_as_many_statements_for_many_routes_as_for_one(
    staff, django_assert_max_num_queries
):
    def statements():
        with django_assert_max_num_queries(30) as asked:
            assert day(staff, route).status_code == 200
        return len(asked)

    route = planned_route(2)
    Vehicle.objects.update(end_depot=route.depot)
    few = statements()
    other = make_depot("mill", vehicles=6, kg=10)
    Vehicle.objects.update(end_depot=route.depot)
    make_shipments(10, first=3)
    plan(other)
    assert Route.objects.filter(day=route.day).count() > 3
    assert statements() == few


def test_who_knows_the_day_is_told_that_nothing_changed(staff):
    route = planned_route(2)
    etag = day(staff, route)["ETag"]
    same = day(staff, route, if_none_match=etag)
    assert (same.status_code, same.content) == (304, b"")
    freeze_route(route_id=route.pk, frozen=True)
    assert day(staff, route, if_none_match=etag).status_code == 200


def test_of_many_without_a_route_the_first_are_listed_and_all_counted(staff, monkeypatch):
    route = planned_route(1)
    make_shipments(4, first=2)
    monkeypatch.setattr("routing.plan_day.LISTED", 2)
    shown = day(staff, route).json()
    assert (len(shown["unplanned"]), shown["unplanned_total"]) == (2, 4)


def test_alerts_of_other_depots_are_not_shown_but_counted_where_depots_are_chosen(staff):
    route, other = planned_route(1), make_depot("quarry")
    for depot in (route.depot, other, other):
        Alert.objects.create(
            depot=depot,
            kind=Alert.Kind.WINDOW_MISSED,
            subject_id=parcel(Alert.objects.count()),
            text=f"at {depot}",
            at=timezone.now(),
        )
    assert [alert["text"] for alert in day(staff, route).json()["alerts"]] == ["at mill"]
    assert "(2 alerts)" in page(staff, route).content.decode()


# --- two versions ---------------------------------------------------------------------------


def changes(now, before):
    return {change["shipment"]: change["kind"] for change in compared(now, before).changes}


def test_what_came_and_fell_out_between_two_versions(staff):
    route = planned_route(2)
    hear(cancelled(2))
    make_shipments(1, first=3)
    plan(route.depot)
    now, before = Plan.objects.order_by("-version")
    found = changes(now, before)
    assert found[str(parcel(3))] == "came" and found[str(parcel(2))] == "fell out"
    path = f"plans/{now.pk}/against/{before.pk}/"
    status, shown = call(staff, "get", path)
    assert status == 200
    assert shown["shipments"][str(parcel(2))]["state"] == "cancelled"
    assert shown["cost_difference"] == pytest.approx(now.cost - before.cost)
    assert len(shown["routes_before"][0]["stops"]) == 2


def test_a_route_that_left_in_between_did_not_fall_out(staff):
    depot = make_depot(vehicles=2, kg=10)
    make_shipments(4)
    plan(depot)
    gone, stays = Route.objects.order_by("pk")
    dispatch_route(route_id=gone.pk)
    Vehicle.objects.update(capacity_kg=1000)
    first = stays.stops.earliest("position")
    move_stop(stop_id=first.pk, route_id=stays.pk, position=2)
    now, before = Plan.objects.order_by("-version")
    found = compared(now, before)
    assert {change["kind"] for change in found.changes} <= {"another place", "another time"}
    assert [route["route"] for route in found.routes_before] == [str(stays.pk)]
    assert abs(found.km_difference) < gone.distance_km


def test_a_stop_in_another_vehicle_is_told_as_that():
    depot = make_depot(vehicles=2, kg=10)
    make_shipments(4)
    plan(depot)
    Vehicle.objects.update(capacity_kg=1000)
    one, other = Route.objects.order_by("pk")
    stop = one.stops.earliest("position")
    move_stop(stop_id=stop.pk, route_id=other.pk)
    now, before = Plan.objects.order_by("-version")
    assert changes(now, before)[str(stop.shipment_id)] == "another vehicle"


def version(*orders, minute=0):
    """A plan of vehicles "a", "b", … with these shipments, a minute each."""
    stops = [
        [
            {"shipment": str(parcel(key)), "eta": f"2026-07-01T10:{minute + n:02}:00+00:00"}
            for n, key in enumerate(order)
        ]
        for order in orders
    ]
    named = zip("abc", stops, strict=False)
    routes = [{"route": str(parcel(99)), "vehicle": name, "stops": those} for name, those in named]
    return Plan(routes=routes, cost=0, distance_km=0)


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        (version([1, 2, 3]), version([1, 2, 3]), {}),
        (version([1, 2, 3, 4]), version([2, 3, 4], minute=1), {1: "fell out"}),
        (version([1, 2, 3, 4]), version([2, 3, 4, 1], minute=1), {1: "another place"}),
        (
            version([1, 2, 3]),
            version([1, 2, 3], minute=5),
            dict.fromkeys((1, 2, 3), "another time"),
        ),
        (version([1, 2], [3]), version([2], [3, 1]), {1: "another vehicle", 2: "another time"}),
        (version([1]), version([2, 1]), {2: "came", 1: "another time"}),
    ],
)
def test_only_who_was_moved_is_said_to_have_been(before, now, found):
    assert changes(now, before) == {str(parcel(key)): kind for key, kind in found.items()}


def test_only_plans_of_one_day_are_compared(staff):
    route = planned_route(1)
    mine = Plan.objects.get()
    other = Plan.objects.create(
        **{"depot": route.depot, "day": date(2020, 1, 1), "version": 1, "why": "", "cost": 0},
        **{"made_at": timezone.now(), "distance_km": 0, "stops": 0, "routes": []},
    )
    assert call(staff, "get", f"plans/{mine.pk}/against/{other.pk}/")[0] == 400
    assert call(staff, "get", f"plans/{mine.pk}/against/999999/")[0] == 404


# --- a plan asked for -----------------------------------------------------------------------


def test_a_plan_asked_for_is_made_by_the_next_tick_once(staff):
    depot = make_depot()
    make_shipments(1)
    assert call_plan(staff) == 202
    assert call_plan(staff) == 202  # it is still to come: one run for both
    assert not PlanRun.objects.exists()
    assert [why for _, why in due_runs(timezone.now())] == ["by hand"]
    assert tick() == 1
    run = PlanRun.objects.get()
    assert (run.trigger, run.planned) == ("by hand", 1)
    assert not unanswered().exists() and tick() == 0
    ask_for_plan(depot=depot)
    assert tick() == 1


def call_plan(client):
    answer = client.post(
        f"{API}/depots/mill/plan/", {"wait": False}, content_type="application/json"
    )
    return answer.status_code


def test_nobody_asks_for_a_plan_while_a_run_is_under_way(staff):
    depot = make_depot()
    run = planning._start_run(depot)
    assert run is not None
    assert call_plan(staff) == 409
    with pytest.raises(RunUnderWay):
        ask_for_plan(depot=depot)
    PlanRun.objects.filter(pk=run.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert call_plan(staff) == 202
    assert tick() == 1


def test_a_failed_run_has_answered_too(staff):
    depot = make_depot()
    ask_for_plan(depot=depot)
    Vehicle.objects.update(active=False)
    tick()
    assert PlanRun.objects.filter(depot=depot).count() == 1
    assert not unanswered().exists()


# --- words and paper ------------------------------------------------------------------------


def test_the_validators_word_names_vehicle_customer_and_local_time():
    depot = Depot(code="mill", time_zone="Europe/Paris")
    start = datetime(2026, 7, 1, 22, tzinfo=UTC)
    said = in_words(
        f"vehicle 7: stop {parcel(1)} is reached outside its window, at 36000 s",
        vehicles={7: "van 2"},
        customers={parcel(1): "Ana"},
        start=start,
        zone=depot.zone,
    )
    assert said == "van 2: the stop of Ana is reached outside its window, at 10:00"
    left = in_words(
        "vehicle 9: 15 kg over its 10", vehicles={}, customers={}, start=start, zone=depot.zone
    )
    assert left == "vehicle 9: 15 kg over its 10"


def test_a_move_tells_kilometres_and_names(staff):
    depot = make_depot(vehicles=2, kg=10)
    make_shipments(2)
    hear(reserved(3, near=0.3), reserved(4, near=0.3))
    plan(depot)
    first, second = Route.objects.order_by("pk")
    move = move_stop(stop_id=first.stops.earliest("position").pk, route_id=second.pk, dry_run=True)
    assert move.faults[0].startswith(f"{second.vehicle.name}: 15 kg over its 10")
    assert move.km_difference != 0


def test_a_manifest_lists_the_stops_of_each_route_to_sign(staff):
    depot = make_depot(vehicles=2, kg=10)
    make_shipments(4)
    plan(depot)
    first, second = Route.objects.order_by("pk")
    shown = page(staff, first, "plan-manifest").content.decode()
    assert shown.count("<article>") == 2 and shown.count("1 Mill Lane") == 4
    one = page(staff, first, "plan-manifest", f"?route={first.pk}").content.decode()
    assert str(first.pk) in one and str(second.pk) not in one
    assert page(staff, first, "plan-manifest", "?route=x").status_code == 400
    eta = stop_of(1).eta
    assert f"{eta:%H:%M}" in shown and "Received by, signature" in shown


def test_a_manifest_tells_goods_by_stop_and_what_to_load(staff):
    depot = make_depot()
    make_shipments(1, goods=[("TEA", 2), ("CUP", 1)])
    make_shipments(1, first=2, goods=[("TEA", 5)])
    plan(depot)
    shown = page(staff, Route.objects.get(), "plan-manifest").content.decode()
    assert "<li><b>2</b> × TEA</li><li><b>1</b> × CUP</li>" in shown
    assert "<b>1</b> × CUP</span>, <span><b>7</b> × TEA</span>" in shown


def test_a_manifest_of_goods_that_were_never_told_tells_their_number(staff):
    route = planned_route(1)
    Shipment.objects.update(goods=[], items=3)
    shown = page(staff, route, "plan-manifest").content.decode()
    assert '<td class="n">3</td>' in shown and "To load" not in shown


def test_a_manifest_leaves_out_what_is_done_unless_it_is_wanted(staff):
    route = planned_route(1)
    Route.objects.update(state=Route.State.COMPLETED)
    left_out = page(staff, route, "plan-manifest").content.decode()
    assert "<article>" not in left_out and "All routes of this day are done" in left_out
    for query in ("?done=1", f"?route={route.pk}"):
        assert "<article>" in page(staff, route, "plan-manifest", query).content.decode()


def test_a_manifest_tells_the_depots_local_times(staff):
    route = planned_route(1)
    Depot.objects.update(time_zone="Asia/Tokyo")
    shown = page(staff, route, "plan-manifest").content.decode()
    local = stop_of(1).eta.astimezone(Depot.objects.get().zone)
    assert f"<td>{local:%H:%M}</td>" in shown


def test_what_strangers_wrote_is_text(staff):
    route = planned_route(1)
    Shipment.objects.update(customer="<script>alert(1)</script>")
    Alert.objects.create(
        depot=route.depot, kind="x", subject_id=route.pk, text="</script>", at=timezone.now()
    )
    assert "<script>alert" not in page(staff, route, "plan-manifest").content.decode()
    assert "<script>alert" not in page(staff, route).content.decode()


def test_a_day_without_anything_is_a_page_too(staff):
    make_depot()
    where = ["mill", date(2020, 1, 1)]
    assert staff.get(reverse("plan-of-day", args=where)).status_code == 200
    assert (
        "No route of this day" in staff.get(reverse("plan-manifest", args=where)).content.decode()
    )
    assert day_of_depot(Depot.objects.get(), date(2020, 1, 1)).version == 0


def test_the_files_of_the_page_are_found_and_small():
    for name in ("vendor/leaflet/leaflet.js", "vendor/leaflet/LICENSE", "plan/page.js"):
        assert finders.find(f"routing/{name}")
    outlines = Path(finders.find("routing/geo/outlines.json"))
    assert outlines.stat().st_size < 1_000_000
    assert json.loads(outlines.read_text())["type"] == "FeatureCollection"
