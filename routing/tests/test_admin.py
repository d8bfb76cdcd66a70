"""The admin's pages of routing: they open, find, and change only through services."""

from datetime import date, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils import timezone

from routing.models import Alert, Depot, Plan, PlanRun, Route, Shipment, Vehicle
from routing.planning import _start_run
from supplychain.home import tasks_of

from .conftest import make_depot, make_shipments, order, parcel, plan, planned_route, settle, state

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]


def page(client, model, query=""):
    response = client.get(reverse(f"admin:routing_{model}_changelist") + query)
    assert response.status_code == 200
    return response


def found(client, model, query=""):
    return len(page(client, model, query).context["cl"].result_list)


def act(client, model, action, *rows):
    data = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    path = reverse(f"admin:routing_{model}_changelist")
    response = client.post(path, data, follow=True)
    return [str(message) for message in response.context["messages"]]


def test_lists_filter_and_search(admin_client):
    route = planned_route(2)
    assert found(admin_client, "route", f"?state=planned&depot__id__exact={route.depot_id}") == 1
    assert found(admin_client, "route", "?state=completed") == 0
    assert found(admin_client, "route", f"?q={route.pk}") == 1
    assert found(admin_client, "route", "?q=vehicle%201") == 1
    assert found(admin_client, "route", "?q=nothing") == 0
    assert found(admin_client, "shipment", "?state=planned&recalled__exact=0") == 2
    assert found(admin_client, "shipment", f"?q={parcel(1)}") == 1
    assert found(admin_client, "shipment", f"?q={order(2)}") == 1
    assert found(admin_client, "shipment", "?q=Customer") == 2
    assert found(admin_client, "planrun", "?state=done") == 1
    assert found(admin_client, "depot", "?q=mil") == 1


def test_a_route_is_found_by_an_order_that_it_carries_with_all_its_stops_counted(admin_client):
    planned_route(3)
    shown = page(admin_client, "route", f"?q={order(2)}").content.decode()
    assert "0 of 3" in shown


def test_times_are_those_of_the_depots_clocks_as_on_the_plan_page(admin_client):
    route = planned_route(1)
    Depot.objects.update(time_zone="Asia/Tokyo")
    zone = Depot.objects.get().zone
    leaves, comes = (m.astimezone(zone) for m in (route.starts_at, route.stops.get().eta))
    for day, form in ((leaves.date(), "%H:%M"), (date(2020, 1, 1), "%Y-%m-%d %H:%M")):
        Route.objects.update(day=day)  # one said already, and another
        said = f'<span class="moment">{leaves:{form}}</span>'
        assert said in page(admin_client, "route").content.decode()
        assert said in one(admin_client, "route", route.pk)
    assert f"{comes:%Y-%m-%d %H:%M}" in one(admin_client, "route", route.pk)
    assert f"{comes:%Y-%m-%d %H:%M}" in one(admin_client, "shipment", parcel(1))


def test_a_route_leads_to_its_plan_manifest_and_driver(admin_client):
    route = planned_route(1)
    shown = one(admin_client, "route", route.pk)
    here = f"/admin/plan/mill/{route.day}/"
    for url in (here, f"{here}manifest/?route={route.pk}", f"/drive/{route.pk}/"):
        assert f'href="{url}"' in shown
        assert admin_client.get(url).status_code == 200
    looker = User.objects.create_user("looker", is_staff=True)
    looker.user_permissions.set(Permission.objects.filter(codename="view_route"))
    admin_client.force_login(looker)
    assert "/drive/" not in one(admin_client, "route", route.pk)


def one(client, model, pk):
    response = client.get(reverse(f"admin:routing_{model}_change", args=[pk]))
    assert response.status_code == 200
    return response.content.decode()


def test_lists_take_as_many_statements_for_many_rows_as_for_few(
    admin_client, django_assert_num_queries
):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    depot = make_depot(vehicles=4, kg=10)

    def statements():
        with CaptureQueriesContext(connection) as captured:
            page(admin_client, "route")
            page(admin_client, "shipment")
        return len(captured)

    make_shipments(2)
    plan(depot)
    few = statements()
    make_shipments(4, first=3)
    plan(depot)
    assert Route.objects.count() > 1
    assert statements() == few


def test_a_route_shows_its_stops_with_eta_and_state(admin_client):
    route = planned_route(2)
    path = reverse("admin:routing_route_change", args=[route.pk])
    shown = admin_client.get(path).content.decode()
    assert "Customer 1, 1 Mill Lane" in shown and "Customer 2, 1 Mill Lane" in shown
    assert "Pending" in shown
    assert "Eta" in shown or "ETA" in shown


@pytest.mark.parametrize("model", ["route", "shipment", "planrun"])
def test_what_services_keep_can_not_be_edited(admin_client, model):
    planned_route(1)
    row = {"route": Route, "shipment": Route, "planrun": PlanRun}[model].objects.get()
    key = parcel(1) if model == "shipment" else row.pk
    assert admin_client.get(reverse(f"admin:routing_{model}_add")).status_code == 403
    change = reverse(f"admin:routing_{model}_change", args=[key])
    assert admin_client.get(change).status_code == 200
    assert admin_client.post(change, {"state": "completed"}).status_code == 403
    delete = reverse(f"admin:routing_{model}_delete", args=[key])
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403
    assert state() == "planned"


def test_routes_are_dispatched_through_the_service(admin_client):
    route = planned_route(1)
    assert act(admin_client, "route", "dispatch_routes", route) == ["1 routes dispatched."]
    assert state() == "dispatched"
    again = act(admin_client, "route", "dispatch_routes", route)
    assert "only a planned one" in again[0] and again[1] == "0 routes dispatched."


def test_who_may_only_look_may_not_dispatch(client, django_user_model):
    user = django_user_model.objects.create_user("looker", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_route"))
    client.force_login(user)
    route = planned_route(1)
    assert act(client, "route", "dispatch_routes", route) == ["You may not dispatch routes."]
    assert state() == "planned"


# --- depots and fleets --------------------------------------------------------------------


def _depot_form(depot, **changes):
    vehicle = depot.vehicles.get(active=True)
    form = {
        "departures": "08:00, 12:00",
        "departure_lead": "30",
        "longest_wait": "24",
        "vehicles-TOTAL_FORMS": "1",
        "vehicles-INITIAL_FORMS": "1",
        "vehicles-0-id": vehicle.pk,
        "vehicles-0-depot": depot.pk,
        "vehicles-0-name": "lorry",
        "vehicles-0-capacity_kg": "2500",
        "vehicles-0-capacity_m3": "20",
        "vehicles-0-shift_start": "06:00",
        "vehicles-0-shift_hours": "9",
        "vehicles-0-active": "on",
    }
    return form | {f"vehicles-0-{name}": value for name, value in changes.items()}


@pytest.fixture
def depot():
    made = make_depot()
    made.vehicles.filter(active=False).delete()
    return made


def test_a_depots_vehicles_are_edited_and_the_rest_is_inventorys(admin_client, depot):
    path = reverse("admin:routing_depot_change", args=[depot.pk])
    assert admin_client.get(path).status_code == 200
    response = admin_client.post(path, {**_depot_form(depot), "name": "Mine", "latitude": "0"})
    assert response.status_code == 302
    vehicle = Vehicle.objects.get()
    assert (vehicle.name, vehicle.capacity_kg, vehicle.shift_hours) == ("lorry", 2500, 9)
    depot.refresh_from_db()
    assert (depot.name, depot.latitude, depot.departures) == ("Mill", 53.96, "08:00, 12:00")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("capacity_kg", "0"),
        ("capacity_kg", "1e9"),
        ("capacity_kg", "nan"),
        ("capacity_m3", "-1"),
        ("capacity_m3", "inf"),
        ("shift_hours", "1000"),
        ("shift_start", "25:00"),
        ("name", ""),
    ],
)
def test_an_impossible_vehicle_is_refused_with_a_reason(admin_client, depot, field, value):
    path = reverse("admin:routing_depot_change", args=[depot.pk])
    response = admin_client.post(path, _depot_form(depot, **{field: value}))
    assert response.status_code == 200
    assert response.context["errors"]
    assert Vehicle.objects.get().capacity_kg == 1000


def test_depots_are_neither_made_nor_deleted_here(admin_client, depot):
    assert admin_client.get(reverse("admin:routing_depot_add")).status_code == 403
    path = reverse("admin:routing_depot_delete", args=[depot.pk])
    assert admin_client.post(path, {"post": "yes"}).status_code == 403
    assert Depot.objects.exists()


def test_depots_are_planned_by_an_action(admin_client, depot):
    make_shipments(1)
    make_shipments(1, first=2, kg=5000)
    assert act(admin_client, "depot", "plan_now", depot) == ["mill: 1 planned, 1 not."]
    _start_run(depot)
    assert act(admin_client, "depot", "plan_now", depot) == ["mill: a run is under way."]


# --- vehicles -------------------------------------------------------------------------------


def _vehicle_form(**changes):
    form = {
        "name": "lorry",
        "skills": ["chilled", "frozen"],
        "capacity_kg": "2500",
        "capacity_m3": "20",
        "capacity_items": "400",
        "shift_start": "06:00",
        "shift_hours": "9",
        "max_stops": "30",
        "break_minutes": "45",
        "break_earliest": "11:00",
        "break_latest": "13:00",
        "fixed_cost": "20",
        "cost_per_km": "0.5",
        "cost_per_hour": "30",
        "active": "on",
    }
    return form | changes


def test_a_vehicles_page_says_and_changes_all_that_planning_asks_of_it(admin_client, depot):
    vehicle = depot.vehicles.get()
    end = make_depot("quarry")
    path = reverse("admin:routing_vehicle_change", args=[vehicle.pk])
    assert "hazardous" in admin_client.get(path).content.decode()
    response = admin_client.post(path, _vehicle_form(end_depot=end.pk, depot=end.pk))
    assert response.status_code == 302, response.context["errors"]
    vehicle.refresh_from_db()
    assert (vehicle.depot, vehicle.end_depot, vehicle.name) == (depot, end, "lorry")
    assert vehicle.skills == ["chilled", "frozen"]
    assert (vehicle.max_stops, vehicle.capacity_items, vehicle.break_minutes) == (30, 400, 45)
    assert (vehicle.fixed_cost, vehicle.cost_per_km, vehicle.cost_per_hour) == (20, 0.5, 30)
    listed = page(admin_client, "vehicle", f"?depot__id__exact={depot.pk}").content.decode()
    assert "chilled, frozen" in listed


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("max_stops", "0", "Leave it empty if there is no limit"),
        ("capacity_items", "0", "Leave it empty if there is no limit"),
        ("break_minutes", "0", "Say how long the break is"),
        ("break_minutes", "540", "must be shorter than the shift"),
        ("break_latest", "", "Say from when to when"),
        ("break_latest", "10:00", "Must not be before the earliest time"),
        ("cost_per_km", "-1", "costs are from 0"),
        ("fixed_cost", "nan", "Enter a number"),
        ("capacity_kg", "1e9", "carries up to 100,000 kg"),
        ("skills", "magic", "magic is not one of the available choices"),
        ("name", "other", "already exists"),
    ],
)
def test_a_vehicle_that_can_not_be_is_refused_in_words(admin_client, depot, field, value, said):
    vehicle = depot.vehicles.get()
    Vehicle.objects.create(depot=depot, name="other")
    path = reverse("admin:routing_vehicle_change", args=[vehicle.pk])
    response = admin_client.post(path, _vehicle_form(**{field: value}))
    assert response.status_code == 200
    assert said in response.content.decode()
    vehicle.refresh_from_db()
    assert vehicle.capacity_kg == 1000


def test_a_vehicle_is_added_to_a_depot_and_never_deleted(admin_client, depot):
    form = _vehicle_form(depot=depot.pk)
    assert admin_client.post(reverse("admin:routing_vehicle_add"), form).status_code == 302
    made = Vehicle.objects.get(name="lorry")
    path = reverse("admin:routing_vehicle_delete", args=[made.pk])
    assert admin_client.post(path, {"post": "yes"}).status_code == 403


# --- what the planner tells -----------------------------------------------------------------


@pytest.fixture
def changed_plan():
    """A plan of two stops, and its second version with a third."""
    route = planned_route(2)
    make_shipments(1, first=3)
    plan(route.depot)
    first, second = Plan.objects.order_by("version")
    return first, second


def test_the_versions_of_a_plan_are_listed_and_say_what_they_changed(admin_client, changed_plan):
    first, second = changed_plan
    assert found(admin_client, "plan", f"?depot__id__exact={first.depot_id}") == 2
    text = admin_client.get(reverse("admin:routing_plan_change", args=[second.pk])).content.decode()
    assert "version 1, cost" in text
    assert "not in the plan" in text and str(parcel(3)) in text
    [tour] = second.routes
    assert reverse("admin:routing_route_change", args=[tour["route"]]) in text
    assert tour["vehicle"] in text
    oldest = admin_client.get(reverse("admin:routing_plan_change", args=[first.pk]))
    assert str(parcel(1)) in oldest.content.decode()


def _alert(depot, number=1, **fields):
    said = {"kind": Alert.Kind.FELL_OUT, "text": f"number {number}", "at": timezone.now()}
    return Alert.objects.create(depot=depot, subject_id=parcel(number), **said | fields)


def test_alerts_that_nobody_has_seen_come_first_and_are_seen_by_an_action(admin_client, depot):
    make_shipments(2)
    later = timezone.now() + timedelta(hours=1)
    seen = _alert(depot, 1, at=later, seen_at=later, seen_by="ada")
    new = _alert(depot, 2)
    rows = page(admin_client, "alert").context["cl"].result_list
    assert [row.pk for row in rows] == [new.pk, seen.pk]
    assert (
        found(admin_client, "alert", "?seen=no") == found(admin_client, "alert", "?seen=yes") == 1
    )
    assert admin_client.get(reverse("admin:routing_alert_change", args=[new.pk])).status_code == 200
    assert act(admin_client, "alert", "see", new, seen) == ["2 alerts seen."]
    new.refresh_from_db()
    seen.refresh_from_db()
    assert (new.seen_by, seen.seen_by) == ("admin", "ada")


def test_who_may_only_look_sees_alerts_and_answers_none(client, django_user_model, depot):
    user = django_user_model.objects.create_user("looker", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_alert"))
    client.force_login(user)
    row = _alert(depot)
    assert act(client, "alert", "see", row) == ["You may not answer alerts."]
    assert Alert.objects.get().seen_at is None


def test_a_shipment_leads_to_its_order_its_journey_and_its_route(admin_client):
    route = planned_route(1)
    Shipment.objects.update(
        promised_from="2026-05-04T10:00Z", promised_until="2026-05-04T12:00Z", attempts=1
    )
    path = reverse("admin:routing_shipment_change", args=[parcel(1)])
    text = admin_client.get(path).content.decode()
    for shown in (
        reverse("admin:orders_order_change", args=[order(1)]),
        reverse("admin:routing_route_change", args=[route.pk]),
        f"{reverse('admin:audit_storedevent_changelist')}?q=journey+1",
        "2026-05-04 10:00 – 12:00",
    ):
        assert shown in text


def test_a_shipment_that_waits_stands_in_no_route(admin_client, depot):
    make_shipments(1)
    path = reverse("admin:routing_shipment_change", args=[parcel(1)])
    assert "stands in" in admin_client.get(path).content.decode().lower()


# --- what there is to do --------------------------------------------------------------------


@pytest.fixture
def busy(depot):
    """Something of everything."""
    now = timezone.now()
    make_shipments(4)
    settle()
    Shipment.objects.filter(pk=parcel(1)).update(unplannable_reason="too heavy")
    _alert(depot, 1)
    _alert(depot, 2, seen_at=now)
    ago = now - timedelta(minutes=20)
    run = PlanRun.objects.create(depot=depot, state="done", started_at=ago, expires_at=ago)
    said = {"depot": depot, "run": run, "vehicle": depot.vehicles.get(), "day": now.date()}
    said |= {"distance_km": 1, "load_kg": 1, "load_m3": 1}
    for state_, starts, ends in (
        ("planned", -2, 2),
        ("planned", 1, 2),
        ("dispatched", -2, -1),
        ("dispatched", -2, 2),
        ("completed", -3, -2),
    ):
        times = {"starts_at": now + timedelta(hours=starts), "ends_at": now + timedelta(hours=ends)}
        Route.objects.create(**said, **times, state=state_)


def test_each_figure_of_the_first_page_is_what_its_link_lists(busy, admin_client, admin_user):
    tasks = tasks_of(admin_user)["Delivery"]
    assert {task.title: task.count for task in tasks} == {
        "Depots that nobody plans": 1,
        "Alerts of the planner": 1,
        "Routes to dispatch": 2,
        "Routes overdue": 1,
        "Routes on the road": 2,
        "Routes late on the road": 1,
        "Shipments without a route": 4,
        "Shipments that fell out": 1,
    }
    for task in tasks:
        shown = admin_client.get(task.url)
        assert shown.status_code == 200, task
        assert shown.context["cl"].result_count == task.count, task
    assert found(admin_client, "shipment", "?trouble=unplannable") == 1


def test_the_sidebar_leads_to_each_list(admin_client, depot):
    home = admin_client.get("/admin/").content.decode()
    for model in ("route", "shipment", "alert", "plan", "planrun", "vehicle", "depot"):
        assert reverse(f"admin:routing_{model}_changelist") in home
