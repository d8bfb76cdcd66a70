"""The plan page in a browser: what a dispatcher sees, drags, confirms and is refused."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from conftest import eventually
from routing import planning
from routing.alerting import see_alert
from routing.driving import deliver_stop, dispatch_route, freeze_route
from routing.models import Alert, Plan, PlanRun, Route, Shipment, Stop, Vehicle
from routing.moving import move_stop
from routing.tasks import plan_due_depots as tick

from .browser import expect, marks
from .conftest import books_balance, make_depot, make_shipments, order, parcel, plan, stop_of

pytestmark = marks


class Desk:
    """A dispatcher's browser, logged in, and what it asked for and stumbled over."""

    def __init__(self, browser, server, client, user, **options):
        self.context = browser.new_context(base_url=server.url, **options)
        self.context.set_default_timeout(20_000)
        self.page = self.context.new_page()
        self.wrong, self.hosts = list[str](), set[str]()
        self.allowed = set[int]()
        self.page.on("pageerror", lambda error: self.wrong.append(f"{error}"))
        self.page.on("console", self._console)
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        client.force_login(user)
        cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value}
        self.context.add_cookies([{**cookie, "url": server.url}])

    def _console(self, message):
        """What a refusal looks like to the browser is no fault where one is expected."""
        refused = any(f"status of {status}" in message.text for status in self.allowed)
        if message.type == "error" and not refused and "favicon" not in message.location["url"]:
            self.wrong.append(f"{message.text} {message.location}")

    def open(self, route=None):
        self.page.goto(f"/admin/plan/mill/{route.day}/" if route else "/admin/plan/")
        expect(self.page.locator("html[data-plan]")).to_be_attached()
        return self.page

    def again(self):
        """Look at the day now, as after coming back to the window."""
        self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


@pytest.fixture
def desk(chromium, live_server, client, admin_user):
    made = Desk(chromium, live_server, client, admin_user, viewport={"width": 1440, "height": 1000})
    yield made
    made.context.close()
    assert made.wrong == []
    hosts = {host for host in made.hosts if host}
    assert hosts == {urlsplit(live_server.url).netloc}


@pytest.fixture
def routes(transactional_db):
    """Two, of two stops each, whose vehicles have room for more."""
    depot = make_depot(vehicles=2, kg=10)
    make_shipments(4)
    plan(depot)
    Vehicle.objects.update(capacity_kg=1000)
    return sorted(Route.objects.select_related("depot", "vehicle"), key=lambda r: r.vehicle.name)


def stops(route):
    pending = route.stops.filter(state=Stop.State.PENDING).order_by("position")
    return list(pending.values_list("pk", flat=True))


def card(page, route):
    return page.locator(f'[data-route="{route.pk}"].plan-route')


def unfold(page, *routes):
    for route in routes:
        card(page, route).locator(".plan-route-name").click()
        expect(card(page, route).locator(".plan-stop").first).to_be_visible()


def verdict(page):
    return page.locator("#plan-verdict")


# --- looking --------------------------------------------------------------------------------


def test_the_day_is_drawn_as_map_list_and_timeline(desk, routes):
    page = desk.open()
    assert page.url.endswith(f"/admin/plan/mill/{routes[0].day}/")
    expect(page.locator(".plan-route")).to_have_count(2)
    expect(page.locator("#plan-totals")).to_contain_text("4")
    expect(page.locator("#plan-timeline .tour")).to_have_count(2)
    expect(page.locator("#plan-timeline .service")).to_have_count(4)
    expect(page.locator("#plan-map canvas").first).to_be_visible()
    expect(page.locator("#plan-map .plan-city").first).to_be_attached()
    expect(page.locator("#plan-map")).to_contain_text("Natural Earth")
    unfold(page, routes[0])
    page.locator(".plan-stop .plan-link").first.click()
    popup = page.locator(".plan-popup")
    expect(popup).to_contain_text("1 Mill Lane")
    expect(popup.get_by_role("link", name="Shipment")).to_be_visible()
    expect(popup.get_by_role("link", name="Order’s journey")).to_be_visible()


def test_a_route_leads_to_its_driver_and_its_page_in_the_admin(desk, routes):
    page, (first, _) = desk.open(), routes
    card(page, first).get_by_role("link", name="Driver").click()
    page.wait_for_url(f"**/drive/{first.pk}/")
    page.go_back()
    card(page, first).get_by_role("link", name="Details").click()
    page.wait_for_url(f"**/admin/routing/route/{first.pk}/change/")


def test_one_route_is_shown_alone_from_the_list_and_from_the_timeline(desk, routes):
    page, (first, second) = desk.open(), routes
    card(page, second).hover()
    card(page, second).get_by_role("button", name="Show").click()
    expect(card(page, second)).to_have_class("plan-route selected hovered")
    expect(card(page, second).locator(".plan-stop")).to_have_count(2)
    page.locator(f'[data-stop="{stops(first)[1]}"].service').hover()
    expect(page.locator(".plan-tip")).to_contain_text("service")
    page.locator(f'[data-stop="{stops(first)[1]}"].service').click()
    expect(card(page, first).locator(".plan-stop.chosen")).to_have_count(1)
    expect(page.locator(".plan-popup")).to_contain_text("2 of 2")


def test_a_stop_is_found_by_customer_order_or_shipment(desk, routes):
    page = desk.open()
    one = stop_of(3)
    for text in (one.shipment.customer, str(one.shipment.order_id), str(one.shipment_id)[:13]):
        page.locator("#plan-search").fill(text)
        expect(page.locator(".plan-stop")).to_have_count(1)
        expect(page.locator(".plan-stop")).to_contain_text("Customer 3")
    page.locator("#plan-search").fill("nobody at all")
    expect(page.locator("#plan-list")).to_contain_text("No stop of this day matches")
    page.locator("#plan-search").fill("")
    expect(page.locator(".plan-route")).to_have_count(2)


def test_what_drivers_do_is_seen_without_a_reload(desk, routes):
    page = desk.open()
    dispatch_route(route_id=routes[0].pk)
    deliver_stop(stop_id=stops(routes[0])[0], proof_name="Ann")
    desk.again()
    expect(card(page, routes[0])).to_contain_text("1/2 stops")
    expect(card(page, routes[0]).locator(".plan-state").first).to_have_text("dispatched")
    expect(card(page, routes[0]).get_by_role("button", name="Dispatch", exact=True)).to_have_count(
        0
    )


def test_who_is_logged_out_is_led_to_the_log_in(desk, routes):
    page = desk.open()
    desk.context.clear_cookies()
    desk.allowed |= {401, 403}
    desk.again()
    expect(page.locator("#plan-messages .bad")).to_contain_text("What is shown is of")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/admin/login/?next=/admin/plan/mill/**")


def test_an_open_popup_stays_when_the_day_changes(desk, routes):
    page = desk.open()
    unfold(page, routes[0])
    page.locator(".plan-stop .plan-link").first.click()
    expect(page.locator(".plan-popup")).to_be_visible()
    old = page.locator(".plan-popup").element_handle()
    freeze_route(route_id=routes[1].pk, frozen=True)
    desk.again()
    expect(card(page, routes[1]).locator(".plan-state")).to_have_text("frozen")
    old.wait_for_element_state("hidden")
    expect(page.locator(".plan-popup")).to_be_visible()


def test_who_comes_after_their_window_is_marked_late(desk, routes):
    page = desk.open()
    late = timezone.now() - timedelta(hours=1)
    Shipment.objects.filter(pk=stop_of(1).shipment_id).update(
        requested_from=late, requested_until=late
    )
    desk.again()
    expect(page.locator("#plan-totals .bad")).to_contain_text("Late1")
    expect(page.locator("#plan-timeline .service.late")).to_have_count(1)


def test_unserved_shipments_stand_there_with_reason_and_advice(desk, routes):
    make_shipments(1, first=9, kg=5000)
    plan(routes[0].depot)
    page = desk.open()
    row = page.locator("#plan-unserved tbody tr")
    expect(row).to_contain_text("5000 kg are more than any vehicle carries")
    expect(row).to_contain_text("larger vehicle")
    row.get_by_role("button", name="Show Customer 9 on the map").click()
    expect(page.locator(".plan-popup")).to_contain_text("5000 kg are more")


def test_an_alert_about_another_day_leads_to_what_it_is_about(desk, routes):
    known = {"depot": routes[0].depot, "text": "it", "at": timezone.now()}
    kinds = {Alert.Kind.NOT_DISPATCHED: "route", Alert.Kind.FELL_OUT: "shipment"}
    for number, kind in enumerate(kinds):
        Alert.objects.create(kind=kind, subject_id=order(number), **known)
    page = desk.open()
    for number, what in enumerate(kinds.values()):
        link = page.locator("#plan-alerts").get_by_role("link", name=f"The {what}")
        expect(link).to_have_attribute("href", f"/admin/routing/{what}/{order(number)}/change/")


def test_an_alert_is_seen(desk, routes, admin_user):
    kept = {"depot": routes[0].depot, "kind": Alert.Kind.NOT_DISPATCHED, "at": timezone.now()}
    alert = Alert.objects.create(subject_id=routes[0].pk, text="has not left", **kept)
    other = Alert.objects.create(subject_id=stop_of(1).shipment_id, text="late", **kept)
    page = desk.open()
    expect(page.locator("#plan-alerts li")).to_have_count(2)
    page.locator("#plan-alerts li", has_text="has not left").get_by_role(
        "button", name="Seen"
    ).click()
    expect(page.locator("#plan-alerts li")).to_have_count(1)
    alert.refresh_from_db()
    assert alert.seen_by == admin_user.username
    see_alert(alert_id=other.pk, by="somebody else")
    desk.again()
    expect(page.locator("#plan-alerts")).to_be_hidden()


def test_who_may_only_look_finds_nothing_to_press(chromium, live_server, client, routes):
    make_shipments(1, first=9)
    looker = User.objects.create_user("looker", is_staff=True)
    looker.user_permissions.set(Permission.objects.filter(codename="view_route"))
    desk = Desk(chromium, live_server, client, looker)
    page = desk.open()
    unfold(page, routes[0])
    for name in ("Plan now", "Freeze", "Dispatch", "Move", "Put"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.locator(".plan-stop .plan-link").first.click()
    expect(page.locator(".plan-popup")).to_be_visible()
    expect(page.locator(".plan-popup button")).to_have_count(0)
    expect(page.get_by_role("link", name="Driver")).to_have_count(0)
    assert page.locator("[draggable]").count() == 0
    desk.context.close()
    assert desk.wrong == []


# --- moving ---------------------------------------------------------------------------------


def test_a_stop_is_dragged_to_another_route_after_a_look_at_the_cost(desk, routes):
    page, (first, second) = desk.open(), routes
    unfold(page, first, second)
    stop, there = stops(first)[0], stops(second)[1]
    page.locator(f'[data-stop="{stop}"].plan-stop').drag_to(
        page.locator(f'[data-stop="{there}"].plan-stop'), target_position={"x": 60, "y": 4}
    )
    expect(verdict(page)).to_contain_text("Cost")
    expect(verdict(page)).to_contain_text("km")
    assert stops(first)[0] == stop  # nothing yet
    page.locator("#plan-confirm").click()
    expect(page.locator("#plan-messages")).to_contain_text(f"is stop 2 of {second.vehicle.name}")
    assert stops(second)[1] == stop and stops(first) == [s for s in stops(first) if s != stop]
    expect(card(page, second)).to_contain_text("3 stops")
    assert Plan.objects.latest("version").why == "moved by hand"
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#plan-messages")).to_contain_text(f"is back in {first.vehicle.name}")
    assert stops(first)[0] == stop
    books_balance()


def test_while_it_hovers_the_hint_tells_the_cost(desk, routes):
    page, (first, second) = desk.open(), routes
    unfold(page, first)
    page.locator(f'[data-stop="{stops(first)[0]}"].plan-stop').hover()
    page.mouse.down()
    box = card(page, second).bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 30, steps=5)
    page.mouse.move(box["x"] + 60, box["y"] + 40, steps=5)
    expect(page.locator("#plan-hint")).to_contain_text("Cost")
    page.mouse.move(5, 5, steps=5)
    page.mouse.up()
    expect(page.locator("#plan-hint")).to_be_hidden()
    books_balance()


def test_a_stop_is_moved_by_the_keyboard_alone(desk, routes):
    page, (first, second) = desk.open(), routes
    unfold(page, first)
    stop = stops(first)[1]
    page.locator(f'[data-focus="move-{stop}"]').focus()
    page.keyboard.press("Enter")
    expect(verdict(page)).to_contain_text("Cost")
    page.locator("#plan-move-place").select_option("1")
    expect(page.locator("#plan-confirm")).to_be_enabled()
    page.locator("#plan-confirm").press("Enter")
    expect(page.locator("#plan-messages")).to_contain_text("is stop 1 of")
    assert stops(second)[0] == stop


def test_the_last_stop_of_a_route_goes_to_a_new_one_and_back(desk, routes):
    first, second = routes
    spare = Vehicle.objects.create(
        depot=first.depot, name="spare", shift_start=first.vehicle.shift_start
    )
    move_stop(stop_id=stops(first)[0], route_id=second.pk)
    page, stop = desk.open(), stops(first)[0]
    unfold(page, first)
    page.locator(f'[data-focus="move-{stop}"]').click()
    page.locator("#plan-move-route").select_option(label="spare, a new route")
    expect(page.locator("#plan-confirm")).to_be_enabled()
    page.locator("#plan-confirm").click()
    expect(page.locator("#plan-messages")).to_contain_text("is stop 1 of spare")
    expect(card(page, first)).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#plan-messages")).to_contain_text(f"is back in {first.vehicle.name}")
    assert Stop.objects.get(pk=stop).route.vehicle == first.vehicle
    assert spare.routes.get().state == Route.State.WITHDRAWN
    books_balance()


@pytest.fixture
def apart(transactional_db):
    """Two routes of two stops each, one to the west and one to the east."""
    depot = make_depot(vehicles=2, kg=10)
    for number, east in enumerate((-0.3, -0.4, 0.3, 0.4), start=1):
        make_shipments(1, first=number, near=0.05 * number)
        Shipment.objects.filter(pk=parcel(number)).update(longitude=depot.longitude + east)
    plan(depot)
    Vehicle.objects.update(capacity_kg=1000)
    return sorted(Route.objects.select_related("depot", "vehicle"), key=lambda r: r.vehicle.name)


def test_a_stop_is_moved_from_its_popup(desk, routes):
    page, (first, second) = desk.open(), routes
    unfold(page, first)
    page.locator(".plan-stop .plan-link").first.click()
    page.locator(".plan-popup").get_by_role("button", name="Move…").click()
    expect(verdict(page)).to_contain_text("Cost")
    page.locator("#plan-confirm").click()
    expect(page.locator("#plan-messages")).to_contain_text(f"of {second.vehicle.name}")
    assert len(stops(second)) == 3


def test_the_nearest_route_is_tried_first(desk, transactional_db):
    depot = make_depot(vehicles=3, kg=5)
    make_shipments(3)
    plan(depot)
    first, far, near = Route.objects.order_by("vehicle__name")
    Shipment.objects.filter(stops__route=far).update(longitude=depot.longitude + 1)
    page = desk.open()
    unfold(page, first)
    page.locator(".plan-stop .plan-small").click()
    chosen = page.locator("#plan-move-route option:checked")
    expect(chosen).to_contain_text(near.vehicle.name)


def test_a_stop_is_dragged_on_the_map_onto_another_route(desk, apart):
    page, (first, second) = desk.open(), apart
    unfold(page, first, second)
    (stop, _), (there, _) = stops(first), stops(second)
    page.get_by_role("button", name="Zoom out").click()
    begin, end = on_the_map(page, stop, there)
    drag(page, begin, {"x": end["x"] + 80, "y": end["y"] + 60})
    expect(page.locator("#plan-dialog")).to_be_hidden()  # nobody is there
    drag(page, begin, end)
    expect(verdict(page)).to_contain_text("Cost")
    expect(page.locator("#plan-move-route option:checked")).to_contain_text(second.vehicle.name)
    page.locator("#plan-confirm").click()
    expect(page.locator("#plan-messages")).to_contain_text(f"of {second.vehicle.name}")
    assert stop in stops(second)
    books_balance()


def on_the_map(page, *stops):
    """Where the stops are when the map has come to rest."""
    before = None
    for _ in range(20):
        if (now := [pointed_to(page, stop) for stop in stops]) == before:
            return now
        before = now
    raise AssertionError("the map does not come to rest")


def pointed_to(page, stop):
    """Where its popup points to; it is closed again."""
    page.locator(f'[data-stop="{stop}"].plan-stop .plan-link').click()
    return tip_of_popup(page)


def tip_of_popup(page):
    tip = page.locator(".leaflet-popup-tip-container")
    expect(tip).to_be_visible()
    box = tip.bounding_box()
    page.locator(".leaflet-popup-close-button").click()
    expect(tip).to_have_count(0)
    return {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"]}


def drag(page, begin, end):
    page.mouse.move(**begin)
    page.mouse.down()
    page.mouse.move((begin["x"] + end["x"]) / 2, (begin["y"] + end["y"]) / 2)
    page.mouse.move(**end)
    page.mouse.up()


def test_who_waits_is_put_into_a_route_by_the_keyboard_alone(desk, routes):
    make_shipments(1, first=9)
    page, (_, second) = desk.open(), routes
    page.get_by_role("button", name="Put Customer 9 into a route").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#plan-dialog")).to_contain_text("Put Customer 9 into a route")
    page.locator("#plan-move-route").select_option(str(second.pk))
    expect(verdict(page)).to_contain_text("Cost")
    expect(page.locator("#plan-confirm")).to_be_enabled()
    page.keyboard.press("Tab")
    page.locator("#plan-confirm").press("Enter")
    expect(page.locator("#plan-messages")).to_contain_text(f"of {second.vehicle.name}")
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    expect(page.locator("#plan-unserved")).to_contain_text("Every shipment")
    assert stop_of(9).route_id == second.pk
    books_balance()


def test_who_waits_is_dragged_from_the_list_below_to_a_route(desk, routes):
    make_shipments(1, first=9)
    page, (first, _) = desk.open(), routes
    page.set_viewport_size({"width": 1440, "height": 2400})
    page.locator("#plan-unserved tbody tr").drag_to(card(page, first))
    expect(verdict(page)).to_contain_text("Cost")
    expect(page.locator("#plan-move-route option:checked")).to_contain_text(first.vehicle.name)
    page.locator("#plan-confirm").click()
    expect(page.locator("#plan-messages")).to_contain_text(f"of {first.vehicle.name}")
    assert stop_of(9).route_id == first.pk
    books_balance()


def test_who_waits_is_dragged_on_the_map_onto_a_route(desk, apart):
    make_shipments(1, first=9, near=0.15)
    page, (first, second) = desk.open(), apart
    page.set_viewport_size({"width": 1440, "height": 2400})  # nothing is scrolled into view
    unfold(page, first, second)
    page.get_by_role("button", name="Zoom out").click()
    (end,) = on_the_map(page, stops(second)[0])
    page.get_by_role("button", name="Show Customer 9 on the map").click()
    expect(page.locator(".plan-popup button")).to_contain_text("Put into a route")
    drag(page, tip_of_popup(page), end)
    expect(verdict(page)).to_contain_text("Cost")
    expect(page.locator("#plan-move-route option:checked")).to_contain_text(second.vehicle.name)
    page.locator("#plan-confirm").click()
    expect(page.locator("#plan-messages")).to_contain_text(f"of {second.vehicle.name}")
    assert stop_of(9).route_id == second.pk
    books_balance()


def test_the_order_within_a_route_is_changed(desk, routes):
    first, second = routes
    move_stop(stop_id=stops(second)[0], route_id=first.pk)
    page = desk.open()
    unfold(page, first)
    one, two, three = stops(first)
    page.locator(f'[data-stop="{one}"].plan-stop').drag_to(
        page.locator(f'[data-stop="{two}"].plan-stop'), target_position={"x": 60, "y": 50}
    )
    expect(page.locator("#plan-confirm")).to_be_enabled()
    page.locator("#plan-confirm").click()
    expect(page.locator("#plan-messages")).to_contain_text("is stop 2 of")
    assert stops(first) == [two, one, three]


def test_a_move_that_breaks_a_rule_says_which_and_moves_nothing(desk, routes):
    page, (first, second) = desk.open(), routes
    Vehicle.objects.update(capacity_kg=10)
    before = stops(first), stops(second)
    unfold(page, first)
    page.locator(f'[data-focus="move-{stops(first)[0]}"]').click()
    expect(verdict(page)).to_contain_text(f"{second.vehicle.name}: 15 kg over its 10")
    expect(page.locator("#plan-confirm")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(page.locator("#plan-dialog")).to_be_hidden()
    assert (stops(first), stops(second)) == before


def test_what_was_changed_meanwhile_refuses_the_move(desk, routes):
    page, (first, second) = desk.open(), routes
    unfold(page, first)
    page.locator(f'[data-focus="move-{stops(first)[0]}"]').click()
    expect(page.locator("#plan-confirm")).to_be_enabled()
    freeze_route(route_id=second.pk, frozen=True)
    desk.allowed.add(409)
    page.locator("#plan-confirm").click()
    expect(verdict(page)).to_contain_text("is frozen")
    assert len(stops(first)) == 2


def test_a_lost_network_is_told_and_nothing_is_lost(desk, routes):
    page, (first, _) = desk.open(), routes
    unfold(page, first)
    desk.context.set_offline(True)
    page.locator(f'[data-focus="move-{stops(first)[0]}"]').click()
    expect(verdict(page)).to_contain_text("can't be reached")
    page.keyboard.press("Escape")
    desk.again()
    expect(page.locator("#plan-messages .bad")).to_contain_text("can't be reached")
    expect(page.locator(".plan-route")).to_have_count(2)
    desk.context.set_offline(False)
    desk.again()
    expect(page.locator("#plan-messages .bad")).to_have_count(0)
    desk.wrong[:] = [text for text in desk.wrong if "ERR_INTERNET_DISCONNECTED" not in text]


# --- freeze, dispatch, plan -----------------------------------------------------------------


def test_a_route_is_frozen_and_thawed(desk, routes):
    page, (first, _) = desk.open(), routes
    card(page, first).get_by_role("button", name="Freeze").click()
    expect(card(page, first).locator(".plan-state")).to_have_text("frozen")
    assert Route.objects.get(pk=first.pk).frozen
    card(page, first).get_by_role("button", name="Thaw").click()
    expect(card(page, first).locator(".plan-state")).to_have_text("planned")
    assert not Route.objects.get(pk=first.pk).frozen


def test_a_route_leaves_after_a_confirmation_that_names_it(desk, routes):
    page, (first, _) = desk.open(), routes
    card(page, first).get_by_role("button", name="Dispatch", exact=True).click()
    confirm = page.locator("#plan-confirm")
    expect(confirm).to_have_text(f"Dispatch {first.vehicle.name}, 2 stops")
    page.get_by_role("button", name="Cancel").click()
    assert Route.objects.get(pk=first.pk).state == Route.State.PLANNED
    card(page, first).get_by_role("button", name="Dispatch", exact=True).click()
    confirm.click()
    expect(card(page, first).locator(".plan-state").first).to_have_text("dispatched")
    assert Route.objects.get(pk=first.pk).state == Route.State.DISPATCHED


def test_a_plan_asked_for_is_shown_while_it_is_made_and_when_it_is_done(desk, routes):
    page = desk.open()
    make_shipments(1, first=9)
    page.get_by_role("button", name="Plan now").click()
    expect(page.locator("#plan-messages .busy")).to_contain_text("begins it in a moment")
    expect(page.locator("#plan-now")).to_be_disabled()
    assert tick() == 1
    desk.again()
    expect(page.locator("#plan-messages")).to_contain_text("Planned: 1 new")
    expect(page.locator("#plan-now")).to_be_enabled()


def test_a_run_under_way_is_told(desk, routes):
    page = desk.open()
    planning._start_run(routes[0].depot)
    desk.allowed.add(409)
    page.get_by_role("button", name="Plan now").click()
    expect(page.locator("#plan-messages .bad")).to_contain_text("is under way")
    expect(page.locator("#plan-messages .busy")).to_contain_text("at work")
    PlanRun.objects.filter(state=PlanRun.State.RUNNING).update(state=PlanRun.State.FAILED)
    eventually(lambda: page.locator("#plan-now").is_enabled())


# --- comparing ------------------------------------------------------------------------------


def test_two_versions_are_compared_in_words_and_on_the_map(desk, routes):
    first, second = routes
    stop = stops(first)[0]
    move_stop(stop_id=stop, route_id=second.pk, position=1)
    page = desk.open()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#plan-difference")).to_contain_text("cost")
    table = page.locator("#plan-comparison table")
    expect(table.locator("tr", has_text="another vehicle")).to_have_count(1)
    expect(table).to_contain_text(f"{second.vehicle.name}, stop 1")
    expect(page.locator(".leaflet-earlier-pane canvas")).to_be_attached()
    move_stop(stop_id=stop, route_id=second.pk, position=3)
    desk.again()
    expect(page.locator("#plan-comparison select").first.locator("option")).to_have_count(3)
    page.locator("#plan-comparison select").nth(1).select_option(index=1)
    expect(table.locator("tr", has_text="another vehicle")).to_have_count(1)
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#plan-comparison")).to_be_hidden()


# --- elsewhere ------------------------------------------------------------------------------


def test_on_a_phone_nothing_is_wider_than_the_screen(chromium, live_server, client, routes):
    admin = User.objects.create_superuser("boss")
    options = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    desk = Desk(chromium, live_server, client, admin, **options)
    page = desk.open()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    unfold(page, routes[0])
    page.locator(".plan-stop .plan-small").first.tap()
    expect(verdict(page)).to_contain_text("Cost")
    desk.context.close()
    assert desk.wrong == []


def test_tiles_take_the_place_of_the_outlines(desk, routes, settings, live_server):
    settings.MAP_TILES = (
        f"{live_server.url}/static/routing/vendor/leaflet/images/layers.png?{{z}}{{x}}{{y}}"
    )
    settings.MAP_ATTRIBUTION = "Tiles of ours"
    page = desk.open()
    expect(page.locator("#plan-map")).to_contain_text("Tiles of ours")
    expect(page.locator("#plan-map img.leaflet-tile").first).to_be_attached()
    expect(page.locator("#plan-map .plan-city")).to_have_count(0)


def test_a_manifest_is_printed_a_page_per_route(desk, routes):
    page = desk.page
    page.goto(f"/admin/plan/mill/{routes[0].day}/manifest/")
    page.evaluate("window.print = () => { window.printed = true; }")
    page.get_by_role("button", name="Print").click()
    assert page.evaluate("window.printed")
    page.emulate_media(media="print")
    expect(page.locator(".screen")).to_be_hidden()
    assert page.pdf().count(b"/Type /Page\n") == 2
