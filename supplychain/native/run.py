"""Promise: COMMAND runs with a PostgreSQL and a RabbitMQ of its own, and its exit code is ours;
afterwards nothing of them is left, however it ended.

    python -m supplychain.native.run [--durable] -- COMMAND…

With DATABASE_URL and CELERY_BROKER_URL in the environment COMMAND gets those instead.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from . import processes, servers
from .install import servers_are_given

HALF_GIVEN = (
    "Only one of DATABASE_URL and CELERY_BROKER_URL is set. Set both to use servers of your own, "
    "or unset both (`env -u DATABASE_URL -u CELERY_BROKER_URL make …`) to get private ones."
)


def main() -> int:
    options = _parse()
    try:
        return _run(options.command, durable=options.durable)
    except servers.NativeError as failure:
        print(f"native.run: {failure}", file=sys.stderr)
        return 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m supplychain.native.run")
    parser.add_argument("--durable", action="store_true", help="keep fsync on: for benches")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="after --")
    return parser.parse_args()


def _run(command: list[str], *, durable: bool) -> int:
    # Until COMMAND runs, a signal unwinds the stack and so ends what has been started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _give_up)
    try:
        with environment(durable=durable) as variables:
            return _wait_for(command, variables)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _give_up(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextmanager
def environment(*, durable: bool) -> Iterator[dict[str, str]]:
    """Environment variables that lead to servers: to given ones, or to private ones of ours."""
    # A .env is for the system that is used, not for its tests and benches.
    variables = {**os.environ, "SUPPLYCHAIN_NO_DOTENV": "1"}
    # Set by the import of our own package; pytest would take it for the caller's wish.
    if variables.get("DJANGO_SETTINGS_MODULE") == "supplychain.settings":
        del variables["DJANGO_SETTINGS_MODULE"]
    variables.setdefault("SECRET_KEY", secrets.token_urlsafe(50))
    if servers_are_given():
        print("Servers: those of DATABASE_URL and CELERY_BROKER_URL", flush=True)
        yield variables
        return
    if os.environ.get("DATABASE_URL") or os.environ.get("CELERY_BROKER_URL"):
        raise servers.NativeError(HALF_GIVEN)
    began = time.monotonic()
    print("Starting private servers (about 5 s) …", flush=True)
    with servers.thrown_away(durable=durable) as pair:
        print(f"Servers: {describe(*pair)}, up in {time.monotonic() - began:.1f} s", flush=True)
        try:
            yield variables | addresses(*pair)
        finally:
            ignore_signals()  # a second ctrl-C must not leave half of them running


def describe(postgres: servers.PostgresServer, rabbit: servers.RabbitServer) -> str:
    safety = "" if postgres.durable else ", fsync off"
    return (
        f"PostgreSQL {postgres.version} on port {postgres.port}{safety}; RabbitMQ "
        f"{rabbit.version} on port {rabbit.port}, management on {rabbit.management_port}"
    )


def addresses(postgres: servers.PostgresServer, rabbit: servers.RabbitServer) -> dict[str, str]:
    return {
        "DATABASE_URL": postgres.url,
        "CELERY_BROKER_URL": rabbit.url,
        "RABBITMQ_MANAGEMENT_URL": rabbit.management_url,
        servers.FOLDER_VARIABLE: str(postgres.folder.parent),
    }


def _wait_for(command: list[str], variables: dict[str, str]) -> int:
    try:
        child = subprocess.Popen(
            command,
            env=variables,
            preexec_fn=processes.dies_with_parent(signal.SIGTERM),
        )
    except OSError as failure:
        raise servers.NativeError(f"{command[0]} can't be run: {failure.strerror}") from failure

    def pass_on(number: int, frame: FrameType | None) -> None:
        # In a terminal, ctrl-C has reached the child already.
        if number != signal.SIGINT or not sys.stdin.isatty():
            child.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    code = child.wait()
    return code if code >= 0 else 128 - code


def ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
