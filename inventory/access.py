"""Promise: here, and nowhere else, stands which warehouses somebody may see and change, and what
the roles may do. Pages, forms, actions and the API all ask here.

A role is a group of Django's. ``migrate`` gives each role exactly the rights that stand here;
whoever wants others makes a group of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.apps import AppConfig
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, Permission
from django.db import transaction
from django.db.models import Model, Q, QuerySet

from .models import Warehouse, WarehouseStaff

Somebody = AbstractBaseUser | AnonymousUser
Row = TypeVar("Row", bound=Model)

#: Rights by what they are about: all warehouses, what happens to stock, what is never promised
#: and when more is ordered, books that don't balance, reservations, files of stock levels.
EVERYWHERE, STOCK, LIMITS, CORRECTIONS, RELEASES, IMPORTS = (
    "inventory.all_warehouses",
    "inventory.change_stocklevel",
    "inventory.limit_stocklevel",
    "inventory.correct_stocklevel",
    "inventory.change_reservation",
    "inventory.add_stockimport",
)


def warehouses_of(user: Somebody) -> QuerySet[Warehouse]:
    """Those whose stock they may see and, as far as they may change stock at all, change."""
    rows = Warehouse.objects.all()
    return rows if _everywhere(user) else rows.filter(pk__in=_places(user))


def theirs(user: Somebody, rows: QuerySet[Row], *paths: str) -> QuerySet[Row]:
    """Those of the rows from which one of these paths leads to a warehouse of theirs."""
    if _everywhere(user):
        return rows
    own = Q(pk__in=[])
    for path in paths:
        own |= Q(**{f"{path}__in": _places(user)})
    return rows.filter(own)


def _everywhere(user: Any) -> bool:
    return bool(user.has_perm(EVERYWHERE))


def _places(user: Any) -> Any:
    return WarehouseStaff.objects.filter(user_id=user.pk).values("warehouse")


# --- roles --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Role:
    """``rights``: codenames by app. ``sees``: apps of which everything may be looked at.
    ``local``: its holders are told in which warehouses they work. ``staff``: they work in the
    admin."""

    rights: Mapping[str, frozenset[str]] = field(default_factory=dict)
    sees: frozenset[str] = frozenset()
    local: bool = False
    staff: bool = True

    def may(self, app: str, codename: str) -> bool:
        if app in self.sees and codename.startswith("view_"):
            return True
        return codename in self.rights.get(app, ())


def _all(verbs: str, *models: str) -> set[str]:
    return {f"{verb}_{model}" for verb in verbs.split() for model in models}


_DAILY_WORK = {
    *_all("view", "warehouse", "product", "stocklevel", "stockmovement", "allocation"),
    *_all("view", "reservation", "backorder", "stockimport", "stockimporterror"),
    *_all("view", "receiptline", "transferline", "countline"),
    *_all("view add change", "receipt", "transfer", "cyclecount"),
    *("change_stocklevel", "change_reservation", "add_stockimport"),
}
_SUPERVISION = {
    *_DAILY_WORK,
    *("all_warehouses", "limit_stocklevel", "correct_stocklevel"),
    *_all("add change", "warehouse", "product"),
    *_all("view add change delete", "sourcingrule", "regionexclusion", "warehousestaff"),
}
_DISPATCHING = {
    *_all("add change", "vehicle"),
    *_all("change", "depot", "route", "shipment", "stop", "alert"),
}
_RECORDS = {"inventory", "orders", "routing", "notifications", "audit", "analytics", "events"}
ROLES: Mapping[str, Role] = {
    "warehouse staff": Role({"inventory": frozenset(_DAILY_WORK)}, local=True),
    "supervisors": Role(
        {
            "inventory": frozenset(_SUPERVISION),
            "auth": frozenset({"view_user"}),
            "orders": frozenset({"change_order"}),
        },
        sees=frozenset({"orders", "routing"}),
    ),
    "auditors": Role(
        {"inventory": frozenset({"all_warehouses"})},
        sees=frozenset(_RECORDS | {"auth", "admin"}),
    ),
    "operators": Role(
        {"events": frozenset({"change_deadletter"})},
        sees=frozenset({"events", "audit", "notifications"}),
    ),
    "dispatchers": Role(
        {"routing": frozenset(_DISPATCHING)}, sees=frozenset({"orders", "routing"})
    ),
    # Of routing they see their own routes, on a page of their own: routing/drivers.py.
    "drivers": Role({"routing": frozenset({"drive_route", "start_route"})}, staff=False),
}


def grant_rights(sender: AppConfig, **options: Any) -> None:
    """Whenever an app has been migrated: what the roles may do in it, no more and no less."""
    app = sender.label
    if not any(app in {*role.rights, *role.sees} for role in ROLES.values()):
        return
    through = Group.permissions.through
    with transaction.atomic():
        groups = {name: Group.objects.get_or_create(name=name)[0].pk for name in ROLES}
        rights = Permission.objects.filter(content_type__app_label=app)
        wanted = {
            (groups[name], pk)
            for pk, codename in rights.values_list("pk", "codename")
            for name, role in ROLES.items()
            if role.may(app, codename)
        }
        given = through.objects.filter(
            group__in=groups.values(), permission__content_type__app_label=app
        )
        there = {(g, right): pk for pk, g, right in given.values_list("pk", "group", "permission")}
        through.objects.filter(pk__in=[there[pair] for pair in there.keys() - wanted]).delete()
        through.objects.bulk_create(
            [through(group_id=group, permission_id=pk) for group, pk in wanted - there.keys()]
        )
