"""When shipments come: what is known of it, and who is told what of it, once."""

from datetime import timedelta
from itertools import permutations

import pytest
from django.db import transaction

from orders import changing
from orders.models import Order, OrderShipment
from supplychain.events.context import new_id
from supplychain.events.models import InboxEntry
from supplychain.home import tasks_of

from .conftest import NOON, URL, consume, drive, filled, names, parcel, place, reserved, told

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
WINDOW = (NOON - timedelta(hours=2), NOON + timedelta(hours=2))
ZONE = "America/Sao_Paulo"
FACTS = ["state", "eta", "window_from", "window_until", "time_zone", "trouble", "reason"]
OF_TIMES = {"promised", "eta_changed", "delayed", "unplannable"}


def at(hours, *, window=None):
    """Planned for so many hours after noon, the window as promised or another one."""
    opens, closes = window or (None, None)
    fields = {"eta": NOON + timedelta(hours=hours), "window_from": opens, "window_until": closes}
    said = {name: value and value.isoformat() for name, value in fields.items()}
    return {**said, "time_zone": ZONE}


def changed(hours):
    return ("late", {"eta": (NOON + timedelta(hours=hours)).isoformat(), "reason": "planned again"})


def facts(order, number=1):
    return OrderShipment.objects.filter(pk=parcel(order, number)).values_list(*FACTS).get()


def told_times(order):
    return [name for name in names(order.pk) if name in OF_TIMES]


def last(order, name):
    found = [e.data for e in told(order.pk) if e.event_type == f"orders.order_{name}"]
    return found[-1]


def notes(order):
    return [reason for reason in order.history.values_list("reason", flat=True) if reason]


def go(order, *steps, number=1, start=1):
    """News that arrive one by one, as they mostly do."""
    for envelope in drive(order, *steps, number=number, start=start):
        consume([envelope])


@pytest.fixture
def order(channel):
    made = place(channel)
    consume([reserved(made, {1: 4})])
    return made


def test_a_promise_is_known_and_told_in_the_depots_time(order, client):
    go(order, "promised")
    assert facts(order) == ("reserved", NOON, *WINDOW, ZONE, "", "")
    said = last(order, "promised")
    assert said["window_from"] == "2026-05-04T10:00:00Z"
    assert (said["eta"], said["time_zone"]) == ("2026-05-04T12:00:00Z", ZONE)
    assert (said["shipment_id"], said["partial"]) == (str(parcel(order)), False)
    assert notes(order) == ["promised for 2026-05-04 07:00 -03 to 2026-05-04 11:00 -03"]
    [shown] = client.get(f"{URL}{order.pk}/").json()["shipments"]
    assert shown == {
        "shipment_id": str(parcel(order)),
        "state": "reserved",
        "warehouse": "W1",
        "quantity": 4,
        "window_from": "2026-05-04T10:00:00Z",
        "window_until": "2026-05-04T14:00:00Z",
        "eta": "2026-05-04T12:00:00Z",
        "time_zone": ZONE,
        "trouble": "",
        "reason": "",
    }


def test_a_plan_that_keeps_the_promise_tells_nothing_new(order):
    go(order, "promised", ("planned", at(1, window=WINDOW)))
    planned = last(order, "planned")
    assert planned["as_promised"] is True
    assert (planned["eta"], planned["window_until"]) == (
        "2026-05-04T13:00:00Z",
        "2026-05-04T14:00:00Z",
    )
    go(order, ("planned", at(1.5, window=WINDOW)), start=3)
    assert told_times(order) == ["promised"]
    assert facts(order)[1] == NOON + timedelta(hours=1.5)


def test_a_plan_without_a_promise_is_told_with_the_order(order):
    go(order, ("planned", at(1, window=WINDOW)))
    planned = last(order, "planned")
    assert (planned["as_promised"], planned["window_from"]) == (False, "2026-05-04T10:00:00Z")
    assert told_times(order) == []


def test_a_window_of_days_tells_nobody_when_to_be_at_home(order):
    go(order, ("planned", at(1, window=(NOON - timedelta(days=1), NOON + timedelta(days=1)))))
    assert last(order, "planned")["window_from"] is None
    go(order, changed(9), start=2)
    assert last(order, "eta_changed")["within_window"] is False


def test_a_promise_that_the_plan_breaks_is_told_though_it_is_a_matter_of_minutes(order):
    go(order, "promised", ("planned", at(2.1)))
    assert told_times(order) == ["promised"]
    assert last(order, "planned")["as_promised"] is False  # and so the customer reads it
    go(order, "dispatched", start=3)
    go(order, changed(2.1), start=4)
    assert told_times(order) == ["promised"]


def test_a_plan_made_again_that_leaves_the_window_is_told_once(order):
    go(order, "promised", ("planned", at(1, window=WINDOW)), ("planned", at(3)), changed(3))
    assert told_times(order) == ["promised", "eta_changed"]
    said = last(order, "eta_changed")
    assert (said["eta"], said["told_before"]) == ("2026-05-04T15:00:00Z", "2026-05-04T13:00:00Z")
    assert (said["within_window"], said["window_from"]) == (False, None)
    assert notes(order)[-1] == (
        "expected at 2026-05-04 12:00 -03 instead of 2026-05-04 10:00 -03: planned again"
    )


def test_a_plan_that_leaves_the_window_by_minutes_is_told_though_routing_finds_it_small(order):
    go(order, "promised", ("planned", at(1.9, window=WINDOW)), ("planned", at(2.1)))
    assert told_times(order) == ["promised", "eta_changed"]


def test_the_same_promise_again_is_no_news(order):
    go(order, "promised", "promised")
    assert told_times(order) == ["promised"]


def test_with_the_order_each_of_its_parts_has_been_told(channel):
    order = place(channel)
    consume([reserved(order, {1: 2, 2: 2})])
    go(order, "planned")
    go(order, ("planned", at(1)), number=2)
    go(order, changed(5), start=2)
    assert last(order, "eta_changed")["told_before"] == "2026-05-04T12:00:00Z"


def test_a_part_that_breaks_its_promise_is_told_though_the_order_says_when_the_last_part_comes(
    channel,
):
    order = place(channel)
    consume([reserved(order, {1: 2, 2: 2})])
    day = timedelta(days=1)
    tomorrow = tuple(moment + day for moment in WINDOW)
    promised = {"window_from": tomorrow[0].isoformat(), "window_until": tomorrow[1].isoformat()}
    go(order, "promised")
    go(order, ("promised", {**promised, "eta": (NOON + day).isoformat()}), number=2)
    go(order, ("planned", at(24, window=tomorrow)), number=2, start=2)
    go(order, ("planned", at(4.5)), start=2)
    assert last(order, "planned")["eta"] == "2026-05-05T12:00:00Z"
    said = last(order, "eta_changed")
    assert (said["shipment_id"], said["eta"]) == (str(parcel(order)), "2026-05-04T16:30:00Z")
    assert said["within_window"] is False
    go(order, changed(4.5), start=3)
    assert told_times(order) == ["promised", "promised", "eta_changed"]


def test_a_change_within_the_window_is_the_channels_business_alone(order):
    go(order, "promised", ("planned", at(0, window=WINDOW)), changed(1))
    said = last(order, "eta_changed")
    assert (said["within_window"], said["window_until"]) == (True, "2026-05-04T14:00:00Z")
    go(order, changed(5), start=4)
    assert last(order, "eta_changed")["within_window"] is False
    assert told_times(order) == ["promised", "eta_changed", "eta_changed"]


def test_a_change_of_what_nobody_was_told_is_not_told(channel):
    order = place(channel)
    consume([reserved(order, {1: 2, 2: 2})])
    go(order, "planned", changed(5))
    assert told_times(order) == []
    go(order, "planned", number=2)
    assert last(order, "planned")["eta"] == "2026-05-04T17:00:00Z"


def test_a_delay_is_told_once_and_then_the_new_time(order):
    go(order, "planned", "delayed", "delayed", "unplannable")
    assert told_times(order) == ["delayed", "unplannable"]
    assert last(order, "delayed")["told_before"] == "2026-05-04T12:00:00Z"
    assert facts(order)[:3] == ("planned", None, None)
    assert facts(order)[5:] == ("unplannable", "no vehicle is free")
    assert Order.objects.get().status == "planned"  # it never goes back
    go(order, ("planned", at(24)), changed(24), start=5)
    assert told_times(order) == ["delayed", "unplannable", "eta_changed"]
    said = last(order, "eta_changed")
    assert (said["eta"], said["told_before"]) == ("2026-05-05T12:00:00Z", None)
    assert facts(order)[5:] == ("", "")


def test_after_a_delay_a_new_promise_is_told_and_the_plan_that_keeps_it_is_not(order):
    go(order, "promised", "delayed", "promised", ("planned", at(1, window=WINDOW)))
    assert told_times(order) == ["promised", "delayed", "promised"]
    assert last(order, "planned")["as_promised"] is True


def test_who_can_not_be_planned_hears_of_it_when_that_breaks_a_promise(order):
    go(order, "unplannable")
    assert told_times(order) == ["unplannable"]
    assert notes(order) == ["not planned: no vehicle is free"]
    go(order, "promised", "unplannable", start=2)
    assert told_times(order) == ["unplannable", "promised", "delayed"]
    assert (last(order, "delayed")["reason"]) == "no vehicle is free"
    assert notes(order)[-1] == "delayed: no vehicle is free"


def test_a_failed_delivery_that_is_promised_again_is_told_by_the_order_step(order):
    go(order, "planned", "dispatched", "failed")
    assert facts(order) == ("failed", None, None, None, "UTC", "", "nobody in")
    go(order, ("planned", at(24)), start=4)
    assert told_times(order) == []
    assert names(order.pk)[-2:] == ["delivery_failed", "planned"]


def test_a_part_that_failed_gets_a_new_time_though_the_order_stands_still(channel):
    order = place(channel)
    consume([reserved(order, {1: 2, 2: 2})])
    go(order, "planned", number=2)
    go(order, "planned", "dispatched", "failed", ("planned", at(24)))
    assert names(order.pk)[-2:] == ["planned", "eta_changed"]
    said = last(order, "eta_changed")
    assert (said["partial"], said["told_before"]) == (True, None)


def test_a_part_is_called_a_part(channel):
    order = place(channel)
    consume([reserved(order, {1: 2}, short=2)])
    go(order, "promised")
    assert last(order, "promised")["partial"] is True
    consume([filled(order, {2: 2})])
    go(order, "promised", number=2)
    assert told_times(order) == ["promised", "promised"]


def test_an_order_that_has_ended_is_told_no_times(order):
    changing.cancel_order(order_id=order.pk, reason="", by="web")
    go(order, "promised", "planned", "delayed", "unplannable")
    assert told_times(order) == []
    assert facts(order)[5] == "unplannable"
    go(order, "cancelled", start=5)
    assert facts(order)[:4] == ("cancelled", None, None, None)
    assert facts(order)[5:] == ("", "")


# --- any order, and twice -----------------------------------------------------------------

STEPS = ["promised", ("planned", at(1, window=WINDOW)), "late", "delayed", ("planned", at(30))]


@pytest.mark.parametrize("batch", [True, False], ids=["in one batch", "one by one"])
def test_any_order_of_news_gives_the_same_facts(channel, batch):
    expected = ("planned", NOON + timedelta(hours=30), None, None, ZONE, "", "")
    for arriving in permutations(range(len(STEPS))):
        with transaction.atomic():
            order = place(channel, external_id=str(new_id()))
            news = drive(order, *STEPS)
            arrived = [news[n] for n in arriving]
            for part in [arrived] if batch else [[envelope] for envelope in arrived]:
                consume(part)
            assert facts(order) == expected, arriving


def test_old_news_alarm_nobody(order):
    go(order, ("planned", at(30)), start=5)
    for number, step in reversed(list(enumerate(STEPS[:4], start=1))):
        go(order, step, start=number)
    assert told_times(order) == []
    assert names(order.pk)[-1] == "planned"


def test_delivered_twice_tells_nothing_twice(order):
    news = drive(order, *STEPS, "unplannable")
    for envelope in news:
        consume([envelope])
    before = (facts(order), names(order.pk), notes(order))
    assert consume(news).duplicates == len(news)
    InboxEntry.objects.all().delete()  # even then
    consume(news)
    assert (facts(order), names(order.pk), notes(order)) == before


def test_the_admin_shows_when_it_comes_and_what_was_said(admin_client, order):
    go(order, "promised", "unplannable")
    text = admin_client.get(f"/admin/orders/order/{order.pk}/change/").content.decode()
    for shown in ("Unplannable", "no vehicle is free", "promised for 2026-05-04 07:00 -03"):
        assert shown in text


def test_the_first_page_counts_what_its_links_list(admin_client, admin_user, channel):
    first, second, third, gone = (place(channel, external_id=f"W-{n}") for n in range(4))
    consume([reserved(order, {1: 4}) for order in (first, second, third, gone)])
    go(first, "planned", "delayed")
    go(gone, "planned", "delayed")
    changing.cancel_order(order_id=gone.pk, reason="", by="web")
    go(second, "planned", "dispatched", "failed")
    go(third, "unplannable")
    Order.objects.filter(pk=third.pk).update(requested_until=NOON)
    tasks = {task.title: task for task in tasks_of(admin_user)["Orders"]}
    figures = {"Late orders": 1, "Delayed orders": 1, "Failed deliveries": 1}
    assert {title: tasks[title].count for title in figures} == figures
    for task in tasks.values():
        page = admin_client.get(task.url)
        assert page.context["cl"].result_count == task.count, task
    page = admin_client.get("/admin/orders/order/?coming=unplannable")
    assert [row.pk for row in page.context["cl"].result_list] == [third.pk]
