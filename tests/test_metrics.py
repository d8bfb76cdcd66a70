"""GET /metrics: right figures, for those who may see them, whatever is away."""

import select
import socket
import threading
import uuid
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from kombu import Producer
from prometheus_client.parser import text_string_to_metric_families
from rest_framework.authtoken.models import Token

from analytics.models import OrderFact
from inventory.models import Allocation, Backorder, Product
from notifications.models import Notification
from supplychain import metrics
from supplychain.events import deadletters
from supplychain.events.handling import Message
from supplychain.events.metrics import queue_depths
from supplychain.events.models import DeadLetter, OutboxEvent, SuspectDelivery
from supplychain.events.names import dead_queue
from tests.lab.act import try_things

from .test_health import database_away, silent_server  # noqa: F401 - fixtures

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
#: AMQP 0-9-1 class 10 (connection), method 41.
OPEN_OK = b"\x00\x0a\x00\x29"


@pytest.fixture(autouse=True)
def token(settings):
    settings.METRICS_TOKEN = "let me in"


def scrape(client):
    """(name, labels as text) → figure."""
    response = client.get("/metrics", headers={"Authorization": "Bearer let me in"})
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain")
    families = text_string_to_metric_families(response.content.decode())
    return {
        (sample.name.removeprefix("supplychain_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


# --- access -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer let me in!",
        "Basic let me in",
        "let me in",
        "Bearer lét",
        "Token nonsense",
        "Token",
        "Token a b",
    ],
)
def test_strangers_get_nothing(client, sent):
    response = client.get("/metrics", headers={"Authorization": sent} if sent else {})
    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert b"supplychain_" not in response.content


@pytest.mark.parametrize("sent", ["Bearer ", "Bearer", "bearer  "])
def test_without_a_token_in_the_settings_none_is_right(client, settings, sent):
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics", headers={"Authorization": sent}).status_code == 401


@pytest.mark.parametrize(("staff", "status"), [(True, 200), (False, 403)])
def test_staff_gets_in_by_login_and_by_token(client, staff, status):
    user = User.objects.create_user("somebody", is_staff=staff)
    sent = f"Token {Token.objects.create(user=user).key}"
    assert client.get("/metrics", headers={"Authorization": sent}).status_code == status
    client.force_login(user)
    assert client.get("/metrics").status_code == status


def test_it_is_only_read(client):
    headers = {"Authorization": "Bearer let me in"}
    assert client.post("/metrics", headers=headers).status_code == 405


# --- figures ------------------------------------------------------------------------------


def test_the_outbox(client):
    try_things({n: "ok" for n in range(5)})
    rows = list(OutboxEvent.objects.order_by("pk"))
    OutboxEvent.objects.filter(pk=rows[0].pk).update(published_at=timezone.now())
    OutboxEvent.objects.filter(pk=rows[1].pk).update(parked_at=timezone.now())
    OutboxEvent.objects.filter(pk=rows[2].pk).update(
        not_before=timezone.now() + timedelta(minutes=5),
        created_at=timezone.now() - timedelta(hours=1),
    )
    told = scrape(client)
    assert told["outbox_pending",] == 3
    assert told["outbox_parked",] == 1
    assert told["outbox_held_back",] == 1
    assert 3600 <= told["outbox_oldest_seconds",] < 3700


def test_dead_letters_by_state_queue_and_reason(client):
    for number, (queue, reason) in enumerate(
        [("lab", "exhausted"), ("lab", "exhausted"), ("lab", "permanent"), ("audit", "expired")]
    ):
        headers = {"dead_queue": queue, "dead_reason": reason}
        deadletters.ingest(Message(queue, str(number).encode(), headers))
    deadletters.discard(DeadLetter.objects.get(reason="permanent"))
    deadletters.redrive(DeadLetter.objects.get(reason="expired"))
    SuspectDelivery.objects.create(
        consumer="lab.try_it", event_id=uuid.uuid4(), last_started_at=timezone.now()
    )
    told = scrape(client)
    letters = {key[1:]: value for key, value in told.items() if key[0] == "dead_letters"}
    assert letters == {("lab", "exhausted", "open"): 2, ("audit", "expired", "redriving"): 1}
    assert told["suspect_deliveries",] == 1


def test_the_apps_figures(client):
    for status in ("placed", "placed", "planned", "delivered"):
        OrderFact.objects.create(order_id=uuid.uuid4(), status=status)
    product = Product.objects.create(sku="A", name="a", weight_kg=1, volume_m3=1)
    allocation = Allocation.objects.create(order_id=uuid.uuid4(), correlation_id="c")
    Backorder.objects.create(
        allocation=allocation, product=product, quantity=2, placed_at=timezone.now()
    )
    for state in ("pending", "sent"):
        Notification.objects.create(
            kind="email",
            order_id=uuid.uuid4(),
            event_id=uuid.uuid4(),
            event_type="orders.order_placed",
            payload="{}",
            state=state,
            due_at=timezone.now() - timedelta(minutes=10),
        )
    told = scrape(client)
    assert told["orders_under_way", "placed"] == 2
    assert told["orders_under_way", "planned"] == 1
    assert told["orders_under_way", "backordered"] == 0
    assert ("orders_under_way", "delivered") not in told
    assert told["backorder_lines",] == 1
    assert told["notifications_pending",] == 1
    assert 600 <= told["notifications_late_seconds",] < 700


def test_when_nothing_waits_everything_is_zero(client):
    told = scrape(client)
    for name in ("outbox_pending", "outbox_oldest_seconds", "notifications_late_seconds"):
        assert told[name,] == 0
    assert next(value for key, value in told.items() if key[0] == "build_info") == 1
    assert told["database_up",] == told["broker_up",] == 1
    sources = {key[1]: value for key, value in told.items() if key[0] == "scrape_ok"}
    assert set(sources.values()) == {1}
    assert {"events.outbox", "events.broker", "inventory.stock"} < set(sources)


def test_counts_end_at_the_cap(client, monkeypatch):
    monkeypatch.setattr(metrics, "CAP", 3)
    try_things({n: "ok" for n in range(5)})
    assert scrape(client)["outbox_pending",] == 3


# --- the broker ---------------------------------------------------------------------------


def test_queue_depths_and_consumers(client, broker):
    with broker.channel() as channel:
        for _ in range(3):
            Producer(channel).publish("x", exchange="home", routing_key="lab")
        channel.queue_declare("lab", passive=True)  # a round trip: all have arrived
        told = scrape(client)
        assert told["queue_messages", "lab"] == 3
        assert told["queue_messages", dead_queue("lab")] == 0
        assert told["queue_consumers", "lab"] == 0


def test_a_queue_that_is_not_declared_is_left_out_and_the_others_are_told(client, broker):
    with broker.channel() as channel:
        channel.queue_delete("lab")
        depths = queue_depths()
    assert "lab" not in depths
    assert {"lab_other", "orders", dead_queue("lab")} < set(depths)


def test_a_broker_that_is_away_is_told_and_hides_no_other_figure(client, settings):
    settings.CELERY_BROKER_URL = "amqp://guest@127.0.0.1:1//"
    told = scrape(client)
    assert told["broker_up",] == 0
    assert not [key for key in told if key[0].startswith("queue_")]
    assert told["outbox_pending",] == 0
    assert told["scrape_ok", "events.outbox"] == 1


def test_a_broker_that_never_answers_is_not_waited_for(client, settings, silent_server):  # noqa: F811
    settings.CELERY_BROKER_URL = f"amqp://guest@127.0.0.1:{silent_server}//"
    assert in_time(lambda: scrape(client))["broker_up",] == 0


def test_a_broker_that_falls_silent_is_not_waited_for(client, settings, falls_silent):
    settings.CELERY_BROKER_URL, silent = falls_silent
    assert in_time(lambda: scrape(client))["broker_up",] == 0
    assert silent.is_set()


def in_time(action):
    """Its result, or a failure when it hangs."""
    results = []

    def run():
        results.append(action())
        connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(15)
    assert results
    return results[0]


@pytest.fixture
def falls_silent(settings):
    """A way to the broker that passes on the greeting and then nothing more: its URL, and an
    event that is set when it has fallen silent."""
    url = urlsplit(settings.CELERY_BROKER_URL)
    silent = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_greet, args=[server, url, silent])
        thread.start()
        port = server.getsockname()[1]
        yield url._replace(netloc=url.netloc.replace(f":{url.port}", f":{port}")).geturl(), silent
        thread.join(10)


def _greet(server, url, silent):
    """Up to the answer to connection.open; then until the client has gone."""
    server.settimeout(30)
    ours = server.accept()[0]
    theirs = socket.create_connection((url.hostname, url.port))
    with ours, theirs:
        while not silent.is_set():
            for readable in select.select([ours, theirs], [], [], 30)[0]:
                told = readable.recv(65536)
                (theirs if readable is ours else ours).sendall(told)
                if OPEN_OK in told:
                    silent.set()
        while ours.recv(65536):
            pass


# --- the database -------------------------------------------------------------------------


def test_a_database_that_is_away_is_told(client, database_away):  # noqa: F811
    told = scrape(client)
    assert (told["database_up",], told["broker_up",]) == (0, 1)
    assert told["scrape_ok", "events.outbox"] == 0
    assert ("outbox_pending",) not in told


def test_a_slow_source_is_cut_off_and_named(client, monkeypatch):
    def slow():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")
        yield metrics.gauge("supplychain_slow", "Never comes.", 1)

    monkeypatch.setitem(metrics._sources, "lab.slow", (slow, True))
    monkeypatch.setattr(metrics, "STATEMENT_TIMEOUT", 100)
    told = scrape(client)
    assert told["scrape_ok", "lab.slow"] == 0
    assert told["scrape_ok", "notifications.backlog"] == 1
    assert ("slow",) not in told
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone()[0] == "0"  # the limit ended with the scrape
