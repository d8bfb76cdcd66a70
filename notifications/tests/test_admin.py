"""The admin's pages: secrets go in and don't come out; sending again goes through the service."""

import pytest
from django.contrib.auth.models import Permission, User

from notifications.models import Notification, WebhookEndpoint
from notifications.sending import send_due
from orders import events as told

from .conftest import endpoint, event, notify, order

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
ENDPOINTS = "/admin/notifications/webhookendpoint/"
LIST = "/admin/notifications/notification/"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FORM = {"channel": "web", "url": "https://shop.example/hook", "active": "on", "new_secret": ""}


def test_a_new_endpoint_gets_a_secret_that_is_shown_once(admin_client):
    page = admin_client.post(ENDPOINTS + "add/", FORM, follow=True).content.decode()
    made = WebhookEndpoint.objects.get()
    assert made.secret in page
    again = admin_client.get(f"{ENDPOINTS}{made.pk}/change/").content.decode()
    assert made.secret not in again
    assert made.secret[:10] in again


def test_a_secret_can_be_given_and_is_kept(admin_client):
    admin_client.post(ENDPOINTS + "add/", {**FORM, "new_secret": SECRET})
    made = WebhookEndpoint.objects.get()
    assert made.secret == SECRET
    admin_client.post(f"{ENDPOINTS}{made.pk}/change/", {**FORM, "channel": "shop"})
    made.refresh_from_db()
    assert (made.channel, made.secret) == ("shop", SECRET)


@pytest.mark.parametrize(
    ("field", "value"),
    [("new_secret", "whsec_short"), ("new_secret", "hunter2"), ("url", "ftp://shop.example/")],
)
def test_what_can_not_work_is_refused(admin_client, field, value):
    page = admin_client.post(ENDPOINTS + "add/", {**FORM, field: value})
    assert field in page.context["adminform"].form.errors
    assert not WebhookEndpoint.objects.exists()


def test_switched_on_again_an_endpoint_starts_afresh(admin_client):
    made = endpoint(FORM["url"], active=False)
    WebhookEndpoint.objects.update(consecutive_failures=9, note="Disabled")
    admin_client.post(f"{ENDPOINTS}{made.pk}/change/", FORM)
    made.refresh_from_db()
    assert (made.active, made.consecutive_failures, made.note) == (True, 0, "")


def test_notifications_are_found_and_shown_with_their_attempts(admin_client):
    notify([event(told.OrderPlaced), event(told.OrderPlaced, 2, email="bob@example.org")])
    send_due()
    for query, count in {
        "": 2,
        f"?q={order(2)}": 1,
        "?q=W-1": 1,
        "?q=bob@example.org": 1,
        "?q=bob": 0,
        "?event_type=orders.order_placed&state__exact=sent&kind__exact=email": 2,
    }.items():
        page = admin_client.get(LIST + query)
        assert page.status_code == 200
        assert len(page.context["cl"].result_list) == count, query
    row = Notification.objects.earliest("created_at")
    page = admin_client.get(f"{LIST}{row.pk}/change/")
    assert "attempt 1: delivered" in page.content.decode()
    people = admin_client.get("/admin/notifications/recipient/?q=bob@example.org")
    assert len(people.context["cl"].result_list) == 1


def test_sending_again_needs_the_right(admin_client, client):
    notify([event(told.OrderPlaced)])
    send_due()
    row = Notification.objects.get()
    data = {"action": "send_again", "_selected_action": [str(row.pk)]}
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_notification"))
    client.force_login(viewer)
    assert client.get(LIST).status_code == 200
    client.post(LIST, data)
    row.refresh_from_db()
    assert row.state == "sent"
    admin_client.post(LIST, data)
    row.refresh_from_db()
    assert (row.state, row.attempts_allowed) == ("pending", 9)
