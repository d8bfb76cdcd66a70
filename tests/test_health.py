"""/healthz says that the process answers; /readyz that it can do its work."""

import socket
import threading
import time

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:No directory at"),  # nobody ran collectstatic
]
NOWHERE = "amqp://guest:secret@127.0.0.1:1//"


@pytest.fixture
def database_away():
    kept = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict["PORT"] = 1
    yield
    connection.settings_dict.clear()
    connection.settings_dict.update(kept)
    connection.close()


@pytest.fixture
def broker_at(monkeypatch):
    """Point the Celery app at another broker; it looks into the environment first."""
    return lambda url: monkeypatch.setenv("CELERY_BROKER_URL", url)


@pytest.fixture
def silent_server():
    """Accepts connections and never says a word; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []
        thread = threading.Thread(target=lambda: _accept(server, taken), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for one in taken:
            one.close()
        thread.join(5)


def _accept(server, taken):
    while True:
        try:
            taken.append(server.accept()[0])
        except OSError:
            return


def test_ready(client):
    response = client.get("/readyz")
    assert response.status_code == 200
    checks = {"database": "ok", "migrations": "ok", "broker": "ok"}
    assert response.json() == {"status": "ready", "checks": checks}


def test_database_away(client, database_away):
    response = client.get("/readyz")
    assert response.status_code == 503
    checks = response.json()["checks"]
    assert checks["database"].startswith("OperationalError")
    assert checks["broker"] == "ok"
    assert client.get("/healthz").json() == {"status": "alive"}


def test_broker_away(client, broker_at):
    broker_at(NOWHERE)
    response = client.get("/readyz")
    assert response.status_code == 503
    checks = response.json()["checks"]
    assert checks["broker"] != "ok"
    assert checks["database"] == "ok"
    assert "secret" not in response.content.decode()
    assert client.get("/healthz").status_code == 200


def test_a_broker_that_is_silent_is_not_waited_for(client, broker_at, silent_server):
    broker_at(f"amqp://guest@127.0.0.1:{silent_server}//")
    answered = threading.Event()
    responses = []

    def ask():
        responses.append(client.get("/readyz"))
        connection.close()
        answered.set()

    threading.Thread(target=ask, daemon=True).start()
    assert answered.wait(15)  # and not for ever
    assert responses[0].status_code == 503


def test_pending_migrations(client):
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied("lab", "0001_initial")
    try:
        response = client.get("/readyz")
    finally:
        recorder.record_applied("lab", "0001_initial")
    assert response.status_code == 503
    assert "lab.0001_initial" in response.json()["checks"]["migrations"]
    assert "manage.py migrate" in response.json()["checks"]["migrations"]


def test_alive_asks_nobody(client, database_away, broker_at):
    broker_at(NOWHERE)
    started = time.monotonic()
    assert client.get("/healthz").json() == {"status": "alive"}
    assert time.monotonic() - started < 30  # it did not wait for anybody
