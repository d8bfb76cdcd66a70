"""Changing the rules of sourcing."""

import pytest

from inventory import ruling
from inventory.models import RegionExclusion, SourcingRule, Warehouse

from .conftest import consume, follow, levels, placed, publish, stocked, waiting

pytestmark = pytest.mark.django_db


def york():
    return Warehouse.objects.get(code="york")


def test_who_waits_for_a_region_that_is_served_again_is_served():
    stocked(A={"york": 5})
    exclusion = ruling.exclude_region(warehouse=york(), country="gb ", actor="ann")
    again = ruling.exclude_region(warehouse=york(), country="GB", actor="ann")
    assert again == exclusion
    consume(placed(1, A=2))
    publish()
    assert waiting() == [(1, "A", 2)]
    ruling.include_region(exclusion=exclusion, actor="ann")
    follow()
    assert waiting() == []
    assert levels("A") == {"york": (5, 2)}
    ruling.include_region(exclusion=exclusion, actor="ann")
    assert publish() == []


def test_a_channel_has_one_policy():
    ruling.set_policy(channel="web", policy="nearest", actor="ann")
    ruling.set_policy(channel="web", policy="balanced", actor="ann")
    assert list(SourcingRule.objects.values_list("channel", "policy")) == [("web", "balanced")]


@pytest.mark.parametrize("country", ["", "BRA", "B"])
def test_what_makes_no_sense_is_refused(country):
    stocked(A={"york": 5})
    with pytest.raises(ruling.InvalidRule, match="like BR"):
        ruling.exclude_region(warehouse=york(), country=country, actor="ann")
    with pytest.raises(ruling.InvalidRule, match="fewest_shipments, nearest"):
        ruling.set_policy(channel="web", policy="cheapest", actor="ann")
    assert not RegionExclusion.objects.exists()
    assert not SourcingRule.objects.exists()
