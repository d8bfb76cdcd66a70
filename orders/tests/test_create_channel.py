"""manage.py create_channel: what it prints is a credential that works."""

import io

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from rest_framework.authtoken.models import Token

from orders.models import Channel

from .conftest import URL, body, client_with, stocked

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]


def create(*arguments):
    output = io.StringIO()
    call_command("create_channel", *arguments, stdout=output)
    return output.getvalue().strip()


def test_its_token_places_orders():
    stocked("A", "B")
    answer = client_with(create("web", "--name", "Web shop")).post(URL, body(), format="json")
    assert (answer.status_code, answer.json()["channel"]) == (201, "web")
    assert Channel.objects.get().name == "Web shop"


def test_again_it_finds_the_channel_and_its_token():
    assert create("web") == create("web", "--name", "ignored")
    assert (Channel.objects.get().name, User.objects.count()) == ("web", 1)


def test_nobody_logs_in_as_a_channel():
    create("web")
    assert not User.objects.get().has_usable_password()


def test_a_channel_made_in_the_admin_keeps_its_own_user():
    bob = User.objects.create_user("bob")
    Channel.objects.create(code="web", name="Web shop", user=bob)
    assert create("web") == Token.objects.get(user=bob).key
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    "arguments",
    [["a b"], [""], ["x" * 41], ["caf\u00e9"], ["web\n"], ["web", "--name", "x" * 101]],
)
def test_a_bad_code_or_name_is_refused(arguments):
    with pytest.raises(CommandError, match=r"The (code|name) may have up to"):
        create(*arguments)
    assert not User.objects.exists()
