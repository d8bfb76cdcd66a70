"""Promise: afterwards PostgreSQL and RabbitMQ are on this machine, or it is said what to type.

What is there is left alone. What apt-get installs is not started as a system service: the
project runs its own private servers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from . import postgres, rabbit

PACKAGES = {"postgresql": postgres.find_programs, "rabbitmq-server": rabbit.find_programs}
# An existing policy is the owner's: it stays. Ours goes, whatever happens in between.
SCRIPT = """
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\\nexit 101\\n' > $policy
    chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q -o DPkg::Lock::Timeout=300 update
apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
if [ -d /run/systemd/system ]; then
    for package; do systemctl --quiet disable "$package" || true; done
fi
"""


def missing() -> list[str]:
    return [package for package, find in PACKAGES.items() if find() is None]


def servers_are_given() -> bool:
    return bool(os.environ.get("DATABASE_URL") and os.environ.get("CELERY_BROKER_URL"))


def root_prefix() -> list[str] | None:
    """What to put before a command to run it as root without being asked; None: no way."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    allowed = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
    return ["sudo", "-n"] if allowed.returncode == 0 else None


def install(packages: list[str]) -> bool:
    prefix = root_prefix()
    if prefix is None or shutil.which("apt-get") is None:
        return False
    print(f"Installing {' and '.join(packages)} (apt-get; not started as services) …", flush=True)
    command = [*prefix, "sh", "-c", SCRIPT, "install", *packages]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    return done.returncode == 0 and not missing()


def main() -> int:
    if servers_are_given():
        print("Using the servers of DATABASE_URL and CELERY_BROKER_URL: nothing to install.")
        return 0
    wanted = missing()
    if not wanted or install(wanted):
        return 0
    print(
        f"\nNot installed, and could not be installed from here: {', '.join(wanted)}.\n"
        "Either type (Debian, Ubuntu):\n\n"
        f"    sudo apt-get update && sudo apt-get install -y {' '.join(wanted)}\n\n"
        "or name servers of your own, and try again:\n\n"
        "    export DATABASE_URL=postgres://user:password@host:5432/name\n"
        "    export CELERY_BROKER_URL=amqp://user:password@host:5672//\n",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
