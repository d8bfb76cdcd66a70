"""The API of plans, promises and alerts."""

import csv
import uuid
from datetime import date, datetime, timedelta

import pytest
from django.utils import timezone

from routing.alerting import alert
from routing.driving import dispatch_route
from routing.models import Alert, Depot, Plan, Route, Shipment, Vehicle
from supplychain.events.outbox import emit_all

from .conftest import (
    cancelled,
    hear,
    make_depot,
    make_shipments,
    parcel,
    plan,
    planned_route,
    stop_of,
)
from .test_api import API, call

pytestmark = pytest.mark.django_db(transaction=True)
PROMISE = {"latitude": 53.97, "longitude": -1.08, "weight_kg": 5, "volume_m3": 0.01}


@pytest.fixture(autouse=True)
def _promises(settings):
    settings.PROMISE_SECONDS = 5.0


def test_versions_are_listed_and_compared(staff):
    route = planned_route(2)
    hear(cancelled(2))
    make_shipments(1, first=3)
    plan(route.depot)
    status, page = call(staff, "get", f"plans/?depot=mill&day={route.day}")
    assert status == 200
    assert [(p["version"], p["stops"]) for p in page["results"]] == [(2, 2), (1, 2)]
    second, first = (p["id"] for p in page["results"])
    status, shown = call(staff, "get", f"plans/{second}/")
    assert (status, shown["previous"]) == (200, first)
    assert [len(r["stops"]) for r in shown["routes"]] == [2]
    changes = {c["shipment"]: (c["before"], c["now"]) for c in shown["changes"]}
    came, gone = changes[str(stop_of(3).shipment_id)], changes[str(stop_of(2).shipment_id)]
    assert came[0] is None and came[1]["vehicle"] == "vehicle 1"
    assert gone[1] is None and gone[0]["position"] in (1, 2)
    status, shown = call(staff, "get", f"plans/{first}/")
    assert (status, shown["previous"], shown["cost_before"]) == (200, None, None)
    assert call(staff, "get", "plans/?depot=quarry")[1]["results"] == []


def test_a_day_shows_its_routes_and_what_waits_with_the_reason(staff):
    route = planned_route(2)
    make_shipments(1, first=3, kg=5000)
    plan(route.depot)
    status, shown = call(staff, "get", f"depots/mill/days/{route.day}/")
    assert (status, shown["version"], len(shown["routes"])) == (200, 1, 1)
    assert len(shown["routes"][0]["stops"]) == 2
    assert [row["reason"] for row in shown["unplanned"]] == [
        "5000 kg are more than any vehicle carries"
    ]
    status, shown = call(staff, "get", "depots/mill/days/2020-02-02/")
    assert (status, shown["version"], shown["routes"]) == (200, 0, [])


def test_a_day_takes_no_more_statements_for_more_stops(staff, django_assert_max_num_queries):
    route = planned_route(12)
    with django_assert_max_num_queries(16):
        assert call(staff, "get", f"depots/mill/days/{route.day}/")[0] == 200


def test_a_route_is_frozen_and_thawed(staff):
    route = planned_route(1)
    status, shown = call(staff, "post", f"routes/{route.pk}/freeze/")
    assert (status, shown["frozen"]) == (200, True)
    status, shown = call(staff, "post", f"routes/{route.pk}/thaw/")
    assert (status, shown["frozen"]) == (200, False)
    dispatch_route(route_id=route.pk)
    status, refused = call(staff, "post", f"routes/{route.pk}/freeze/")
    assert status == 409 and "only a planned one" in refused["errors"][0]["reason"]


def test_a_stop_is_moved_after_a_look_at_the_cost(staff):
    depot = make_depot(vehicles=2, kg=5)
    make_shipments(2)
    plan(depot)
    Vehicle.objects.update(capacity_kg=100)
    first, second = Route.objects.order_by("pk")
    path = f"stops/{first.stops.get().pk}/move/"
    status, move = call(staff, "post", path, {"route": str(second.pk), "dry_run": True})
    assert (status, move["applied"], move["faults"]) == (200, False, [])
    assert move["cost_difference"] < 0
    status, move = call(staff, "post", path, {"route": str(second.pk), "position": 1})
    assert (status, move["applied"], move["position"]) == (200, True, 1)
    assert second.stops.count() == 2
    Vehicle.objects.update(capacity_kg=5)
    status, refused = call(staff, "post", path, {"route": str(second.pk), "position": 2})
    assert status == 409 and "10 kg over its 5" in refused["errors"][0]["reason"]
    both = {"route": str(second.pk), "vehicle": second.vehicle_id}
    for body in ({}, both, {"route": "x"}, {"route": str(second.pk), "position": 0}, {"rout": 1}):
        assert call(staff, "post", path, body)[0] == 400
    assert call(staff, "post", path, {"route": str(uuid.uuid4())})[0] == 404


def test_who_waits_is_put_into_a_route_after_a_look_at_the_cost(staff):
    route = planned_route(1)
    make_shipments(1, first=8)
    path, day = f"shipments/{parcel(8)}/place/", str(route.day)
    status, move = call(staff, "post", path, {"route": str(route.pk), "dry_run": True})
    assert (status, move["applied"], move["faults"], move["was"]) == (200, False, [], None)
    status, move = call(staff, "post", path, {"route": str(route.pk), "position": 1})
    assert (status, move["applied"], move["position"]) == (200, True, 1)
    assert route.stops.count() == 2
    status, refused = call(staff, "post", path, {"route": str(route.pk)})
    assert status == 409 and "It is planned" in refused["errors"][0]["reason"]
    make_shipments(1, first=9)
    path = f"shipments/{parcel(9)}/place/"
    van = {"vehicle": route.vehicle_id}
    both = {"route": str(route.pk), "day": day}
    for body in ({}, van, {**van, "day": "soon"}, both, {"rout": 1}):
        assert call(staff, "post", path, body)[0] == 400
    assert call(staff, "post", path, {"route": str(uuid.uuid4())})[0] == 404
    assert call(staff, "post", f"shipments/{uuid.uuid4()}/place/", {**van, "day": day})[0] == 404
    status, move = call(staff, "post", path, {**van, "day": day, "dry_run": True})
    assert status == 200 and move["position"] >= 1


def test_a_driver_sees_one_stop_after_the_other_and_hands_over_to_a_name(staff):
    route = planned_route(2)
    dispatch_route(route_id=route.pk)
    for position in (1, 2):
        status, stop = call(staff, "get", f"routes/{route.pk}/next-stop/")
        assert (status, stop["position"]) == (200, position)
        body = {"proof_name": "J. Doe"}
        status, shown = call(staff, "post", f"stops/{stop['id']}/deliver/", body)
        assert status == 200
    assert {stop["proof_name"] for stop in shown["stops"]} == {"J. Doe"}
    assert staff.get(f"{API}/routes/{route.pk}/next-stop/").status_code == 204


def test_a_day_is_taken_away_as_csv(staff):
    route = planned_route(2)
    Shipment.objects.update(customer="=HYPERLINK(1)")
    answer = staff.get(f"{API}/depots/mill/days/{route.day}/stops.csv")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/csv")
    assert "mill-" in answer["Content-Disposition"]
    rows = list(csv.DictReader(answer.content.decode().splitlines()))
    assert [row["position"] for row in rows] == ["1", "2"]
    assert rows[0]["customer"] == "'=HYPERLINK(1)"
    assert rows[0]["goods"] == "1 × A"
    accepting = {"headers": {"Accept": "text/csv"}}
    assert staff.get(f"{API}/depots/mill/days/{route.day}/stops.csv", **accepting).content
    refused = staff.get(f"{API}/depots/nowhere/days/{route.day}/stops.csv", **accepting)
    assert refused.status_code == 404 and refused.json()["errors"][0]["reason"]


def test_exports_tell_times_by_the_depots_clocks(staff):
    route = planned_route(1)
    Depot.objects.update(time_zone="America/Sao_Paulo")
    here = f"{API}/depots/mill/days/{route.day}"
    [row] = csv.DictReader(staff.get(f"{here}/stops.csv").content.decode().splitlines())
    point = staff.get(f"{here}/routes.geojson").json()["features"][1]
    for told in (row["eta"], point["properties"]["eta"]):
        assert told.endswith("-03:00")
        assert datetime.fromisoformat(told) == route.stops.get().eta


def test_a_day_is_taken_away_as_geojson(staff):
    route = planned_route(2)
    answer = staff.get(f"{API}/depots/mill/days/{route.day}/routes.geojson")
    assert answer["Content-Type"].startswith("application/geo+json")
    found = answer.json()
    kinds = [feature["geometry"]["type"] for feature in found["features"]]
    assert (found["type"], kinds) == ("FeatureCollection", ["LineString", "Point", "Point"])
    line = found["features"][0]["geometry"]["coordinates"]
    assert line[0] == line[-1] == [-1.08, 53.96] and len(line) == 4


def test_a_promise_is_quoted_to_any_channel(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("channel"))
    make_depot()
    status, quoted = call(client, "post", "routing/promises/", PROMISE)
    assert (status, quoted["promised"], quoted["depot"]) == (200, True, "mill")
    assert quoted["window_from"] <= quoted["eta"] <= quoted["window_until"]
    assert date.fromisoformat(quoted["day"])
    heavy = {**PROMISE, "weight_kg": 5000}
    assert call(client, "post", "routing/promises/", heavy) == (200, {"promised": False})
    opens = (timezone.now() + timedelta(days=2)).isoformat()
    asked = {**PROMISE, "depot": "mill", "windows": [{"opens": opens}], "skills": ["frozen"]}
    status, quoted = call(client, "post", "routing/promises/", asked)
    assert status == 200 and quoted["window_from"] >= opens[:16]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"latitude": 91}, "latitude"),
        ({"latitude": "53"}, "latitude"),
        ({"longitude": None}, "longitude"),
        ({"weight_kg": -1}, "weight_kg"),
        ({"volume_m3": 1e9}, "volume_m3"),
        ({"items": 1.5}, "items"),
        ({"depot": "nowhere"}, "depot"),
        ({"skills": ["flying"]}, "skills[0]"),
        ({"windows": [{"opens": "2026-01-02T00:00Z", "closes": "2026-01-01T00:00Z"}]}, "windows"),
        ({"wieght": 1}, "wieght"),
    ],
)
def test_a_promise_that_makes_no_sense_names_its_field(staff, wrong, field):
    make_depot()
    status, body = call(staff, "post", "routing/promises/", {**PROMISE, **wrong})
    assert status == 400
    assert body["errors"][0]["field"].startswith(field)


def test_alerts_are_listed_until_they_are_seen(staff, admin_user):
    from django.db import transaction

    depot = make_depot()
    with transaction.atomic():
        emit_all(alert(depot, Alert.Kind.WINDOW_MISSED, {uuid.uuid4(): "look here"}))
    status, page = call(staff, "get", "routing/alerts/")
    assert [row["text"] for row in page["results"]] == ["look here"]
    status, seen = call(staff, "post", f"routing/alerts/{page['results'][0]['id']}/seen/")
    assert (status, seen["seen_by"]) == (200, admin_user.username)
    assert call(staff, "get", "routing/alerts/")[1]["results"] == []


@pytest.mark.parametrize("who", ["nobody", "a channel"])
def test_only_staff_may(client, django_user_model, who):
    if who == "a channel":
        client.force_login(django_user_model.objects.create_user("channel"))
    route = planned_route(1)
    here = f"depots/mill/days/{route.day}"
    asked = [
        *(("get", path) for path in ("plans/", f"plans/{Plan.objects.get().pk}/", f"{here}/")),
        *(("get", f"{here}/{name}") for name in ("stops.csv", "routes.geojson")),
        *(("get", path) for path in ("routing/alerts/", f"routes/{route.pk}/next-stop/")),
        *(("post", f"routes/{route.pk}/{act}/") for act in ("freeze", "thaw")),
        ("post", f"stops/{stop_of().pk}/move/"),
        ("post", f"shipments/{parcel(1)}/place/"),
        ("post", f"routing/alerts/{uuid.uuid4()}/seen/"),
    ]
    expected = 403 if who == "a channel" else 401
    assert {call(client, method, path)[0] for method, path in asked} == {expected}


def test_what_is_not_there_is_404(staff):
    make_depot()
    assert Depot.objects.count() == 1
    for path in ("plans/1/", "depots/mill/days/2026-13-01/", "depots/no/days/2026-01-01/"):
        assert call(staff, "get", path)[0] == 404
    assert call(staff, "post", f"routing/alerts/{uuid.uuid4()}/seen/")[0] == 404
