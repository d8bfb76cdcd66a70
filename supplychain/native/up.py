"""Promise: the whole system runs on this machine until ctrl-C, and goes on tomorrow with the data
it had; whatever is not given (servers, secrets, ports) is found or made.

    python -m supplychain.native.up                     every process of the Procfile
    python -m supplychain.native.up manage COMMAND…     manage.py, on the running system
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import IO

from . import processes, run, servers
from .install import servers_are_given

ROOT = Path(__file__).resolve().parent.parent.parent
RUN_DIR = ROOT / ".run"
#: What `manage` needs to reach the running system.
ADDRESSES = RUN_DIR / "addresses.json"
KILL_WAIT = 10
STEPS = (
    ("Database up to date", ["migrate"]),
    ("Static files", ["collectstatic", "--noinput", "-v", "0"]),
    ("Exchanges, queues and bindings", ["topology", "--declare"]),
)
PAGES = """
The supply chain is up. Ctrl-C ends it; its data stays in {data}

    Admin         http://127.0.0.1:{PORT}/admin/
    API           http://127.0.0.1:{PORT}/api/docs/
    Flower        http://127.0.0.1:{FLOWER_PORT}/   ({flower})
    RabbitMQ      {rabbit}

In another terminal:

    make manage ARGS=createsuperuser          somebody who may use the admin
    make manage ARGS="create_channel demo"    a sales channel; prints its API token
"""


def main() -> int:
    if sys.argv[1:2] == ["manage"]:
        return manage(sys.argv[2:])
    try:
        return up()
    except servers.NativeError as failure:
        print(f"make up: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def up() -> int:
    signal.signal(signal.SIGTERM, _give_up)
    signal.signal(signal.SIGHUP, _give_up)
    RUN_DIR.mkdir(mode=0o711, exist_ok=True)
    with _only_one(), _servers() as addresses:
        variables = _complete(addresses)
        for what, arguments in STEPS:
            print(f"— {what}", flush=True)
            _manage(arguments, variables)
        with _addresses_for_others(variables):
            return _run_procfile(variables)


def manage(arguments: list[str]) -> int:
    """manage.py with the addresses of what runs here."""
    try:
        variables = os.environ | json.loads(ADDRESSES.read_text())
    except FileNotFoundError:
        print("The system isn't running here. Start it with `make up`.", file=sys.stderr)
        return 1
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.run(command, env=variables, check=False).returncode


# --- what it stands on ----------------------------------------------------------------------
@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    with (RUN_DIR / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            raise servers.NativeError("it is already running in this folder.") from taken
        yield


@contextlib.contextmanager
def _servers() -> Iterator[dict[str, str]]:
    _read_dotenv()
    if servers_are_given():
        print("Servers: those of DATABASE_URL and CELERY_BROKER_URL", flush=True)
        yield {}
        return
    if os.environ.get("DATABASE_URL") or os.environ.get("CELERY_BROKER_URL"):
        raise servers.NativeError(run.HALF_GIVEN)
    print("Starting PostgreSQL and RabbitMQ …", flush=True)
    with servers.kept(_data_folder()) as pair:
        print(f"Servers: {run.describe(*pair)}", flush=True)
        try:
            yield run.addresses(*pair)
        finally:
            run.ignore_signals()
            print("Stopping PostgreSQL and RabbitMQ (about 6 s) …", flush=True)


def _read_dotenv() -> None:
    """As the settings do: what is in the environment wins."""
    import environ

    environ.Env.read_env(ROOT / ".env")


def _data_folder() -> Path:
    """In the checkout, unless it is root's and the user `postgres` couldn't enter it."""
    here = RUN_DIR / "servers"
    if os.geteuid() != 0 or servers.is_enterable(RUN_DIR):
        return here
    name = f"supplychain-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]}"
    folder = Path("/var/tmp") / name  # noqa: S108 - its owner is checked
    folder.mkdir(mode=0o711, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise servers.NativeError(f"{folder} belongs to somebody else. Remove it and try again.")
    return folder


def _complete(addresses: dict[str, str]) -> dict[str, str]:
    """The environment of all processes."""
    variables = os.environ | addresses
    variables["PATH"] = f"{Path(sys.executable).parent}:{variables.get('PATH', '')}"
    variables["RUN_DIR"] = str(RUN_DIR)
    variables["PYTHONUNBUFFERED"] = "1"
    if os.geteuid() == 0:  # seven lines per worker on what is known already
        variables.setdefault("PYTHONWARNINGS", "ignore::UserWarning:celery.platforms")
    made = {
        "SECRET_KEY": _kept_secret("secret-key"),
        "FLOWER_BASIC_AUTH": f"flower:{_kept_secret('flower-password')}",
        "PORT": str(_port(8000)),
        "FLOWER_PORT": str(_port(5555)),
    }
    if management := variables.get("RABBITMQ_MANAGEMENT_URL"):
        made["FLOWER_BROKER_API"] = f"{management.rstrip('/')}/api/"
    # Set to nothing, as in a .env that is half filled in, is not set.
    return variables | {name: variables.get(name) or value for name, value in made.items()}


def _kept_secret(name: str) -> str:
    file = RUN_DIR / name
    if not file.exists():
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(secrets.token_urlsafe(50 if name == "secret-key" else 12))
    return file.read_text()


def _port(wanted: int) -> int:
    return wanted if processes.port_is_free(wanted) else processes.free_ports(1)[0]


# --- what runs ------------------------------------------------------------------------------
def _manage(arguments: list[str], variables: dict[str, str]) -> None:
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=variables, check=False)
    if done.returncode != 0:
        raise servers.NativeError(f"`manage.py {' '.join(arguments)}` failed: see above.")


@contextlib.contextmanager
def _addresses_for_others(variables: dict[str, str]) -> Iterator[None]:
    names = ("DATABASE_URL", "CELERY_BROKER_URL", "RABBITMQ_MANAGEMENT_URL", "SECRET_KEY")
    ADDRESSES.unlink(missing_ok=True)
    output: IO[str]
    with os.fdopen(os.open(ADDRESSES, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        json.dump({name: variables[name] for name in names if name in variables}, output)
    try:
        yield
    finally:
        ADDRESSES.unlink(missing_ok=True)


def _pages(variables: dict[str, str]) -> str:
    kept = RUN_DIR / "flower-password"
    ours = variables["FLOWER_BASIC_AUTH"] == f"flower:{kept.read_text() if kept.exists() else ''}"
    management = variables.get("RABBITMQ_MANAGEMENT_URL", "")
    shown = f"http://{management.rpartition('@')[2]}/" if management else "(the broker you gave)"
    if servers.FOLDER_VARIABLE in variables:
        folder = Path(variables[servers.FOLDER_VARIABLE])
        shown += f"   (user supplychain, password in {folder}/rabbitmq/state.json)"
    return PAGES.format(
        data=variables.get(servers.FOLDER_VARIABLE, "the servers you gave"),
        flower=f"user flower, password in {kept}" if ours else "user and password as you set them",
        rabbit=shown,
        **{name: variables[name] for name in ("PORT", "FLOWER_PORT")},
    )


def _run_procfile(variables: dict[str, str]) -> int:
    from .procfile import Manager, read

    def tell() -> None:
        if processes.wait_until(
            lambda: _answers(f"http://127.0.0.1:{variables['PORT']}/healthz"), 60
        ):
            print(_pages(variables), flush=True)

    print("— Processes of the Procfile", flush=True)
    manager = Manager(kill_wait=KILL_WAIT, when_started=tell)
    for name, command in read(ROOT / "Procfile"):
        manager.add_process(name, f"exec {command}", env=variables, cwd=str(ROOT))
    manager.loop()
    if manager.was_told_to_end:
        return 0
    print(f"make up: {manager.ended_first} ended by itself (see above), so all were ended.")
    return int(manager.returncode or 1)


def _answers(url: str) -> bool:
    """Whatever it answers, it is there."""
    try:
        urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - ours, http
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _give_up(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
