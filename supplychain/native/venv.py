"""Promise: .venv holds what the given requirements file asks for, made by the newest Python that
will do; quick when nothing has changed, mended when half made.

    python3 supplychain/native/venv.py requirements-dev.txt

A script, not a module: it runs before anything is installed, under any Python 3.7 or newer (it
then picks a better one), so nothing newer is used here.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Sequence  # noqa: UP035 - older Pythons run this

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)
TRIED = ["python3.14", "python3.13", "python3.12", "python3.11"]
NO_PYTHON = """\
No Python 3.11 or newer was found on PATH. Install one, for example:

    sudo apt-get install python3 python3-venv            (Debian 12+, Ubuntu 24.04+)
    sudo apt-get install python3.11 python3.11-venv      (Ubuntu 22.04)
"""


def main() -> int:
    requirements = ROOT / sys.argv[1]
    stamp = VENV / ("installed-" + requirements.name)
    wanted = _fingerprint(requirements)
    if _works() and stamp.exists() and stamp.read_text() == wanted:
        return 0
    if not _works():
        _make()
    _install(requirements)
    # requirements-dev.txt includes requirements.txt, so both are now as they should be.
    for name in _included(requirements):
        (VENV / ("installed-" + name.name)).write_text(_fingerprint(name))
    return 0


def _included(requirements: Path) -> list[Path]:
    found = [requirements]
    for line in requirements.read_text().splitlines():
        if line.startswith("-r "):
            found += _included(requirements.parent / line[3:].split("#")[0].strip())
    return found


def _fingerprint(requirements: Path) -> str:
    text = "".join(file.read_text() for file in _included(requirements))
    return hashlib.sha256(text.encode()).hexdigest()


def _works() -> bool:
    """False as well for a venv whose Python was removed, or that was moved with its folder."""
    made_here = (VENV / "made-in").exists() and (VENV / "made-in").read_text() == str(VENV)
    return made_here and _runs([PYTHON, "-c", "import pip"])


def _make() -> None:
    if VENV.is_symlink():
        print("Making .venv anew: the one that is there belongs to another folder.", flush=True)
        VENV.unlink()
    elif VENV.exists():
        print("Making .venv anew: the one that is there is broken or half made.", flush=True)
        shutil.rmtree(VENV)
    pythons = _pythons()
    if not pythons:
        raise SystemExit(NO_PYTHON)
    whole = [python for python in pythons if _runs([python, "-c", "import ensurepip, venv"])]
    python = (whole or pythons)[0]
    print(f"Making .venv with {python} …", flush=True)
    ways = [_with_ensurepip, _with_pip_from_outside, _with_virtualenv, _after_apt]
    for way in ways:
        shutil.rmtree(VENV, ignore_errors=True)
        if way(python) and _runs([PYTHON, "-c", "import pip"]):
            (VENV / "made-in").write_text(str(VENV))
            return
    raise SystemExit(
        f"{python} can't make a virtual environment. Type:\n\n    sudo apt-get update && "
        f"sudo apt-get install -y {_venv_package(python)}\n\nand try again."
    )


def _pythons() -> list[str]:
    """Those on PATH that will do, newest first. A name may be a shim with nothing behind it."""
    found = [shutil.which(name) for name in [*TRIED, "python3"]]
    return [python for python in found if python and _version(python) >= OLDEST]


def _version(python: str) -> tuple[int, int]:
    asked = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2])"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    words = asked.stdout.split()
    return (int(words[0]), int(words[1])) if asked.returncode == 0 and len(words) == 2 else (0, 0)


def _with_ensurepip(python: str) -> bool:
    return _runs([python, "-m", "venv", VENV])


def _with_pip_from_outside(python: str) -> bool:
    """Debian without python3-venv but with python3-pip: that pip can fill an empty venv."""
    return _runs([python, "-m", "venv", "--without-pip", VENV]) and _runs(
        [python, "-m", "pip", "-q", "--python", PYTHON, "install", "pip"]
    )


def _with_virtualenv(python: str) -> bool:
    return _runs([python, "-m", "virtualenv", "-q", VENV])


def _after_apt(python: str) -> bool:
    """As root, or with a sudo that asks nothing."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not shutil.which("apt-get") or not _runs([*prefix, "true"]):
        return False
    package = _venv_package(python)
    print(f"Installing {package} (apt-get) …", flush=True)
    for words in (["update"], ["install", "-y", "--no-install-recommends", package]):
        apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", *words]
        if subprocess.run(apt, stdin=subprocess.DEVNULL, check=False).returncode != 0:
            return False
    return _with_ensurepip(python)


def _venv_package(python: str) -> str:
    return "python" + ".".join(map(str, _version(python))) + "-venv"


def _install(requirements: Path) -> None:
    """pip's own bars are too much, its silence too little: one line per download."""
    print(f"Installing {requirements.name} …", flush=True)
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", "-r", str(requirements)]
    log = VENV / "pip.log"
    with log.open("w") as whole:
        pip = subprocess.Popen(
            command,
            env=dict(os.environ, PYTHONUNBUFFERED="1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
        )
        assert pip.stdout is not None
        for line in pip.stdout:
            whole.write(line)
            _show(line)
        pip.wait()
    if pip.returncode != 0:
        print("".join(log.read_text().splitlines(keepends=True)[-15:]), file=sys.stderr)
        raise SystemExit(
            f"pip could not install {requirements.name}: see above, and {log}. Is the network "
            "there? Then try again: what has been downloaded is kept."
        )


def _show(line: str) -> None:
    download = re.match(r"\s*(?:Downloading|Using cached) \S*?([^/\s]+)-\d[^/\s]* (\(.*\))", line)
    if download:
        print(f"  {download[1]} {download[2]}", flush=True)
    elif line.startswith("Installing collected packages"):
        print(f"  unpacking {line.count(',') + 1} packages …", flush=True)


def _runs(command: Sequence[object]) -> bool:
    try:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
