"""Promise: a member of staff has one role, and the warehouses that were named, no more."""

from __future__ import annotations

from collections.abc import Collection

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from supplychain.errors import SupplyChainError

from . import access
from .checking import some
from .models import Warehouse, WarehouseStaff


class InvalidStaff(SupplyChainError):
    """Nobody can work like this."""

    permanent = True


@transaction.atomic
def employ(
    *, username: str, role: str, warehouses: Collection[str] = (), password: str | None = None
) -> tuple[User, bool]:
    """Make a user who works in this role, in these warehouses (codes), or change one to that;
    gives the user and whether they are new. Without a password theirs stays.

    Raises InvalidStaff when there is no such role or warehouse, when somebody new has no
    password, or a password that is too easy.
    """
    if role not in access.ROLES:
        raise InvalidStaff(f"There is no role {role!r}; there are: {', '.join(access.ROLES)}.")
    sites = _sites(role, set(warehouses))
    user = User.objects.select_for_update(no_key=True).filter(username=username).first()
    made = user is None
    user = user or _new(username)
    if password is None and made:
        raise InvalidStaff(f"{username!r} is new and needs a password.")
    if password is not None:
        _set_password(user, password)
    user.is_staff, user.is_active = access.ROLES[role].staff, True
    user.save()
    others = Group.objects.filter(name__in=access.ROLES).exclude(name=role)
    user.groups.remove(*others)
    user.groups.add(Group.objects.get(name=role))
    WarehouseStaff.objects.filter(user=user).exclude(warehouse__in=sites).delete()
    WarehouseStaff.objects.bulk_create(
        [WarehouseStaff(user=user, warehouse=site) for site in sites], ignore_conflicts=True
    )
    return user, made


def _sites(role: str, codes: set[str]) -> list[Warehouse]:
    if access.ROLES[role].local and not codes:
        raise InvalidStaff(f"{role.capitalize()} work somewhere: name at least one warehouse.")
    sites = list(Warehouse.objects.filter(code__in=codes).order_by("pk"))
    if unknown := codes - {site.code for site in sites}:
        raise InvalidStaff(f"There is no warehouse {some(unknown)}.")
    return sites


def _new(username: str) -> User:
    user = User(username=username)
    try:
        user.clean_fields(exclude=["password"])
    except ValidationError as wrong:
        raise InvalidStaff(f"{username!r}: {' '.join(wrong.messages)}") from wrong
    return user


def _set_password(user: User, password: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as wrong:
        raise InvalidStaff(" ".join(wrong.messages)) from wrong
    user.set_password(password)
