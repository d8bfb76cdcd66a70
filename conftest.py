"""What all tests share: the real servers they run on, and processes of the system under test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from kombu import Connection

ROOT = Path(__file__).parent
# How long an example takes is no property of ours, least of all on a busy machine.
hypothesis_settings.register_profile("house", deadline=None)
hypothesis_settings.load_profile("house")
NEEDED = "Run the tests with `make test`: it starts a private PostgreSQL and RabbitMQ."


def pytest_report_header() -> list[str]:
    return [f"servers: PostgreSQL {_postgres_version()}, RabbitMQ {_rabbit_version()}"]


def _postgres_version() -> str:
    import psycopg2

    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        raise pytest.UsageError(f"DATABASE_URL names no PostgreSQL. {NEEDED}")
    with psycopg2.connect(url) as connection:
        return str(connection.get_parameter_status("server_version"))


def _rabbit_version() -> str:
    url = os.environ.get("CELERY_BROKER_URL", "")
    if not url.startswith("amqp"):
        raise pytest.UsageError(f"CELERY_BROKER_URL names no RabbitMQ. {NEEDED}")
    with Connection(url) as connection:
        connection.ensure_connection(max_retries=3)
        return str(connection.connection.server_properties["version"])


def eventually(check: Callable[[], object], timeout: float = 30.0, every: float = 0.05) -> None:
    """Wait until something that other processes do has come true; fails with the last value."""
    deadline = time.monotonic() + timeout
    while not (value := check()):
        if time.monotonic() > deadline:
            raise AssertionError(f"still {value!r} after {timeout} s")
        threading.Event().wait(every)


class Processes:
    """Starts processes of the system on the test database; ends them all at the end."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PYTHONPATH": str(ROOT),
            "SECRET_KEY": "test",
            "SUPPLYCHAIN_NO_DOTENV": "1",
        }
        self._running: list[subprocess.Popen[bytes]] = []
        self.logs: dict[int, Path] = {}

    def start(self, *arguments: str, ready: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start ``python <arguments>`` and wait for a text in its log; ``variables`` are added to
        its environment."""
        log = self._folder / f"{len(self._running)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**self._environment, **variables},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._running.append(process)
        self.logs[process.pid] = log
        eventually(lambda: ready in log.read_text() or self._ended(process), timeout=60)
        return process

    def _ended(self, process: subprocess.Popen[bytes]) -> bool:
        if process.poll() is not None:
            raise AssertionError(f"it ended at once:\n{self.logs[process.pid].read_text()}")
        return False

    def worker(
        self, queue: str, *, concurrency: int = 2, **variables: str
    ) -> subprocess.Popen[bytes]:
        name = f"{queue}-{len(self._running)}@test"
        options = ["-Q", queue, "-n", name, "-c", str(concurrency), "-l", "INFO"]
        options += ["--without-gossip", "--without-mingle"]
        celery = ["-m", "celery", "-A", "supplychain", "worker"]
        return self.start(*celery, *options, ready="ready.", **variables)

    def relay(self, **variables: str) -> subprocess.Popen[bytes]:
        return self.start("manage.py", "relay", ready="Relay is ready", **variables)

    def ingester(self) -> subprocess.Popen[bytes]:
        return self.start("manage.py", "deadletters", "ingest", ready="Watching")

    def log(self, process: subprocess.Popen[bytes]) -> str:
        return self.logs[process.pid].read_text()

    def stop(self, process: subprocess.Popen[bytes], how: int = signal.SIGTERM) -> float:
        """End one; gives the seconds it took."""
        started = time.monotonic()
        process.send_signal(how)
        process.wait(20)
        return time.monotonic() - started

    def stop_all(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.terminate()
        for process in self._running:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def processes(tmp_path: Path, transactional_db: None, broker: Connection) -> Iterator[Processes]:
    from django.db import connection

    s = connection.settings_dict
    url = f"postgres://{s['USER']}:{s['PASSWORD']}@{s['HOST']}:{s['PORT']}/{s['NAME']}"
    started = Processes(tmp_path, url)
    yield started
    started.stop_all()


@pytest.fixture
def broker() -> Iterator[Connection]:
    """The broker, with the topology declared and every queue empty."""
    from django.conf import settings

    from supplychain.events import topology

    with Connection(settings.CELERY_BROKER_URL) as connection:
        declared = topology.declare(connection)
        with connection.channel() as channel:
            for queue in declared.queues:
                channel.queue_purge(queue.name)
        yield connection
