"""`make up`: what it makes when it is not given, and the whole set of processes, once."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from conftest import ROOT, eventually
from supplychain.native import processes, procfile

UP = [sys.executable, "-m", "supplychain.native.up"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's files in a folder of their own: `up` keeps its data beside them."""
    folder = tmp_path_factory.mktemp("checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        source, target = ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    return folder


def environment(**given: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **given}


def ask(checkout: Path, code: str, **given: str) -> subprocess.CompletedProcess[str]:
    """Run a line on the module `up`, in the checkout."""
    return subprocess.run(
        [sys.executable, "-c", f"from supplychain.native import up; {code}"],
        cwd=checkout,
        env=environment(**given),
        capture_output=True,
        text=True,
        timeout=60,
    )


# --- what is not given --------------------------------------------------------------------

COMPLETED = "import json; up.RUN_DIR.mkdir(exist_ok=True); print(json.dumps(up._complete({})))"


def test_secrets_are_made_once_and_kept_for_the_owner_alone(checkout: Path) -> None:
    first, second = (json.loads(ask(checkout, COMPLETED).stdout) for _ in range(2))
    for name in ("SECRET_KEY", "FLOWER_BASIC_AUTH"):
        assert len(first[name]) > 16
        assert first[name] == second[name]
    for file in ("secret-key", "flower-password"):
        assert stat.S_IMODE((checkout / ".run" / file).stat().st_mode) == 0o600


def test_what_is_given_is_taken_and_what_is_set_to_nothing_is_made(checkout: Path) -> None:
    given = {"SECRET_KEY": "mine", "PORT": "", "FLOWER_PORT": "7777"}
    completed = json.loads(ask(checkout, COMPLETED, **given).stdout)
    assert (completed["SECRET_KEY"], completed["FLOWER_PORT"]) == ("mine", "7777")
    assert processes.port_is_free(int(completed["PORT"]))


def test_half_given_servers_are_refused_with_a_way_out(checkout: Path) -> None:
    done = subprocess.run(
        UP,
        cwd=checkout,
        env=environment(DATABASE_URL="postgres://db/x"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Only one of DATABASE_URL and CELERY_BROKER_URL is set" in done.stderr
    assert "Traceback" not in done.stderr


def test_manage_says_when_nothing_runs(checkout: Path) -> None:
    done = subprocess.run(
        [*UP, "manage", "check"],
        cwd=checkout,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "The system isn't running here. Start it with `make up`.\n"


def test_a_step_that_fails_ends_it_with_a_sentence(checkout: Path) -> None:
    broken = environment(
        DATABASE_URL="postgres://nobody:x@127.0.0.1:9/none",
        CELERY_BROKER_URL=os.environ["CELERY_BROKER_URL"],
    )
    done = subprocess.run(UP, cwd=checkout, env=broken, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "make up: `manage.py migrate` failed: see above."


# --- the whole ----------------------------------------------------------------------------


@pytest.fixture
def database() -> Iterator[str]:
    """An empty database on the server that the tests use."""
    url, name = os.environ["DATABASE_URL"], "up_and_down"
    server = psycopg2.connect(url)
    server.autocommit = True
    with server.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {name}")
        yield url.rpartition("/")[0] + f"/{name}"
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    server.close()


def test_all_processes_run_until_told_to_end_and_none_is_left(
    checkout: Path, database: str, tmp_path: Path
) -> None:
    port, flower = processes.free_ports(2)
    given = environment(
        DATABASE_URL=database,
        CELERY_BROKER_URL=os.environ["CELERY_BROKER_URL"],
        PORT=str(port),
        FLOWER_PORT=str(flower),
    )
    log = tmp_path / "log"
    with log.open("wb") as output:
        up = subprocess.Popen(UP, cwd=checkout, env=given, stdout=output, stderr=output)
    family: dict[int, int | None] = {}
    workers = sum(name.startswith("worker_") for name, _ in procfile.read(ROOT / "Procfile"))
    try:
        eventually(lambda: up.poll() is not None or "The supply chain is up." in said(log), 120)
        eventually(lambda: up.poll() is not None or said(log).count(" ready.") == workers, 120)
        assert up.poll() is None, said(log)
        family = {pid: processes.birth(pid) for pid in processes.family(up.pid)}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            assert answer.status == 200

        second = subprocess.run(UP, cwd=checkout, env=given, capture_output=True, timeout=60)
        assert second.returncode == 1
        assert b"already running" in second.stderr

        manage = [*UP, "manage", "create_channel", "demo"]
        made = subprocess.run(manage, cwd=checkout, env=environment(), capture_output=True)
        assert made.returncode == 0, made.stderr
        assert len(made.stdout.split()[-1]) == 40  # the token

        began = time.monotonic()
        up.send_signal(signal.SIGTERM)
        assert up.wait(30) == 0
        assert time.monotonic() - began < 12  # each process has 10 s
    finally:
        if up.poll() is None:
            up.kill()
            up.wait()
    assert len(family) > 15
    eventually(lambda: not [p for p, born in family.items() if processes.birth(p) == born])
    assert not (checkout / ".run" / "addresses.json").exists()


def said(log: Path) -> str:
    return log.read_text(errors="replace")
