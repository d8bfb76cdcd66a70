"""The settings, read by a process of their own: what is given, what is not, what is wrong."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT

SHOW = """
import json, sys
from supplychain import settings
print(json.dumps({name: getattr(settings, name, None) for name in sys.argv[1:]}, default=str))
"""
SERVERS = {
    "DATABASE_URL": "postgres://user:word@db:5433/name",
    "CELERY_BROKER_URL": "amqp://user:word@mq:5672//",
    "SECRET_KEY": "given",
}


def start(environment, *names, folder=ROOT):
    """A Python that reads the settings and prints some; nothing of our own environment."""
    return subprocess.run(
        [sys.executable, "-c", SHOW, *names],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "SUPPLYCHAIN_NO_DOTENV": "1", **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )


def read(environment, *names, folder=ROOT):
    done = start(environment, *names, folder=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DEBUG", "maybe", "true or false; it is 'maybe'"),
        ("BEHIND_TLS_PROXY", "perhaps", "true or false; it is 'perhaps'"),
        ("DATABASE_URL", "mysql://user@host/name", "PostgreSQL or SQLite"),
        ("DATABASE_URL", "nonsense", "PostgreSQL or SQLite"),
        ("DATABASE_URL", "postgres://user:word@host:port/name", "a URL like postgres://"),
        ("CELERY_BROKER_URL", "redis://localhost", "amqp:// or amqps:// (RabbitMQ)"),
        ("EMAIL_URL", "pigeon://loft", "a URL like smtp://"),
        ("API_MAX_BODY", "big", "a number"),
        ("API_MAX_BODY", "5", "from 1000 to 100000000; it is 5.0"),
        ("OUTBOX_RETENTION_DAYS", "-1", "from 0.01 to 3650; it is -1.0"),
        ("INBOX_RETENTION_DAYS", "for ever", "a number"),
        ("PLANNING_INTERVAL", "nan", "from 0.1 to 3600"),
        ("PLANNING_QUIET", "inf", "from 0.0 to 3600"),
        ("PLANNING_PATIENCE", "5 minutes", "a number"),
        ("PLANNING_SOLVE_SECONDS", "0", "from 0.1 to 600; it is 0.0"),
        ("PLANNING_NUMBER", "0", "from 1 to 1000000; it is 0.0"),
        ("PROMISE_SECONDS", "soon", "a number"),
        ("PROMISE_WINDOW_HOURS", "0", "from 0.1 to 48.0; it is 0.0"),
        ("ETA_THRESHOLD_MINUTES", "-1", "from 0.0 to 1440; it is -1.0"),
        ("DISPATCH_GRACE_MINUTES", "0", "from 1.0 to 1440; it is 0.0"),
        ("PROOF_DAYS", "0", "from 1 to 36500; it is 0.0"),
        ("PLAN_RUN_DAYS", "0", "from 1 to 36500; it is 0.0"),
        ("TURN_AROUND_MINUTES", "-1", "it is -1.0"),
        ("INVENTORY_OPTIMISE_SECONDS", "-1", "from 0.0 to 60.0; it is -1.0"),
        ("EXPIRY_INTERVAL", "0", "from 0.1 to 3600; it is 0.0"),
        ("EXPIRY_GRACE", "long", "a number"),
        ("TRANSFER_PROPOSAL_INTERVAL", "daily", "a number"),
        ("TRAVEL_URL", "ftp://maps", "start with http(s)://"),
        ("TRAVEL_TIMEOUT", "0", "from 0.1 to 300; it is 0.0"),
        ("MAP_TILES", "ftp://tiles/{z}/{x}/{y}.png", "start with http(s)://"),
        ("MAP_TILES", "https://tiles/", "contain {z}, {x} and {y}; it is 'https://tiles/'"),
        ("NOTIFICATION_INTERVAL", "1,5", "a number"),
        ("LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING or ERROR, not LOUD"),
    ],
)
def test_a_bad_value_stops_the_start_with_a_sentence_that_names_it(name, value, expected):
    done = start({name: value})
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert f"ImproperlyConfigured: {name} must " in said
    assert expected in said


def test_every_variable_that_is_read_has_been_tried_with_a_bad_value():
    """Those that take any text have none."""
    read_here = set(
        re.findall(
            r'_(?:read|switch|number)\(\s*"(\w+)"',
            (ROOT / "supplychain" / "settings.py").read_text(),
        )
    )
    tried = {
        arguments[0]
        for mark in test_a_bad_value_stops_the_start_with_a_sentence_that_names_it.pytestmark
        for arguments in mark.args[1]
    }
    assert read_here
    assert read_here <= tried


def test_manage_py_says_the_sentence():
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SUPPLYCHAIN_NO_DOTENV": "1", "LOG_LEVEL": "LOUD"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("ERROR, not LOUD.")


# --- nothing given ------------------------------------------------------------------------


def test_without_anything_it_runs_embedded_and_safe():
    found = read({}, "EMBEDDED", "DEBUG", "CELERY_BROKER_URL", "DATABASES", "ALLOWED_HOSTS")
    assert found["EMBEDDED"] is True
    assert found["DEBUG"] is False
    assert found["CELERY_BROKER_URL"] == "memory://localhost/"
    assert found["DATABASES"]["default"]["ENGINE"] == "django.db.backends.sqlite3"
    assert found["DATABASES"]["default"]["NAME"] == str(ROOT / "supplychain.sqlite3")
    assert found["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]


def test_a_secret_key_is_made_up_only_for_trying_out():
    first, second = (read({}, "SECRET_KEY")["SECRET_KEY"] for _ in range(2))
    assert len(first) >= 50
    assert first != second


def test_set_to_nothing_is_not_set():
    names = ("DATABASE_URL", "CELERY_BROKER_URL", "DEBUG", "ALLOWED_HOSTS", "LOG_LEVEL")
    shown = ("DATABASES", "EMBEDDED", "DEBUG", "ALLOWED_HOSTS", "LOG_LEVEL", "EMAIL_BACKEND")
    nothing = dict.fromkeys([*names, "EMAIL_URL", "API_MAX_BODY"], "")
    assert read(nothing, *shown) == read({}, *shown)


# --- servers given ------------------------------------------------------------------------


def test_with_real_servers_a_secret_key_is_demanded():
    done = start({**SERVERS, "SECRET_KEY": ""})
    assert done.returncode == 1
    assert "ImproperlyConfigured: SECRET_KEY is not set. Make one with" in done.stderr


def test_given_servers_are_used():
    found = read(SERVERS, "EMBEDDED", "DATABASES", "SECRET_KEY", "CELERY_BROKER_URL", "DEBUG")
    database = found["DATABASES"]["default"]
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert (database["HOST"], database["PORT"], database["NAME"]) == ("db", 5433, "name")
    assert (found["EMBEDDED"], found["DEBUG"], found["SECRET_KEY"]) == (False, False, "given")
    assert found["CELERY_BROKER_URL"] == SERVERS["CELERY_BROKER_URL"]


@pytest.mark.parametrize(
    ("value", "debug"), [("true", True), ("1", True), ("Yes", True), ("off", False), ("0", False)]
)
def test_debug_is_on_only_when_asked_for(value, debug):
    assert read({"DEBUG": value}, "DEBUG") == {"DEBUG": debug}


def test_values_are_read_as_they_are_written():
    """A secret may begin with a dollar sign, a number may be written as numbers are."""
    given = {"SECRET_KEY": "$HOME", "PLANNING_PATIENCE": "1e3", "ALLOWED_HOSTS": "a.example, b"}
    found = read(given, *given)
    assert found == {
        "SECRET_KEY": "$HOME",
        "PLANNING_PATIENCE": 1000,
        "ALLOWED_HOSTS": ["a.example", "b"],
    }


def test_behind_a_tls_proxy_cookies_go_over_https_only():
    names = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE")
    assert read({"BEHIND_TLS_PROXY": "true"}, *names) == dict.fromkeys(names, True)
    assert read({}, *names) == dict.fromkeys(names, None)


# --- .env ---------------------------------------------------------------------------------


@pytest.fixture
def with_dotenv(tmp_path):
    """The settings in a project of their own, so that a .env may stand beside them."""
    package = tmp_path / "supplychain"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(ROOT / "supplychain" / "settings.py", package)
    lines = (
        "# the shop's",
        "SECRET_KEY=from-the-file",
        "LOG_LEVEL=error",
        'DEFAULT_FROM_EMAIL="shop@example.com"',
    )
    (tmp_path / ".env").write_text("\n".join(lines))
    return tmp_path


def test_a_dotenv_is_read_and_the_environment_wins(with_dotenv):
    given = {"SUPPLYCHAIN_NO_DOTENV": "", "LOG_LEVEL": "WARNING"}
    found = read(given, "SECRET_KEY", "LOG_LEVEL", "DEFAULT_FROM_EMAIL", folder=with_dotenv)
    assert found == {
        "SECRET_KEY": "from-the-file",
        "LOG_LEVEL": "WARNING",
        "DEFAULT_FROM_EMAIL": "shop@example.com",
    }


def test_a_dotenv_is_left_alone_when_told_so(with_dotenv):
    """As for tests and benches, which must not run on the servers that somebody uses."""
    assert read({}, "LOG_LEVEL", folder=with_dotenv) == {"LOG_LEVEL": "INFO"}


def test_the_example_is_a_dotenv_that_works_once_its_secrets_are_filled_in(with_dotenv):
    from supplychain.native.dotenv import fill

    (with_dotenv / ".env").write_text(fill((ROOT / ".env.example").read_text()))
    servers = {k: v for k, v in SERVERS.items() if k != "SECRET_KEY"}
    given = {"SUPPLYCHAIN_NO_DOTENV": "", **servers}
    found = read(given, "SECRET_KEY", "DEBUG", "EMAIL_BACKEND", folder=with_dotenv)
    assert len(found["SECRET_KEY"]) >= 50
    assert found["DEBUG"] is False
    assert found["EMAIL_BACKEND"] == "django.core.mail.backends.console.EmailBackend"
