"""The routing API, as a dispatcher's screen or a driver's app would use it, and as it shouldn't."""

import uuid

import pytest

from routing import driving
from routing.models import Route, Stop
from routing.planning import _start_run

from .conftest import cancelled, hear, make_depot, make_shipments, planned_route, state, stop_of

pytestmark = pytest.mark.django_db(transaction=True)
API = "/api/v1"


def call(client, method, path, body=None):
    kwargs = {"data": body, "content_type": "application/json"} if method == "post" else {}
    response = getattr(client, method)(f"{API}/{path}", **kwargs)
    return response.status_code, response.json()


def test_routes_are_listed_and_filtered(staff):
    route = planned_route(2)
    status, page = call(staff, "get", "routes/")
    assert status == 200
    assert page["results"] == [
        {
            "id": str(route.pk),
            "depot": "mill",
            "day": route.day.isoformat(),
            "vehicle": "vehicle 1",
            "driver": None,
            "state": "planned",
            "frozen": False,
            "version": 1,
            "cost": route.cost,
            "distance_km": route.distance_km,
            "load_kg": 10.0,
            "load_m3": 0.02,
            "starts_at": page["results"][0]["starts_at"],
            "ends_at": page["results"][0]["ends_at"],
        }
    ]

    def count(query):
        return len(call(staff, "get", f"routes/?{query}")[1]["results"])

    assert count(f"depot=mill&state=planned&day={route.day}") == 1
    assert count("depot=quarry") == count("state=completed") == count("day=1999-01-01") == 0


def test_a_route_shows_its_stops_in_driving_order(staff):
    route = planned_route(3)
    status, shown = call(staff, "get", f"routes/{route.pk}/")
    assert status == 200
    assert [stop["position"] for stop in shown["stops"]] == [1, 2, 3]
    assert {stop["state"] for stop in shown["stops"]} == {"pending"}
    assert shown["stops"][0]["address"] == "1 Mill Lane, YO1 York, GB"


def test_a_day_through_the_api(staff):
    make_depot()
    make_shipments(2)
    status, run = call(staff, "post", "depots/mill/plan/")
    assert (status, run["state"], run["planned"], run["unplanned"]) == (200, "done", 2, 0)
    route = Route.objects.get()
    status, shown = call(staff, "post", f"routes/{route.pk}/dispatch/")
    assert (status, shown["state"]) == (200, "dispatched")
    first, second = (stop["id"] for stop in shown["stops"])
    assert call(staff, "post", f"stops/{first}/deliver/")[0] == 200
    status, shown = call(staff, "post", f"stops/{second}/fail/", {"reason": "nobody in"})
    assert (status, shown["state"]) == (200, "completed")
    assert [stop["state"] for stop in shown["stops"]] == ["delivered", "failed"]
    assert shown["stops"][1]["reason"] == "nobody in"


# --- refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "field"),
    [("state=asleep", "state"), ("day=someday", "day"), ("depot=a b", "depot")],
)
def test_a_wrong_filter_names_its_field(staff, query, field):
    status, body = call(staff, "get", f"routes/?{query}")
    assert status == 400
    assert [error["field"] for error in body["errors"]] == [field]
    assert body["errors"][0]["reason"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", f"routes/{uuid.uuid4()}/"),
        ("post", f"routes/{uuid.uuid4()}/dispatch/"),
        ("post", f"stops/{uuid.uuid4()}/deliver/"),
        ("post", f"stops/{uuid.uuid4()}/fail/"),
        ("post", "depots/nowhere/plan/"),
    ],
)
def test_what_is_not_there_is_404(staff, method, path):
    status, body = call(staff, method, path, {"reason": "x"})
    assert status == 404
    assert body["errors"][0]["reason"]


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "  "}, {"reason": 5}, {"reason": "x" * 301}, {"x": 1}]
)
def test_a_failure_needs_a_reason(staff, body):
    route = planned_route(1)
    driving.dispatch_route(route_id=route.pk)
    status, answer = call(staff, "post", f"stops/{stop_of().pk}/fail/", body)
    assert status == 400
    assert answer["errors"][0]["field"] == "reason" and answer["errors"][0]["reason"]
    assert stop_of().state == Stop.State.PENDING


@pytest.mark.parametrize("body", ["[1]", '"x"', "{", "null", "\xff"])
def test_a_body_that_is_no_object_is_400(staff, body):
    route = planned_route(1)
    driving.dispatch_route(route_id=route.pk)
    path = f"{API}/stops/{stop_of().pk}/fail/"
    response = staff.post(path, data=body.encode("latin-1"), content_type="application/json")
    assert response.status_code == 400
    assert response.json()["errors"][0]["reason"]


def test_what_does_not_fit_the_state_is_409(staff):
    route = planned_route(2)
    stop = stop_of(1).pk
    for act, sent in (("deliver", {}), ("fail", {"reason": "x"})):
        status, body = call(staff, "post", f"stops/{stop}/{act}/", sent)
        assert status == 409
        assert "pending and its route planned" in body["errors"][0]["reason"]
    assert call(staff, "post", f"routes/{route.pk}/dispatch/")[0] == 200
    status, body = call(staff, "post", f"routes/{route.pk}/dispatch/")
    assert status == 409 and "only a planned one" in body["errors"][0]["reason"]
    hear(cancelled(1))
    status, body = call(staff, "post", f"stops/{stop}/deliver/")
    assert status == 409 and "bring it back" in body["errors"][0]["reason"]
    assert state(1) == "dispatched"


def test_planning_while_a_run_is_under_way_is_409(staff):
    _start_run(make_depot())
    status, body = call(staff, "post", "depots/mill/plan/")
    assert status == 409 and "under way" in body["errors"][0]["reason"]


@pytest.mark.parametrize("who", ["nobody", "a channel"])
def test_only_staff_may(client, django_user_model, who):
    if who == "a channel":
        client.force_login(django_user_model.objects.create_user("channel"))
    route = planned_route(1)
    refusals = [
        call(client, "get", "routes/"),
        call(client, "get", f"routes/{route.pk}/"),
        call(client, "post", f"routes/{route.pk}/dispatch/"),
        call(client, "post", f"stops/{stop_of().pk}/deliver/"),
        call(client, "post", f"stops/{stop_of().pk}/fail/", {"reason": "x"}),
        call(client, "post", "depots/mill/plan/"),
    ]
    expected = 403 if who == "a channel" else 401
    assert {status for status, _ in refusals} == {expected}
    assert all(body["errors"][0]["reason"] for _, body in refusals)
    assert state() == "planned"
