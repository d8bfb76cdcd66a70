"""Who works in the admin: made by a command, in one role, with their warehouses."""

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from inventory import access

from .conftest import warehouse

pytestmark = pytest.mark.django_db
STAFF = "warehouse staff"


@pytest.fixture
def secret(tmp_path):
    file = tmp_path / "password"
    file.write_text("a long enough one\n")
    return str(file)


def create(name, *options, **more):
    out = StringIO()
    call_command("create_staff", name, *options, stdout=out, **more)
    return out.getvalue()


def works_in(user):
    return list(access.warehouses_of(user).order_by("code").values_list("code", flat=True))


def test_staff_have_a_role_and_warehouses(secret):
    warehouse("york")
    warehouse("leeds")
    said = create("ada", f"--role={STAFF}", "-w", "york", f"--password-file={secret}")
    assert said == "ada created: warehouse staff, york.\n"
    ada = User.objects.get()
    assert ada.is_staff
    assert not ada.is_superuser
    assert ada.check_password("a long enough one")
    assert ada.has_perm(access.STOCK)
    assert not ada.has_perm(access.LIMITS)
    assert works_in(ada) == ["york"]


def test_a_role_can_be_changed_and_the_password_stays(secret):
    warehouse("york")
    warehouse("leeds")
    create("ada", f"--role={STAFF}", "-w", "york", f"--password-file={secret}")
    create("ada", f"--role={STAFF}", "-w", "leeds")
    assert works_in(User.objects.get()) == ["leeds"]
    assert "changed" in create("ada", "--role=auditors")
    ada = User.objects.get()
    assert [group.name for group in ada.groups.all()] == ["auditors"]
    assert ada.check_password("a long enough one")
    assert not ada.has_perm(access.STOCK)
    assert works_in(ada) == ["leeds", "york"]


def test_the_password_is_asked_for(monkeypatch):
    answers = iter(["quite a long one", "quite a long one", "one", "another"])
    monkeypatch.setattr("getpass.getpass", lambda *prompt: next(answers))
    create("ada", "--role=operators")
    assert User.objects.get().check_password("quite a long one")
    with pytest.raises(CommandError, match="two different passwords"):
        create("bob", "--role=operators")
    assert not User.objects.filter(username="bob").exists()


@pytest.mark.parametrize(
    ("name", "options", "password", "told"),
    [
        ("ada", [f"--role={STAFF}"], "a long enough one", "name at least one warehouse"),
        ("ada", [f"--role={STAFF}", "-w", "nowhere"], "a long enough one", "no warehouse nowhere"),
        ("ada", ["--role=auditors"], "short", "too short"),
        ("ada", ["--role=auditors"], "", "too short"),
        ("a da", ["--role=auditors"], "a long enough one", "valid username"),
        ("ada", ["--role=kings"], "a long enough one", "invalid choice"),
        ("ada", ["--role=auditors", "--password-file=/no/such"], "", "Can't read the password"),
    ],
)
def test_what_can_not_be_is_refused_and_nobody_made(name, options, password, told, tmp_path):
    file = tmp_path / "password"
    file.write_text(password)
    with pytest.raises(CommandError, match=told):
        create(name, f"--password-file={file}", *options)
    assert not User.objects.exists()
