"""Promise: for every order it is known by which policy and from which warehouses it is sent, in
two statements for however many orders."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from .models import Allocation, RegionExclusion, SourcingRule
from .shelves import Demand
from .sourcing import POLICIES, Policy, fewest_shipments

#: What decides, of a backorder, from where its order may be sent.
DESTINATION = (
    "allocation__channel",
    "allocation__destination__country",
    "allocation__destination__region",
)


class Rules:
    """The rules as they stand now."""

    def __init__(
        self, policies: Mapping[str, str], exclusions: frozenset[tuple[int, str, str, str]]
    ) -> None:
        self._policies = policies
        self._exclusions = exclusions
        self._known: dict[tuple[str, str, str], frozenset[int]] = {}

    @classmethod
    def read(cls) -> Rules:
        rows = RegionExclusion.objects.values_list("warehouse", "country", "region", "channel")
        return cls(
            dict(SourcingRule.objects.values_list("channel", "policy")),
            frozenset((pk, _word(land), _word(region), chan) for pk, land, region, chan in rows),
        )

    @cached_property
    def exclude(self) -> bool:
        """Whether some warehouse does not ship everywhere."""
        return bool(self._exclusions)

    def policy(self, channel: str) -> Policy:
        name = self._policies.get(channel) or self._policies.get("")
        return POLICIES[name] if name else fewest_shipments

    def excluded(self, channel: str, country: str, region: str | None) -> frozenset[int]:
        """The warehouses (keys) that don't ship there for this channel."""
        if not self._exclusions:
            return frozenset()
        where = (channel, _word(country), _word(region or ""))
        if where not in self._known:
            self._known[where] = frozenset(
                pk
                for pk, land, part, only in self._exclusions
                if land == where[1] and part in ("", where[2]) and only in ("", channel)
            )
        return self._known[where]

    def demand(self, allocation: Allocation, wanted: Mapping[str, int]) -> Demand:
        place = allocation.destination
        return Demand(
            wanted,
            place["latitude"],
            place["longitude"],
            self.policy(allocation.channel),
            self.excluded(allocation.channel, place["country"], place.get("region", "")),
            allocation.priority,
        )


def _word(name: str) -> str:
    """Names that differ in case or in spaces around them are the same."""
    return name.strip().casefold()
