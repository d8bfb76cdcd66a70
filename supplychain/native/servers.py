"""Promise: the two servers the system stands on, private and complete, from one folder; and a way
for another process (a fault test) to take hold of them.

    with kept(folder) as (postgres, rabbit): ...     # data stays
    with thrown_away() as (postgres, rabbit): ...    # everything gone at the end
    postgres, rabbit = attach()          # of `native.run`, from inside its COMMAND
    rabbit.kill(); rabbit.start()        # same ports, same messages
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

from .base import NativeError, Server, ServerFailed
from .postgres import PostgresServer, is_enterable
from .rabbit import RabbitServer

__all__ = [
    "NativeError",
    "PostgresServer",
    "RabbitServer",
    "Server",
    "ServerFailed",
    "attach",
    "is_enterable",
    "kept",
    "make",
    "temporary_folder",
    "thrown_away",
]
FOLDER_VARIABLE = "SUPPLYCHAIN_NATIVE_DIR"
Pair = tuple[PostgresServer, RabbitServer]


def make(folder: Path, *, durable: bool | None = None, tied: bool = True) -> Pair:
    """Both, as they are: running if they run."""
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    postgres = PostgresServer(folder / "postgres", durable=durable, tied=tied)
    return postgres, RabbitServer(folder / "rabbitmq", tied=tied)


def attach(folder: str | Path | None = None) -> Pair:
    """The servers of a folder that another process runs. What you start stays when you end."""
    where = folder or os.environ.get(FOLDER_VARIABLE)
    if not where or not Path(where).is_dir():
        raise NativeError(
            f"No private servers to take hold of: {FOLDER_VARIABLE} is {where!r}. "
            "Run the tests with `make test`, without DATABASE_URL and CELERY_BROKER_URL."
        )
    return make(Path(where), tied=False)


@contextmanager
def kept(folder: Path) -> Iterator[Pair]:
    """Both running on data that outlives them; both stopped in order at the end."""
    postgres, rabbit = make(folder, durable=True)
    for left_behind in (postgres, rabbit):
        left_behind.stop()
    with postgres, rabbit:
        yield postgres, rabbit


@contextmanager
def thrown_away(*, durable: bool = False, tied: bool = True) -> Iterator[Pair]:
    """Both running in a folder of their own; killed and deleted at the end.

    Killed, because RabbitMQ takes 6 s to end in order (its management plugin waits for 5).
    """
    with temporary_folder() as folder:
        postgres, rabbit = make(folder, durable=durable, tied=tied)
        try:
            yield postgres.start(), rabbit.start()
        finally:
            rabbit.kill()
            postgres.kill()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder that the user `postgres` may pass through, gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="supplychain-", dir=_enterable()))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)


def _enterable() -> Path:
    """The usual folder for temporary things, unless only its owner may enter it."""
    usual = Path(tempfile.gettempdir()).resolve()
    return usual if os.geteuid() != 0 or is_enterable(usual) else Path("/var/tmp")  # noqa: S108 - mkdtemp
