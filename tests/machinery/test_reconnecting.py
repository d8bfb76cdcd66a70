"""A worker whose connection is cut, again and again, while it is busy: nothing stays behind."""

import json
import os
import urllib.error
import urllib.request
from base64 import b64encode
from urllib.parse import quote, urlsplit

import pytest

from conftest import eventually
from tests.lab.act import effects, try_things

pytestmark = pytest.mark.django_db(transaction=True)
EVENTS, CUTS = 100, 5


class Management:
    """RabbitMQ's HTTP API, as far as it is needed here."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._base = f"{parts.scheme}://{parts.hostname}:{parts.port}/api"
        self._key = b64encode(f"{parts.username}:{parts.password}".encode()).decode()

    def _ask(self, method: str, path: str) -> bytes:
        headers = {"Authorization": f"Basic {self._key}"}
        request = urllib.request.Request(f"{self._base}/{path}", method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def consumers(self, queue: str) -> list[str]:
        """Names of the connections that consume from a queue."""
        found = json.loads(self._ask("GET", "consumers"))
        mine = [one["channel_details"] for one in found if one["queue"]["name"] == queue]
        return [channel["connection_name"] for channel in mine if channel]  # [] if not yet known

    def cut(self, connection: str) -> None:
        try:
            self._ask("DELETE", f"connections/{quote(connection, safe='')}")
        except urllib.error.HTTPError as gone:
            assert gone.code == 404


@pytest.fixture
def management():
    url = os.environ.get("RABBITMQ_MANAGEMENT_URL")
    if not url:
        pytest.skip("needs RabbitMQ's management plugin: RABBITMQ_MANAGEMENT_URL is not set")
    return Management(url)


def test_events_taken_from_a_connection_that_is_cut_are_all_handled(processes, management):
    processes.worker("lab")
    processes.worker("lab_other")
    processes.relay()
    eventually(lambda: management.consumers("lab"))
    cut: set[str] = set()
    for number in range(CUTS):
        first = number * EVENTS + 1
        try_things({n: "ok" for n in range(first, first + EVENTS)}, thing=f"anvil {number}")
        eventually(lambda: effects("try_it") and len(effects("try_it")) >= first)  # noqa: B023
        eventually(lambda: set(management.consumers("lab")) - cut)
        for name in set(management.consumers("lab")) - cut:
            management.cut(name)
            cut.add(name)
    assert len(cut) >= CUTS
    everything = list(range(1, EVENTS * CUTS + 1))
    eventually(lambda: effects("try_it") == everything, timeout=120)
    eventually(lambda: effects("count_it") == everything, timeout=60)
