"""Promise: who changes from where orders may be sent is on record, and when a warehouse may send
more than before, those who wait for that hear of it."""

from __future__ import annotations

import logging

from django.db import transaction

from supplychain.errors import SupplyChainError
from supplychain.events.outbox import Emission, emit_all

from . import events as tell
from . import locks
from .models import RegionExclusion, SourcingRule, Warehouse

logger = logging.getLogger(__name__)


class InvalidRule(SupplyChainError):
    """The rule makes no sense."""

    permanent = True


@transaction.atomic
def set_policy(*, channel: str, policy: str, actor: str) -> SourcingRule:
    """How warehouses are chosen for a channel (empty: for all that have no rule of their own)."""
    if policy not in SourcingRule.Policy.values:
        known = ", ".join(SourcingRule.Policy.values)
        raise InvalidRule(f"There is no policy {policy!r}; take one of {known}.")
    rule, _ = SourcingRule.objects.update_or_create(channel=channel, defaults={"policy": policy})
    logger.info("%s by %s", rule, actor)
    return rule


@transaction.atomic
def exclude_region(
    *, warehouse: Warehouse, country: str, region: str = "", channel: str = "", actor: str
) -> RegionExclusion:
    """Send nothing more there from this warehouse; what is reserved stays reserved."""
    country, region = country.strip().upper(), region.strip()
    if len(country) != 2:
        raise InvalidRule(f"{country!r} is no country's code: give two letters, like BR.")
    exclusion, _ = RegionExclusion.objects.get_or_create(
        warehouse=warehouse, country=country, region=region, channel=channel
    )
    logger.info("%s by %s", exclusion, actor)
    return exclusion


@transaction.atomic
def include_region(*, exclusion: RegionExclusion, actor: str) -> None:
    """Send there again: WarehouseChanged lets those who wait there have what there is."""
    row = locks.warehouses().get(pk=exclusion.warehouse_id)
    deleted, _ = RegionExclusion.objects.filter(pk=exclusion.pk).delete()
    if not deleted:
        return
    logger.info("no more: %s, by %s", exclusion, actor)
    sequence = row.advance()
    row.save(update_fields=["event_sequence"])
    told = tell.WarehouseChanged(
        code=row.code,
        name=row.name,
        latitude=row.latitude,
        longitude=row.longitude,
        active=row.active,
        time_zone=row.time_zone,
        cut_off=row.cut_off,
    )
    emit_all([Emission(told, row, sequence)])
