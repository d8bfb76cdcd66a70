"""manage.py plan and set_fleet."""

import pytest
from django.core.management import CommandError, call_command

from routing.models import Vehicle
from routing.planning import _start_run

from .conftest import make_depot, make_shipments, state

pytestmark = pytest.mark.django_db(transaction=True)
FLEET = {"vehicles": 2, "capacity_kg": 50.0, "capacity_m3": 2.0, "shift_hours": 6.0}


def test_plan_plans_all_depots_or_one(capsys):
    make_depot("mill")
    make_depot("quarry")
    make_shipments(2)
    make_shipments(1, first=3, depot="quarry")
    call_command("plan", depot="quarry")
    assert (state(1), state(3)) == ("open", "planned")
    call_command("plan")
    assert state(1) == "planned"
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" (")[0] for line in lines] == [
        "quarry: 1 planned, 0 not",
        "mill: 2 planned, 0 not",
        "quarry: 0 planned, 0 not",
    ]


def test_plan_says_that_a_run_is_under_way(capsys):
    _start_run(make_depot())
    call_command("plan")
    assert capsys.readouterr().out == "mill: a run is under way\n"


def test_plan_names_a_depot_that_is_not_there():
    with pytest.raises(CommandError, match="no depot 'nowhere'"):
        call_command("plan", depot="nowhere")


def test_set_fleet_gives_one_or_all_depots_their_vehicles(capsys):
    make_depot("mill")
    make_depot("quarry")
    call_command("set_fleet", depot="mill", **FLEET)
    assert Vehicle.objects.filter(depot__code="mill", active=True, capacity_kg=50).count() == 2
    assert Vehicle.objects.filter(depot__code="quarry", capacity_kg=50).count() == 0
    call_command("set_fleet", **FLEET)
    assert Vehicle.objects.filter(active=True, capacity_kg=50, shift_hours=6).count() == 4
    assert capsys.readouterr().out.splitlines()[0] == "mill: 2 vehicles"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"vehicles": 0}, "vehicles must be above 0"),
        ({"capacity_kg": float("nan")}, "capacity_kg must be above 0"),
        ({"shift_hours": 1e6}, "shift_hours must be above 0 and at most 744"),
        ({"depot": "nowhere"}, "no such depot"),
    ],
)
def test_set_fleet_refuses_nonsense(wrong, message):
    make_depot()
    before = list(Vehicle.objects.order_by("pk").values())
    with pytest.raises(CommandError, match=message):
        call_command("set_fleet", **{**FLEET, **wrong})
    assert list(Vehicle.objects.order_by("pk").values()) == before
