"""The admin's pages of the event store: they open, find, and change nothing."""

import pytest
from django.urls import reverse

from audit.models import StoredEvent

from .conftest import happen, record

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
LIST = "/admin/audit/storedevent/"


@pytest.fixture
def stored():
    sent = [*happen(2, "anvil", "journey a&b"), *happen(1, "saw", "other")]
    record(sent)
    return sent


def found(client, query=""):
    response = client.get(LIST + query)
    assert response.status_code == 200
    return [row.position for row in response.context["cl"].result_list]


def test_the_list_filters_and_searches_whole_values(admin_client, stored):
    assert found(admin_client) == [3, 2, 1]
    assert found(admin_client, "?event_type=lab.counted&producer=lab") == [3, 2, 1]
    assert found(admin_client, "?event_type=orders.order_placed") == []
    assert found(admin_client, "?q=thing/saw") == [3]
    assert found(admin_client, f"?q={stored[1].event_id}") == [2]
    assert found(admin_client, "?q=journey%20a%26b") == [2, 1]
    assert found(admin_client, "?q=thing") == []


def test_the_detail_shows_the_envelope_and_links_to_the_journey(admin_client, stored):
    page = admin_client.get(reverse("admin:audit_storedevent_change", args=[1])).content.decode()
    assert "&quot;number&quot;: 0" in page
    assert "?q=journey+a%26b" in page


def test_nothing_can_be_added_changed_or_deleted(admin_client, stored):
    assert admin_client.get(LIST + "add/").status_code == 403
    assert admin_client.post(LIST + "1/change/", {"sequence": 9}).status_code == 403
    assert admin_client.post(LIST + "1/delete/", {"post": "yes"}).status_code == 403
    assert StoredEvent.objects.count() == 3
