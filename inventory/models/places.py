"""Promise: what a product is, where a warehouse stands, who works there, and from which
warehouses a channel's orders may be sent."""

from __future__ import annotations

import zoneinfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from supplychain.events.models import Aggregate


def known_time_zone(name: str) -> None:
    if name not in zoneinfo.available_timezones():
        raise ValidationError(f"{name!r} is no time zone; use a name like America/Sao_Paulo.")


class Warehouse(Aggregate):
    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=100)
    latitude = models.FloatField(
        help_text="degrees, WGS 84", validators=[MinValueValidator(-90), MaxValueValidator(90)]
    )
    longitude = models.FloatField(
        help_text="degrees, WGS 84", validators=[MinValueValidator(-180), MaxValueValidator(180)]
    )
    active = models.BooleanField(default=True)
    priority = models.PositiveSmallIntegerField(
        default=0, help_text="of warehouses that do equally well the lowest number ships"
    )
    time_zone = models.CharField(max_length=64, default="UTC", validators=[known_time_zone])
    cut_off = models.TimeField(
        null=True,
        blank=True,
        help_text="local time; what is reserved later is picked the next day. Empty: no cut-off",
    )
    daily_picks = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="lines that can be picked a day; what is more is picked later. Empty: no limit",
    )
    handling_cost = models.DecimalField(
        max_digits=10,
        decimal_places=2,
        default=0,
        validators=[MinValueValidator(0)],
        help_text="of one shipment",
    )
    cost_per_km = models.DecimalField(
        max_digits=10,
        decimal_places=4,
        default=0,
        validators=[MinValueValidator(0)],
        help_text="of one shipment, per km as the crow flies",
    )
    count_every_days = models.PositiveSmallIntegerField(
        default=90,
        validators=[MinValueValidator(1)],
        help_text="each stock level is due to be counted this long after its last count",
    )

    class Meta:
        permissions = [("all_warehouses", "Works in all warehouses")]
        constraints = [
            models.CheckConstraint(
                condition=Q(latitude__range=(-90, 90), longitude__range=(-180, 180)),
                name="warehouse_on_earth",
            ),
            models.CheckConstraint(
                condition=Q(daily_picks__isnull=True) | Q(daily_picks__gt=0),
                name="warehouse_picks_something",
            ),
            models.CheckConstraint(
                condition=Q(handling_cost__gte=0, cost_per_km__gte=0),
                name="warehouse_costs_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return self.code


class Product(Aggregate):
    class StorageClass(models.TextChoices):
        AMBIENT = "ambient"
        CHILLED = "chilled"
        FROZEN = "frozen"
        HAZARDOUS = "hazardous"

    sku = models.CharField("SKU", max_length=64, unique=True)
    name = models.CharField(max_length=200)
    weight_kg = models.DecimalField(
        "weight (kg)", max_digits=10, decimal_places=3, validators=[MinValueValidator(0)]
    )
    volume_m3 = models.DecimalField(
        "volume (m³)", max_digits=10, decimal_places=6, validators=[MinValueValidator(0)]
    )
    storage_class = models.CharField(
        max_length=10, choices=StorageClass, default=StorageClass.AMBIENT
    )
    active = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(weight_kg__gte=0, volume_m3__gte=0), name="product_measures"
            )
        ]

    def __str__(self) -> str:
        return self.sku


class WarehouseStaff(models.Model):
    """Who works where: staff see and change the stock of their own warehouses only."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="warehouses"
    )
    warehouse = models.ForeignKey(Warehouse, on_delete=models.CASCADE, related_name="staff")

    class Meta:
        verbose_name_plural = "warehouse staff"
        constraints = [
            models.UniqueConstraint(fields=["user", "warehouse"], name="staff_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.warehouse}"


class SourcingRule(models.Model):
    """How the warehouses for a channel's orders are chosen."""

    class Policy(models.TextChoices):
        FEWEST_SHIPMENTS = "fewest_shipments"
        NEAREST = "nearest"
        BALANCED = "balanced"
        LOWEST_COST = "lowest_cost"

    channel = models.CharField(
        max_length=40,
        unique=True,
        blank=True,
        help_text="the channel's code; empty: every channel that has no rule of its own",
    )
    policy = models.CharField(max_length=16, choices=Policy, default=Policy.FEWEST_SHIPMENTS)

    def __str__(self) -> str:
        return f"{self.channel or 'every other channel'}: {self.policy}"


class RegionExclusion(models.Model):
    """A region that a warehouse does not ship to."""

    warehouse = models.ForeignKey(Warehouse, on_delete=models.CASCADE, related_name="exclusions")
    country = models.CharField(max_length=2, help_text="ISO 3166, like BR")
    region = models.CharField(max_length=100, blank=True, help_text="empty: the whole country")
    channel = models.CharField(max_length=40, blank=True, help_text="empty: for every channel")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["warehouse", "country", "region", "channel"], name="exclusion_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.warehouse} not to {self.region or 'all of'} {self.country}"
