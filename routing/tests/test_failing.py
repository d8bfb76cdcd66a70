"""Whoever waits, and whoever could help, hear that planning fails."""

from datetime import timedelta

import pytest
from django.utils import timezone

from routing.alerting import see_alert
from routing.models import Alert, Shipment, Vehicle
from routing.planning import plan_due_depots

from .conftest import books_balance, data_of, make_shipments, parcel, plan, settle, told
from .test_planning import failing  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db(transaction=True)


def alerts():
    return Alert.objects.filter(kind=Alert.Kind.PLANNING_FAILS)


def test_the_third_failure_in_a_row_is_told_once(failing):  # noqa: F811
    for _ in range(2):
        plan(failing)
    assert not alerts().exists()
    for _ in range(3):
        plan(failing)
    alert = alerts().get()
    assert alert.text.startswith("Planning mill has failed 3 times in a row: BadProblem: vehicle")
    assert told().count("staff_alerted") == 1
    see_alert(alert_id=alert.pk, by="ann")
    plan(failing)
    assert alerts().count() == 1, "who has seen it knows"


def test_when_planning_works_again_the_alert_is_over_and_may_come_again(failing):  # noqa: F811
    for _ in range(3):
        plan(failing)
    Vehicle.objects.update(capacity_kg=1000)
    assert plan(failing).planned == 3
    assert alerts().get().seen_by == "planning works again"
    Vehicle.objects.update(capacity_kg=-1)
    make_shipments(1, first=4)
    settle()
    for _ in range(3):
        plan(failing)
    assert alerts().filter(seen_at=None).count() == 1


def test_a_promise_that_passes_while_planning_fails_is_told(failing):  # noqa: F811
    over = timezone.now() - timedelta(minutes=1)
    row = Shipment.objects.filter(pk=parcel(2))
    row.update(promised_from=over - timedelta(hours=2), promised_until=over, promised_day=over)
    ahead = over + timedelta(hours=2)
    Shipment.objects.filter(pk=parcel(3)).update(promised_from=over, promised_until=ahead)
    for _ in range(2):
        plan_due_depots()
    (tale,) = data_of("shipment_delayed")
    assert tale["shipment_id"] == str(parcel(2))
    assert tale["reason"] == "the time that was promised is over, and it has not left"
    assert (row.get().promised_until, row.get().promised_day) == (None, None)
    assert Shipment.objects.get(pk=parcel(3)).promised_until == ahead
    books_balance()
