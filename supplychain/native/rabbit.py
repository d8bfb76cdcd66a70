"""Promise: a RabbitMQ node of one's own with its management page, on 127.0.0.1 only, that touches
no other node of this machine; stopped or killed and started again it has its ports and messages."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import processes
from .base import NativeError, Server, ServerFailed

# Debian's wrapper in /usr/sbin wants to be root or the user rabbitmq; these don't.
DEBIAN = Path("/usr/lib/rabbitmq/bin")
MISSING = "RabbitMQ isn't installed. Type: sudo apt-get install postgresql rabbitmq-server"
PLUGINS = "[rabbitmq_management,rabbitmq_consistent_hash_exchange]."
AMQP_HEADER = b"AMQP\x00\x00\x09\x01"
# consumer_timeout, half an hour, is the broker's default: here because handlers rely on it.
CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{port}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management_port}
default_user = {user}
default_pass = {password}
consumer_timeout = 1800000
vm_memory_high_watermark.relative = 0.4
disk_free_limit.absolute = 200MB
log.console = true
log.console.level = warning
log.file = false
"""


def find_programs() -> Path | None:
    on_path = shutil.which("rabbitmq-server")
    elsewhere = [Path(on_path).resolve().parent] if on_path else []
    for folder in [DEBIAN, *elsewhere]:
        if (folder / "rabbitmq-server").exists() and (folder / "rabbitmq-env").exists():
            return folder if shutil.which("epmd") else None
    return None


def _programs() -> Path:
    found = find_programs()
    if found is None:
        raise NativeError(MISSING)
    return found


class RabbitServer(Server):
    name = "RabbitMQ"
    port_names = ("port", "management_port", "dist_port", "epmd_port")
    user = "supplychain"

    @property
    def url(self) -> str:
        return f"amqp://{self.user}:{self.password}@127.0.0.1:{self.port}//"

    @property
    def management_port(self) -> int:
        return int(self._state["management_port"])

    @property
    def management_url(self) -> str:
        return f"http://{self.user}:{self.password}@127.0.0.1:{self.management_port}"

    @property
    def version(self) -> str:
        home = _programs().parent  # where the versioned folder is differs between packages
        folders = [*home.glob("lib/rabbitmq_server-*"), *home.glob("../rabbitmq_server-*")]
        return max((folder.name.rpartition("-")[2] for folder in folders), default="?")

    def kill(self) -> None:
        """As a power cut. What a client has confirmed survives, but a quorum queue declared less
        than half a second before may be lost: the broker writes its name to disk that much later.
        """
        super().kill()

    def ctl(self, *arguments: str, timeout: float = 60) -> str:
        """rabbitmqctl on this node; gives what it printed."""
        done = subprocess.run(
            [str(_programs() / "rabbitmqctl"), "-q", *arguments],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"rabbitmqctl {arguments[0]}: {done.stdout}")
        return done.stdout

    def _prepare(self) -> None:
        # The folder of a node's data bears its name, so that must not change with the port.
        self._state.setdefault("node", f"supplychain-{secrets.token_hex(4)}@localhost")
        self._save_state()
        for name in ("home", "data", "conf.d"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        settings = CONFIG.format(user=self.user, **self._state)
        self._write("rabbitmq.conf", settings)
        self._write("enabled_plugins", PLUGINS)
        self._write("rabbitmq-env.conf", "")

    def _write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.touch(mode=0o600)
        file.write_text(text)

    def _launch(self) -> None:
        """epmd first, as our own child: a node that finds none starts a daemon that stays."""
        environment = self._environment()
        server = [_programs() / "rabbitmq-server"]  # raises when anything is missing, epmd too
        epmd = str(shutil.which("epmd"))
        self._spawn([epmd], death_signal=signal.SIGTERM, env=environment)
        epmd_port = int(self._state["epmd_port"])
        if not processes.wait_until(lambda: processes.answers(epmd_port), 10):
            raise ServerFailed(f"{epmd} doesn't listen on port {epmd_port}:\n{self._log_end()}")
        self._spawn(server, death_signal=signal.SIGTERM, env=environment)

    def _environment(self) -> dict[str, str]:
        """Every path and port that the start script would else take from /etc or /var."""
        folder = str(self.folder)
        ours = {
            "HOME": f"{folder}/home",
            "ERL_EPMD_PORT": str(self._state["epmd_port"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": str(self._state["node"]),
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._state["dist_port"]),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
            "RABBITMQ_CONFIG_FILES": f"{folder}/conf.d",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/rabbitmq-env.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_PID_FILE": f"{folder}/rabbitmq.pid",
            # The script then becomes the node, instead of a shell that waits for it.
            "RUNNING_UNDER_SYSTEMD": "1",
        }
        foreign = ("RABBITMQ_", "ERL_", "NOTIFY_SOCKET")
        return {k: v for k, v in os.environ.items() if not k.startswith(foreign)} | ours

    def _is_ready(self, pid: int) -> bool:
        return _speaks_amqp(self.port) and processes.answers(self.management_port)

    def _stop_signals(self) -> Sequence[tuple[int, float]]:
        return [(signal.SIGTERM, 15.0)]


def _speaks_amqp(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(AMQP_HEADER)
            return connection.recv(1) == b"\x01"  # a method frame: connection.start
    except OSError:
        return False
