"""The admin's pages of routing: they open, find, and change only through services."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from routing.models import Depot, PlanRun, Route, Vehicle
from routing.planning import _start_run

from .conftest import make_depot, make_shipments, order, parcel, plan, planned_route, state

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
    assert (depot.name, depot.latitude) == ("Mill", 53.96)


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
