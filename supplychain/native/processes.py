"""Promise: a process started here is recognised later, also by another process, ends in bounded
time, and doesn't outlive its starter, not even one that was killed hard."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

PR_SET_PDEATHSIG = 1
# Below the kernel's ephemeral range: a client that dials a stopped server there could be given
# that very port as its own, connect to itself, and keep the server from starting again.
PORTS = range(20_000, 32_000)
_libc = ctypes.CDLL(None, use_errno=True)


def dies_with_parent(number: int, parent: int | None = None) -> Callable[[], None]:
    """A preexec_fn: the kernel sends this signal when the *thread* that started it ends."""
    parent = parent or os.getpid()

    def ask() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it ended before the kernel knew
            os.kill(os.getpid(), number)

    return ask


def birth(pid: int) -> int | None:
    """When a process began, in clock ticks: with the pid its identity. None: ended, or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def family(pid: int) -> list[int]:
    """A process and all that descend from it, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for member in found:
        found.extend(children.get(member, []))
    return found


def _parent(entry: Path) -> int | None:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def wait_until(check: Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end(pid: int, signals: Iterable[tuple[int, float]]) -> None:
    """Send one signal after the other, each with its patience, then kill the whole family."""
    members = {member: birth(member) for member in family(pid)}

    def gone() -> bool:
        return all(born is None or birth(one) != born for one, born in members.items())

    for number, patience in signals:
        send([pid], number)
        if wait_until(gone, patience):
            return
    send([one for one, born in members.items() if birth(one) == born], signal.SIGKILL)
    wait_until(gone, 10)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; at random, so that two starters rarely choose the same."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if port_is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"No {count} free ports from {PORTS.start} to {PORTS.stop} on 127.0.0.1.")


def port_is_free(port: int) -> bool:
    """Tried on every address: a server that listens on 0.0.0.0 takes the port as well."""
    for address in ("127.0.0.1", "0.0.0.0"):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
