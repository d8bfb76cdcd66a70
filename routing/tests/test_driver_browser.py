"""The driver's page in a browser, on a phone: with network, without, and with one that loses
answers."""

import io
import re

import pytest
from django.contrib.auth.models import Group, User
from PIL import Image

from conftest import eventually
from routing import drivers, driving
from routing.models import ProofPhoto, Shipment, Stop, Vehicle

from .browser import expect, marks
from .conftest import books_balance, cancelled, data_of, hear, planned_route, stop_of, told

pytestmark = marks


@pytest.fixture
def phone(chromium, live_server):
    """A page of a phone; whatever its scripts stumble over fails the test."""
    context = chromium.new_context(
        base_url=live_server.url,
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
    )
    context.set_default_timeout(20_000)
    page, wrong = context.new_page(), list[object]()
    page.on("pageerror", lambda error: wrong.append(error))
    yield page
    context.close()
    assert not wrong


@pytest.fixture
def route(transactional_db):
    ann = User.objects.create_user("ann", password="ann")
    ann.groups.add(Group.objects.get(name="drivers"))
    made = planned_route(3)
    Vehicle.objects.filter(pk=made.vehicle_id).update(driver=ann)
    for number in (1, 2, 3):  # in the order in which they are driven
        stop = Stop.objects.get(position=number)
        Shipment.objects.filter(pk=stop.shipment_id).update(customer=f"Door {number}")
    return made


@pytest.fixture
def on_the_road(phone, route):
    driving.dispatch_route(route_id=route.pk)
    log_in(phone)
    phone.locator("a.card").click()
    expect(next_stop(phone)).to_have_text("Door 1")
    return phone


def log_in(phone, name="ann"):
    phone.goto("/drive/")
    phone.get_by_label("User name").fill(name)
    phone.get_by_label("Password").fill(name)
    phone.get_by_role("button", name="Log in").click()
    expect(phone.get_by_role("button", name="Log out")).to_be_visible()


def next_stop(phone):
    return phone.locator("#next h1")


def tap(phone, name):
    phone.get_by_role("button", name=name, exact=True).click()


def deliver(phone, who="A neighbour"):
    tap(phone, "Delivered")
    tap(phone, who)
    tap(phone, "Yes, delivered")


def stop_at(position):
    return Stop.objects.get(position=position)


def photo(width=3000, height=2000):
    out = io.BytesIO()
    Image.new("RGB", (width, height), "green").save(out, "JPEG")
    return {"name": "IMG.jpg", "mimeType": "image/jpeg", "buffer": out.getvalue()}


def test_a_driver_leaves_delivers_with_name_and_photo_and_fails_with_a_reason(phone, route):
    log_in(phone)
    phone.locator("a.card").click()
    tap(phone, "Leave the depot")
    tap(phone, "Yes, leave now")
    expect(next_stop(phone)).to_have_text("Door 1")
    expect(phone.get_by_role("link", name="Navigate")).to_have_attribute(
        "href", re.compile("^geo:")
    )

    tap(phone, "Delivered")
    tap(phone, "Yes, delivered")
    expect(phone.get_by_text("Say who took it")).to_be_visible()
    phone.get_by_label("Who took it?").fill("Eve Doe")
    sent = []
    phone.on(
        "request", lambda request: sent.append(request) if "/deliver/" in request.url else None
    )
    phone.get_by_label("Take a photo").set_input_files(photo())
    expect(phone.get_by_alt_text("Photo 1")).to_be_visible()
    tap(phone, "Yes, delivered")
    expect(next_stop(phone)).to_have_text("Door 2")
    expect(phone.get_by_text("delivered to Eve Doe, 1 photo")).to_be_visible()
    kept = ProofPhoto.objects.get()
    assert (kept.stop.position, kept.width, kept.height) == (1, 1600, 1067)
    assert stop_at(1).proof_name == "Eve Doe"

    tap(phone, "Not delivered")
    tap(phone, "Yes, not delivered")
    expect(phone.get_by_text("Say why.")).to_be_visible()
    phone.get_by_label("No access").check()
    tap(phone, "Yes, not delivered")
    expect(next_stop(phone)).to_have_text("Door 3")
    tap(phone, "Not delivered")
    phone.get_by_label("Something else").check()
    phone.get_by_label("Why it was not delivered").fill("A dog in the yard")
    tap(phone, "Yes, not delivered")
    expect(phone.get_by_text("1 delivered, 2 to bring back:")).to_be_visible()
    eventually(lambda: stop_at(3).state == "failed")
    assert (stop_at(2).reason, stop_at(3).reason) == ("No access", "A dog in the yard")
    assert told()[-1] == "route_completed"
    books_balance()


def test_a_photo_is_made_small_before_it_is_sent(on_the_road):
    phone = on_the_road
    tap(phone, "Delivered")
    phone.get_by_label("Take a photo").set_input_files(photo(6000, 4000))
    taken = phone.get_by_alt_text("Photo 1")
    expect(taken).to_be_visible()
    assert taken.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1600
    tap(phone, "Yes, delivered")
    eventually(lambda: ProofPhoto.objects.filter(width=1600).exists())


def test_what_was_tapped_without_network_is_sent_once_when_it_is_back(on_the_road):
    phone = on_the_road
    phone.context.set_offline(True)
    deliver(phone)
    expect(next_stop(phone)).to_have_text("Door 2")
    tap(phone, "Not delivered")
    phone.get_by_label("Take a photo").set_input_files(photo())
    expect(phone.get_by_alt_text("Photo 1")).to_be_visible()
    phone.get_by_label("Nobody there").check()
    tap(phone, "Yes, not delivered")
    expect(next_stop(phone)).to_have_text("Door 3")
    expect(phone.get_by_role("status")).to_contain_text("2 waiting to be sent")
    assert stop_at(1).state == stop_at(2).state == "pending"
    before = len(told())
    phone.context.set_offline(False)
    expect(phone.get_by_role("status")).to_be_hidden()
    expect(next_stop(phone)).to_have_text("Door 3")
    assert (stop_at(1).state, stop_at(2).state) == ("delivered", "failed")
    assert told(since=before) == ["stop_delivered", "stop_failed"]
    assert ProofPhoto.objects.get().stop.position == 2


def test_a_page_that_the_phone_closed_opens_without_network_with_all_that_was_answered(on_the_road):
    phone = on_the_road
    phone.evaluate("navigator.serviceWorker.ready.then(() => true)")
    phone.reload()  # by way of the worker, who keeps it
    deliver(phone)
    expect(phone.get_by_text("delivered to A neighbour")).to_be_visible()
    phone.context.set_offline(True)
    deliver(phone)
    expect(next_stop(phone)).to_have_text("Door 3")
    phone.reload()
    expect(next_stop(phone)).to_have_text("Door 3")
    expect(phone.get_by_role("status")).to_contain_text("1 waiting to be sent")
    phone.context.set_offline(False)
    expect(phone.get_by_role("status")).to_be_hidden()
    eventually(lambda: stop_at(2).state == "delivered")
    assert told().count("stop_delivered") == 2


def test_an_answer_whose_confirmation_was_lost_counts_once(on_the_road):
    phone, lost = on_the_road, list[int]()

    def swallow(route):
        """The server has it, the phone doesn't know."""
        if not lost:
            lost.append(route.fetch().status)
            return route.abort("connectionreset")
        return route.continue_()

    phone.route("**/deliver/", swallow)
    deliver(phone)
    expect(phone.get_by_role("status")).to_contain_text("1 waiting to be sent")
    expect(phone.get_by_text("delivered to A neighbour")).to_be_visible()  # it tried again
    expect(phone.get_by_role("status")).to_be_hidden()
    assert lost == [200]
    assert told().count("stop_delivered") == 1


def test_a_server_that_is_away_for_a_while_gets_it_later(on_the_road):
    phone, tries = on_the_road, []

    def away(route):
        tries.append(route.request.url)
        return route.fulfill(status=503) if len(tries) < 3 else route.continue_()

    phone.route("**/deliver/", away)
    deliver(phone)
    expect(phone.get_by_text("delivered to A neighbour")).to_be_visible(timeout=30_000)
    assert len(tries) == 3
    assert stop_at(1).state == "delivered"


def test_what_was_cancelled_meanwhile_is_not_handed_over(on_the_road):
    phone = on_the_road
    number = next(n for n in (1, 2, 3) if stop_of(n).position == 1)
    tap(phone, "Delivered")
    hear(cancelled(number))
    tap(phone, "A neighbour")
    tap(phone, "Yes, delivered")
    refused = phone.get_by_role("alert").filter(has_text="Not accepted")
    expect(refused).to_contain_text("do not hand it over, bring it back")
    expect(refused).to_contain_text("You said: delivered to A neighbour.")
    refused.get_by_role("button", name="I bring it back").click()
    expect(phone.get_by_label("The order was cancelled")).to_be_checked()
    tap(phone, "Yes, not delivered")
    expect(refused).to_be_hidden()
    expect(next_stop(phone)).to_have_text("Door 2")
    eventually(lambda: stop_at(1).state == "failed")
    assert data_of("stop_failed")[0]["final"] is True


def test_what_the_server_can_not_take_is_kept_to_be_mended(on_the_road):
    phone, tries = on_the_road, []

    def refuse(route):
        tries.append(route.request.url)
        if len(tries) > 1:
            return route.continue_()
        error = {"errors": [{"field": "photo[0]", "reason": "The picture is damaged."}]}
        return route.fulfill(status=400, json=error)

    phone.route("**/deliver/", refuse)
    tap(phone, "Delivered")
    phone.get_by_label("Who took it?").fill("Eve Doe")
    phone.get_by_label("Take a photo").set_input_files(photo())
    expect(phone.get_by_alt_text("Photo 1")).to_be_visible()
    tap(phone, "Yes, delivered")
    expect(phone.get_by_text("The picture is damaged.")).to_be_visible()
    phone.reload()
    tap(phone, "Answer again")
    expect(phone.get_by_label("Who took it?")).to_have_value("Eve Doe")
    tap(phone, "Remove photo 1")
    tap(phone, "Yes, delivered")
    expect(phone.get_by_text("The picture is damaged.")).to_be_hidden()
    eventually(lambda: stop_at(1).state == "delivered")
    assert (stop_at(1).proof_name, ProofPhoto.objects.count()) == ("Eve Doe", 0)


def test_what_was_begun_is_there_when_the_page_comes_back(on_the_road):
    phone = on_the_road
    tap(phone, "Delivered")
    phone.get_by_label("Who took it?").fill("Eve Doe")
    phone.get_by_label("Take a photo").set_input_files(photo())
    expect(phone.get_by_alt_text("Photo 1")).to_be_visible()
    phone.reload()  # as a phone does that needs its memory for the camera
    expect(phone.get_by_label("Who took it?")).to_have_value("Eve Doe")
    expect(phone.get_by_alt_text("Photo 1")).to_be_visible()
    tap(phone, "Back")
    phone.reload()
    expect(next_stop(phone)).to_have_text("Door 1")
    expect(phone.get_by_role("dialog")).to_be_hidden()


def test_who_was_logged_out_logs_in_and_nothing_is_lost(on_the_road):
    phone = on_the_road
    phone.context.clear_cookies()
    deliver(phone)
    expect(phone.get_by_role("status")).to_contain_text("1 waiting to be sent. Log in again")
    phone.get_by_role("link", name="Log in again").click()
    phone.get_by_label("User name").fill("ann")
    phone.get_by_label("Password").fill("ann")
    phone.get_by_role("button", name="Log in").click()
    expect(next_stop(phone)).to_have_text("Door 2")
    eventually(lambda: stop_at(1).state == "delivered")
    assert told().count("stop_delivered") == 1


def test_nobody_sends_what_somebody_else_answered(on_the_road):
    phone = on_the_road
    bob = User.objects.create_user("bob", password="bob")
    bob.groups.add(Group.objects.get(name="drivers"))
    phone.context.set_offline(True)
    deliver(phone)
    expect(phone.get_by_role("status")).to_contain_text("1 waiting")
    drivers.give_route(route_id=stop_at(1).route_id, username="bob")  # he might, but never said it
    phone.context.clear_cookies()
    phone.context.set_offline(False)
    log_in(phone, "bob")
    expect(phone.get_by_role("status")).to_contain_text("1 of somebody else")
    phone.locator("a.card").click()
    phone.get_by_role("button", name="Door 2").click()
    deliver(phone)
    expect(next_stop(phone)).to_have_text("Door 1")
    eventually(lambda: stop_at(2).state == "delivered")
    assert stop_at(1).state == "pending"


def test_a_stop_is_done_out_of_its_turn(on_the_road):
    phone = on_the_road
    phone.get_by_role("button", name="Door 3").click()
    expect(next_stop(phone)).to_have_text("Door 3")
    deliver(phone)
    expect(next_stop(phone)).to_have_text("Door 1")
    eventually(lambda: stop_at(3).state == "delivered")


def test_a_browser_without_a_database_keeps_answers_as_text(phone, route):
    phone.add_init_script("Object.defineProperty(window, 'indexedDB', {value: undefined})")
    driving.dispatch_route(route_id=route.pk)
    log_in(phone)
    phone.locator("a.card").click()
    expect(next_stop(phone)).to_have_text("Door 1")
    phone.context.set_offline(True)
    deliver(phone)
    expect(phone.get_by_role("status")).to_contain_text("1 waiting to be sent")
    phone.context.set_offline(False)
    expect(phone.get_by_role("status")).to_be_hidden()
    eventually(lambda: stop_at(1).state == "delivered")
