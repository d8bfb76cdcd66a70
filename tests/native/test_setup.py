"""What runs before anything is there: .env, .venv, the servers' packages. Installs nothing."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from conftest import ROOT
from supplychain.native import dotenv, install


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of nothing but these scripts: they find its root from where they stand."""
    native = tmp_path / "supplychain" / "native"
    native.mkdir(parents=True)
    for script in ("dotenv.py", "venv.py"):
        shutil.copy(ROOT / "supplychain" / "native" / script, native)
    shutil.copy(ROOT / ".env.example", tmp_path)
    return tmp_path


def run(project: Path, script: str, *arguments: str, path: str = "") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, f"supplychain/native/{script}.py", *arguments],
        cwd=project,
        env={"PATH": path or os.environ["PATH"], "HOME": str(project)},
        capture_output=True,
        text=True,
        timeout=60,
    )


# --- .env ---------------------------------------------------------------------------------


def test_env_has_new_secrets_and_only_its_owner_may_read_it(project: Path) -> None:
    assert run(project, "dotenv").returncode == 0
    written = project / ".env"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    values = dict(re.findall(r"^(\w+)=(.*)$", written.read_text(), re.MULTILINE))
    assert all(len(values[name]) > 16 for name in dotenv.SECRETS)
    assert len({values[name] for name in dotenv.SECRETS}) == len(dotenv.SECRETS)
    # Into URLs without escaping.
    assert values["POSTGRES_PASSWORD"].isalnum()
    assert values["RABBITMQ_PASSWORD"].isalnum()


def test_an_env_that_is_there_is_left_as_it_is(project: Path) -> None:
    (project / ".env").write_text("SECRET_KEY=mine\n")
    done = run(project, "dotenv")
    assert (done.returncode, (project / ".env").read_text()) == (0, "SECRET_KEY=mine\n")
    assert "left as it is" in done.stdout


def test_two_projects_have_different_secrets() -> None:
    example = (ROOT / ".env.example").read_text()
    assert dotenv.fill(example) != dotenv.fill(example)


def test_the_example_asks_for_every_secret_and_changes_nothing_else() -> None:
    example = (ROOT / ".env.example").read_text()
    for name in dotenv.SECRETS:
        assert f"\n{name}=\n" in example
    changed = set(dotenv.fill(example).splitlines()) - set(example.splitlines())
    assert {line.partition("=")[0] for line in changed} == set(dotenv.SECRETS)


# --- .venv --------------------------------------------------------------------------------


@pytest.fixture
def with_venv(project: Path) -> Path:
    """A .venv that venv.py has made and filled; its Python is ours, but fails as pip."""
    (project / "requirements.txt").write_text("django\n")
    (project / "requirements-dev.txt").write_text("-r requirements.txt  # these, too\npytest\n")
    binaries = project / ".venv" / "bin"
    binaries.mkdir(parents=True)
    script = f"""#!/bin/sh
    echo "$@" >> {project}/calls
    case "$*" in *"pip install"*) echo "no network"; exit 1;; esac
    exec {sys.executable} "$@"
    """
    (binaries / "python").write_text(dedent(script))
    (binaries / "python").chmod(0o755)
    (project / ".venv" / "made-in").write_text(str(project / ".venv"))
    text = (project / "requirements-dev.txt").read_text() + "django\n"
    stamp = hashlib.sha256(text.encode()).hexdigest()
    (project / ".venv" / "installed-requirements-dev.txt").write_text(stamp)
    return project


def calls(project: Path) -> str:
    file = project / "calls"
    return file.read_text() if file.exists() else ""


def test_nothing_is_done_when_nothing_has_changed(with_venv: Path) -> None:
    done = run(with_venv, "venv", "requirements-dev.txt")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "install" not in calls(with_venv)


@pytest.mark.parametrize("changed", ["requirements-dev.txt", "requirements.txt"])
def test_a_change_is_installed_also_one_in_an_included_file(with_venv: Path, changed: str) -> None:
    (with_venv / changed).write_text((with_venv / changed).read_text() + "celery\n")
    for _ in range(2):  # what has failed is not done, and tried again
        done = run(with_venv, "venv", "requirements-dev.txt")
        assert done.returncode == 1
        assert "no network" in done.stderr
        assert "pip could not install requirements-dev.txt" in done.stderr
        assert "Traceback" not in done.stderr
    assert calls(with_venv).count("-m pip install") == 2
    assert str(with_venv / "requirements-dev.txt") in calls(with_venv)


def test_a_venv_that_was_moved_is_made_anew(with_venv: Path) -> None:
    (with_venv / ".venv" / "made-in").write_text("/somewhere/else")
    done = run(with_venv, "venv", "requirements-dev.txt", path="/nowhere")
    assert "Making .venv anew" in done.stdout


def test_a_link_to_another_folders_venv_is_taken_away_and_not_what_it_leads_to(
    with_venv: Path,
) -> None:
    (with_venv / ".venv").rename(with_venv / "theirs")
    (with_venv / "theirs" / "made-in").write_text("/somewhere/else")
    (with_venv / ".venv").symlink_to(with_venv / "theirs")
    done = run(with_venv, "venv", "requirements-dev.txt", path="/nowhere")
    assert "belongs to another folder" in done.stdout and "Traceback" not in done.stderr
    assert not (with_venv / ".venv").exists()
    assert (with_venv / "theirs" / "bin" / "python").exists()


def test_without_a_python_that_will_do_it_says_what_to_type(project: Path) -> None:
    (project / "requirements.txt").write_text("django\n")
    old = project / "old" / "python3"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 3 9\n")
    old.chmod(0o755)
    done = run(project, "venv", "requirements.txt", path=str(old.parent))
    assert done.returncode == 1
    assert "No Python 3.11 or newer" in done.stderr
    assert "apt-get install python3" in done.stderr
    assert "Traceback" not in done.stderr


# --- the servers' packages ----------------------------------------------------------------


def ask_installer(
    setup: str = "pass", path: str = "/nowhere", **given: str
) -> subprocess.CompletedProcess:
    code = f"import sys; from supplychain.native import install; {setup}; sys.exit(install.main())"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": path, **given},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_given_servers_need_no_packages() -> None:
    urls = {"DATABASE_URL": "postgres://db/x", "CELERY_BROKER_URL": "amqp://mq"}
    done = ask_installer("install.PACKAGES = {'no-such': lambda: None}", **urls)
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to install" in done.stdout


def test_what_is_there_is_left_alone() -> None:
    done = ask_installer(path=os.environ["PATH"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_cannot_be_installed_from_here_is_told() -> None:
    """Without apt-get on PATH nobody can."""
    done = ask_installer("install.PACKAGES = {'no-such': lambda: None}")
    assert done.returncode == 1
    assert "sudo apt-get update && sudo apt-get install -y no-such" in done.stderr
    assert "DATABASE_URL=postgres://" in done.stderr


def test_the_installing_script_is_one_that_a_shell_can_read() -> None:
    checked = subprocess.run(["sh", "-n", "-c", install.SCRIPT], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
