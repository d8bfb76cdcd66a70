"""Rows that the lab's consumers write, so that a test can count effects."""

from django.db import models

from supplychain.events.models import Aggregate


class Thing(Aggregate):
    name = models.CharField(max_length=50, primary_key=True)

    def __str__(self) -> str:
        return self.name


class Effect(models.Model):
    """One row per time that a consumer's effect was applied."""

    consumer = models.CharField(max_length=50)
    thing = models.CharField(max_length=50)
    number = models.IntegerField()
    sequence = models.BigIntegerField()
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.consumer} {self.thing} {self.number}"


class Attempt(models.Model):
    """Written outside the consumer's transaction: survives its rollback."""

    consumer = models.CharField(max_length=50)
    number = models.IntegerField()
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.consumer} {self.number}"
