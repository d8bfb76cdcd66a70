"""Promise: a PostgreSQL of one's own, on 127.0.0.1 only, run as root or as anybody; stopped or
killed and started again it has the same port and data."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from .base import NativeError, Server, ServerFailed

MISSING = (
    "PostgreSQL's server programs aren't installed. "
    "Type: sudo apt-get install postgresql rabbitmq-server"
)
#: For tests: nothing survives a power cut, everything survives a killed process (which
#: synchronous_commit=off would not promise).
CARELESS = ("fsync=off", "full_page_writes=off")
Mode = Literal["smart", "fast", "immediate"]
SIGNALS: dict[Mode, int] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}


def find_programs() -> Path | None:
    """The folder with initdb and postgres, of the newest version."""
    packaged = [p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    numbered = [p for p in packaged if p.parent.name.isdigit() and (p / "postgres").exists()]
    if numbered:
        return max(numbered, key=lambda folder: int(folder.parent.name))
    on_path = shutil.which("initdb")
    folder = Path(on_path).resolve().parent if on_path else None
    return folder if folder and (folder / "postgres").exists() else None


class PostgresServer(Server):
    """`durable=False` gives up safety against power cuts for speed: tests only, never a bench."""

    name = "PostgreSQL"
    port_names = ("port",)
    user = database = "supplychain"

    def __init__(self, folder: Path, *, durable: bool | None = None, tied: bool = True) -> None:
        super().__init__(folder, tied=tied)
        if durable is not None:
            self._state["durable"] = int(durable)
        self._state.setdefault("durable", 1)
        self.data = self.folder / "cluster" / "data"

    @property
    def durable(self) -> bool:
        return bool(self._state["durable"])

    @property
    def url(self) -> str:
        return f"postgres://{self.user}:{self.password}@127.0.0.1:{self.port}/{self.database}"

    @property
    def version(self) -> str:
        said = _run([_programs() / "postgres", "--version"])
        match = re.search(r"\d+(\.\d+)*", said)
        return match.group() if match else "?"

    def stop(self, mode: Mode = "fast") -> None:
        """fast: clients are cut off. immediate: as a crash, the next start recovers."""
        gentle = [(SIGNALS[mode], 10.0)]
        self._end(gentle if mode == "immediate" else [*gentle, (signal.SIGQUIT, 5.0)])

    def start(self) -> Self:
        super().start()
        if not self._state.get("has_database"):
            self._make_database()
        return self

    def _prepare(self) -> None:
        if self._state.get("has_cluster"):
            self._forget_the_dead()
            return
        _must_be_enterable(self.folder)
        owner = _owner()
        cluster = self.data.parent
        cluster.mkdir(mode=0o700, exist_ok=True)
        password_file = cluster / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        if owner:
            shutil.chown(cluster, owner, owner)
            shutil.chown(password_file, owner, owner)
        shutil.rmtree(self.data, ignore_errors=True)  # of an initdb that was interrupted
        try:
            _run(self._initdb(password_file), user=owner)
        finally:
            password_file.unlink()
        self._state["has_cluster"] = 1
        self._save_state()

    def _forget_the_dead(self) -> None:
        """A zombie, or a stranger with its old pid, would be taken for a running server."""
        note = self.data / "postmaster.pid"
        try:
            command = Path(f"/proc/{int(note.read_text().split()[0])}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, ValueError, IndexError):
            command = b""
        if str(self.data).encode() not in command:
            note.unlink(missing_ok=True)

    def _initdb(self, password_file: Path) -> list[str | Path]:
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        who = [f"--username={self.user}", f"--pwfile={password_file}"]
        return [_programs() / "initdb", "-D", self.data, *who, *options]

    def _launch(self) -> None:
        settings = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",  # its path would have to be short, TCP's hasn't
            "max_connections=200",
            "log_line_prefix=%m [%p] ",
            *(() if self.durable else CARELESS),
        ]
        command: list[str | Path] = [
            _programs() / "postgres",
            "-D",
            self.data,
            "-p",
            str(self.port),
        ]
        for setting in settings:
            command += ["-c", setting]
        self._spawn(command, death_signal=signal.SIGINT, env=_environment(), user=_owner())

    def _is_ready(self, pid: int) -> bool:
        """Its own note says so: first line its pid, eighth its state."""
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return lines[0] == str(pid) and len(lines) > 7 and lines[7].startswith("ready")

    def _stop_signals(self) -> Sequence[tuple[int, float]]:
        return [(signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0)]

    def _make_database(self) -> None:
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", self.user]
        command: list[str | Path] = [
            _programs() / "createdb",
            *where,
            "--maintenance-db=postgres",
            self.database,
        ]
        try:
            _run(command, PGPASSWORD=self.password)
        except ServerFailed as failure:
            if "already exists" not in str(failure):
                raise
        self._state["has_database"] = 1
        self._save_state()


def _programs() -> Path:
    found = find_programs()
    if found is None:
        raise NativeError(MISSING)
    return found


def _owner() -> str | None:
    """Root may not run PostgreSQL: the package's own user does then."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError as unknown:
        raise NativeError(
            "You are root, and PostgreSQL refuses to run as root, but there is no user "
            "`postgres` to run it as. Type: adduser --system --group postgres"
        ) from unknown


def is_enterable(folder: Path) -> bool:
    """Whether anybody may pass through it and all folders above."""
    return all(step.stat().st_mode & 0o001 for step in [folder, *folder.parents])


def _must_be_enterable(folder: Path) -> None:
    if _owner() and not is_enterable(folder):
        raise NativeError(
            f"The user `postgres` can't enter {folder} (or a folder above it), so PostgreSQL can't "
            "keep its data there. Give another folder, for example below /var/tmp."
        )


def _environment() -> dict[str, str]:
    """Ours without PGDATA, PGPORT and their like: they would send it elsewhere."""
    return {k: v for k, v in os.environ.items() if not k.startswith("PG")}


def _run(command: Sequence[str | Path], user: str | None = None, **more: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd="/",
        env=_environment() | more,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    if done.returncode != 0:
        raise ServerFailed(f"{Path(command[0]).name} failed ({done.returncode}):\n{done.stdout}")
    return done.stdout
