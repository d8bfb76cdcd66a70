"""Promise: everything that can be placed is placed, whatever stands around it; a run that was
cut off is taken up by a second one, which finds by external id what is there; and what was
refused is told, in whole and with its line, in the report.

The state is in the database alone: there is no bookmark that could be wrong.
"""

from __future__ import annotations

import csv
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from orders.intake import MAX_BULK

from .items import Broken, Fault, Found, Source
from .targets import Answer, Indigestible, Target, Unreachable

#: Bytes of a chunk as JSON; below the API's limit for a body.
MAX_BYTES = 1_000_000
#: Seconds between attempts to reach the other side; after the last one the run ends.
PATIENCE = (0.5, 1, 2, 4, 8, 15, 30)
_EXAMPLES = 5
_GROUPS = 500
_LINE_FIELD = re.compile(r"lines\[(\d+)\]")
_PARTICULARS = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d,.]*")


@dataclass
class Group:
    """Refusals for one reason; ``reason`` and ``rows`` of the first few."""

    field_name: str
    reason: str
    count: int = 0
    rows: list[int] = field(default_factory=list)


@dataclass
class Tally:
    """What became of the orders; each refusal also goes to ``report``, one line per fault."""

    report: IO[str] | None = None
    created: int = 0
    existing: int = 0
    refused: int = 0
    groups: dict[tuple[str, str], Group] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.report:
            self._writer = csv.writer(self.report)
            self._writer.writerow(["row", "external_id", "field", "reason"])

    @property
    def seen(self) -> int:
        return self.created + self.existing + self.refused

    def refuse(self, external_id: str, faults: Sequence[Fault]) -> None:
        self.refused += 1
        for fault in faults:
            self._count(fault)
            if self.report:
                self._writer.writerow([fault.row, external_id, fault.field, fault.reason])

    def _count(self, fault: Fault) -> None:
        """By the kind of the reason: numbers and quoted words in it make no new kind."""
        kind = (re.sub(r"\d+", "", fault.field), _PARTICULARS.sub("…", fault.reason))
        if kind not in self.groups and len(self.groups) >= _GROUPS:
            kind = ("", "other reasons")
        group = self.groups.setdefault(kind, Group(fault.field, fault.reason))
        group.count += 1
        if len(group.rows) < _EXAMPLES:
            group.rows.append(fault.row)


class Loader:
    """``tick(position)`` is called after each chunk."""

    def __init__(
        self,
        target: Target,
        tally: Tally,
        *,
        chunk: int = MAX_BULK,
        tick: Callable[[int], Any] = lambda position: None,
        patience: Sequence[float] = PATIENCE,
    ) -> None:
        self._target, self._tally = target, tally
        self._chunk, self._tick, self._patience = chunk, tick, patience

    def run(self, source: Source) -> None:
        """Raises Unreachable when patience has run out, Closed."""
        for chunk in self._chunks(source):
            self._send(chunk)
            self._tick(source.position)
        self._tick(source.total)

    def _chunks(self, source: Source) -> Iterator[list[Found]]:
        waiting: list[Found] = []
        size = 0
        for item in source:
            if isinstance(item, Broken):
                self._tally.refuse(item.external_id, item.faults)
                continue
            weight = len(json.dumps(item.body))
            if waiting and (len(waiting) >= self._chunk or size + weight > MAX_BYTES):
                yield waiting
                waiting, size = [], 0
            waiting.append(item)
            size += weight
        if waiting:
            yield waiting

    def _send(self, orders: list[Found]) -> None:
        """In halves, should the whole not be answered: one order must not take others along."""
        try:
            answers = self._patiently([order.body for order in orders])
        except Indigestible as failure:
            if len(orders) == 1:
                [order] = orders
                reason = f"It could not be answered: {failure}"
                self._tally.refuse(order.external_id, [Fault(order.rows[0], "", reason)])
                return
            middle = len(orders) // 2
            self._send(orders[:middle])
            self._send(orders[middle:])
            return
        for order, answer in zip(orders, answers, strict=True):
            self._note(order, answer)

    def _patiently(self, bodies: list[dict[str, Any]]) -> list[Answer]:
        for pause in self._patience:
            try:
                return self._target.send(bodies)
            except Unreachable:
                threading.Event().wait(pause)
        return self._target.send(bodies)

    def _note(self, order: Found, answer: Answer) -> None:
        if answer.status == "created":
            self._tally.created += 1
        elif answer.status == "existing":
            self._tally.existing += 1
        else:
            self._tally.refuse(order.external_id, [_fault(order, e) for e in answer.errors])


def _fault(order: Found, error: dict[str, Any]) -> Fault:
    """The API's error, with the row that it speaks of."""
    field, reason = str(error.get("field") or ""), str(error.get("reason") or "")
    match = _LINE_FIELD.match(field)
    index = int(match.group(1)) if match else 0
    row = order.rows[index] if index < len(order.rows) else order.rows[0]
    return Fault(row, field, reason)
