"""The private servers: beside others, killed and started again, and gone at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from kombu import Connection, Queue

from supplychain.native import processes, servers

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with servers.temporary_folder() as made:
        yield made


@pytest.fixture(scope="module")
def pair(folder: Path) -> Iterator[servers.Pair]:
    """Beside whatever else runs here: under `make test` a second pair."""
    postgres, rabbit = servers.make(folder, durable=False)
    try:
        yield postgres.start(), rabbit.start()
    finally:
        rabbit.kill()
        postgres.kill()


def test_postgres_keeps_rows_when_killed_and_when_cut_off(pair: servers.Pair) -> None:
    postgres, _ = pair
    port = postgres.port
    execute(postgres, "CREATE TABLE kept (number int); INSERT INTO kept VALUES (1)")
    for end in (postgres.kill, lambda: postgres.stop("immediate"), postgres.stop):
        end()
        assert not postgres.is_running
        assert not processes.answers(port)
        postgres.start()
        assert postgres.port == port
        assert execute(postgres, "SELECT number FROM kept") == [(1,)]


def test_rabbit_keeps_messages_when_killed(pair: servers.Pair) -> None:
    _, rabbit = pair
    port, epmd = rabbit.port, int(rabbit._state["epmd_port"])
    queue = Queue("kept", durable=True, queue_arguments={"x-queue-type": "quorum"})
    with Connection(rabbit.url, transport_options={"confirm_publish": True}) as connection:
        connection.Producer().publish({"n": 1}, routing_key="kept", declare=[queue])
    time.sleep(1)  # RabbitMQ 3.10 writes the name of a new quorum queue to disk every half second
    rabbit.kill()
    assert not rabbit.is_running
    assert not processes.answers(epmd)
    rabbit.start()
    assert rabbit.port == port
    with Connection(rabbit.url) as connection:
        message = queue(connection.default_channel).get()
        assert message.payload == {"n": 1}
        message.ack()


def test_another_process_takes_hold_of_them(pair: servers.Pair, folder: Path) -> None:
    postgres, _ = pair
    before = postgres.pid
    code = (
        "from supplychain.native import servers; p, r = servers.attach(); "
        "assert p.is_running and r.is_running; p.kill(); assert not p.is_running; p.start(); "
        "print(p.pid)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, servers.FOLDER_VARIABLE: str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert postgres.pid == int(said.stdout) != before
    assert execute(postgres, "SELECT 1") == [(1,)]


def test_listens_on_this_machine_only(pair: servers.Pair) -> None:
    ours = {
        pid
        for server in pair
        for started in server._started()
        for pid in processes.family(started[0])
    }
    assert {address for pid in ours for address in listening(pid)} <= {"127.0.0.1", "::1"}


def test_moves_when_somebody_took_its_port(pair: servers.Pair) -> None:
    postgres, _ = pair
    port = postgres.port
    postgres.stop()
    with socket.create_server(("127.0.0.1", port)):
        postgres.start()
        assert postgres.port != port
        assert execute(postgres, "SELECT 1") == [(1,)]


def test_a_start_that_fails_says_why_and_leaves_nothing(folder: Path) -> None:
    postgres = servers.PostgresServer(folder / "broken", durable=False)
    postgres.start().stop()
    (postgres.data / "postgresql.conf").write_text("nonsense = 1\n")
    with pytest.raises(servers.ServerFailed, match="nonsense"):
        postgres.start()
    assert not postgres.is_running


def test_attach_without_servers_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(servers.FOLDER_VARIABLE, raising=False)
    with pytest.raises(servers.NativeError, match="make test"):
        servers.attach()


def test_run_hands_over_the_exit_code_and_leaves_nothing() -> None:
    with running("import os, sys; print(os.environ['SUPPLYCHAIN_NATIVE_DIR']); sys.exit(7)") as run:
        output, _ = run.communicate(timeout=60)
    assert run.returncode == 7
    assert not Path(output.splitlines()[-1]).exists()


def test_run_killed_hard_leaves_no_process() -> None:
    code = (
        "import os, time; print(os.environ['SUPPLYCHAIN_NATIVE_DIR'], flush=True); time.sleep(99)"
    )
    with running(code) as run:
        assert run.stdout
        folder = next(Path(line.strip()) for line in run.stdout if line.startswith("/"))
        started = [one for server in servers.attach(folder) for one in server._started()]
        assert all(processes.birth(pid) == born for pid, born in started)
        run.send_signal(signal.SIGKILL)
        run.wait()

        def gone() -> bool:
            return all(processes.birth(pid) != born for pid, born in started)

        assert processes.wait_until(gone, 20)
        shutil.rmtree(folder)


def running(code: str) -> subprocess.Popen[str]:
    """native.run with servers of its own, not those that this test runs on."""
    environment = dict(os.environ)
    for name in ("DATABASE_URL", "CELERY_BROKER_URL", servers.FOLDER_VARIABLE):
        environment.pop(name, None)
    return subprocess.Popen(
        [sys.executable, "-m", "supplychain.native.run", "--", sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def execute(postgres: servers.PostgresServer, sql: str) -> list[tuple[int, ...]]:
    connection = psycopg2.connect(postgres.url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def listening(pid: int) -> Iterator[str]:
    """Addresses of a process's listening sockets, from the kernel's tables."""
    sockets = set(open_files(pid))
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                yield readable(fields[1].partition(":")[0], family)


def open_files(pid: int) -> Iterator[str]:
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed while we looked
                yield str(entry.readlink())
    except FileNotFoundError:  # the process was a short-lived one
        return


def readable(address: str, family: socket.AddressFamily) -> str:
    words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8)]
    return socket.inet_ntop(family, b"".join(words))
