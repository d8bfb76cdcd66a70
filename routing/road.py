"""Promise: planning never waits for a map server longer than it was told to, and never plans
with what one makes up: an answer that is late, refused or nonsense is replaced by the estimate,
and the log says why.

Speaks the table service of OSRM (``/table/v1/driving/…``), which others offer, too. After some
failures in a row the server is left alone for a while (its circuit is open).
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import requests
from numpy.typing import NDArray

from supplychain.errors import SupplyChainError

from .problem import NO_WAY, Matrix, Place
from .travel import Estimate, Provider, whole

logger = logging.getLogger(__name__)

#: Places on each side of one request: what a public OSRM server takes at the most in all is 100.
CHUNK = 50
#: Seconds that one waits for it while others wait for a lock.
SHORT_TIMEOUT = 1.0
#: This many failures in a row open the circuit, for so many seconds.
BREAKER, PAUSE = 3, 60.0
#: Places the ways between which are remembered: 8 bytes for each pair.
REMEMBERED = 2500
#: Bytes of an answer; a table of CHUNK × CHUNK takes some 60 kB.
LONGEST_ANSWER = 4_000_000


class NoRoads(SupplyChainError):
    """The map server gave no answer to plan with."""


class Roads:
    """What a map server knows, and how it is; ``url`` as of its root. One serves all who ask, each
    waiting as long as they can (``within``): what one has asked, the others need not ask."""

    def __init__(self, url: str, fallback: Provider | None = None) -> None:
        self._url = url.rstrip("/")
        self._fallback = fallback or Estimate()
        self._lock = threading.Lock()
        self._memory, self._circuit = _Memory(), _Circuit()

    def within(self, seconds: float) -> Provider:
        """The provider of who waits so long for a whole table, however many requests it takes."""
        return _Within(self, seconds)

    def table(
        self, starts: Sequence[Place], ends: Sequence[Place], timeout: float
    ) -> tuple[Matrix, Matrix]:
        """As asked or remembered; all of it as estimated when the server fails for any part."""
        with self._lock:
            metres, seconds = self._memory.recall(starts, ends)
            is_open = self._circuit.is_open(timeout)
        missing = (metres < 0) & np.outer(_on_earth(starts), _on_earth(ends))
        metres[metres < 0] = seconds[seconds < 0] = NO_WAY
        if not missing.any():
            return metres, seconds
        if is_open:
            return self._fallback.table(starts, ends)
        try:
            self._ask(starts, ends, missing, (metres, seconds), time.monotonic() + timeout)
        except NoRoads as failure:
            with self._lock:
                self._circuit.failed(timeout)
            logger.warning("Travel times are estimated, the map server failed: %s", failure)
            return self._fallback.table(starts, ends)
        with self._lock:
            self._circuit.answered(timeout)
        return metres, seconds

    def _ask(
        self,
        starts: Sequence[Place],
        ends: Sequence[Place],
        missing: NDArray[np.bool_],
        into: tuple[Matrix, Matrix],
        until: float,
    ) -> None:
        """Raises NoRoads; what came before is remembered."""
        with requests.Session() as session:
            for rows, columns in _chunks(missing):
                here, there = [starts[n] for n in rows], [ends[n] for n in columns]
                found = self._request(session, here, there, until)
                part = np.ix_(rows, columns)
                into[0][part], into[1][part] = found
                with self._lock:
                    self._memory.keep(here, there, *found)

    def _request(
        self,
        session: requests.Session,
        starts: Sequence[Place],
        ends: Sequence[Place],
        until: float,
    ) -> tuple[Matrix, Matrix]:
        """Raises NoRoads."""
        where = ";".join(f"{p.longitude:.6f},{p.latitude:.6f}" for p in (*starts, *ends))
        first = len(starts)
        parameters = {
            "annotations": "duration,distance",
            "sources": ";".join(map(str, range(first))),
            "destinations": ";".join(str(first + n) for n in range(len(ends))),
        }
        try:
            said = _read(session, f"{self._url}/table/v1/driving/{where}", parameters, until)
        except Exception as failure:  # whatever it is, it is this server's failure
            raise NoRoads(f"{type(failure).__name__}: {failure}"[:300]) from failure
        shape = (len(starts), len(ends))
        return _checked(said, "distances", shape), _checked(said, "durations", shape)


def provider(url: str, timeout: float) -> Provider:
    """Without a URL, the estimate."""
    return roads_of(url).within(timeout) if url else Estimate()


@lru_cache(maxsize=4)
def roads_of(url: str) -> Roads:
    """The process's only ones of this server, so that its memory and circuit outlive a run."""
    return Roads(url)


@dataclass(frozen=True)
class _Within:
    roads: Roads
    seconds: float

    def table(self, starts: Sequence[Place], ends: Sequence[Place]) -> tuple[Matrix, Matrix]:
        return self.roads.table(starts, ends, self.seconds)


class _Circuit:
    """Open for those who wait no longer than others that got no answer: a large table may take
    longer than who holds locks can wait, and the server be well."""

    def __init__(self) -> None:
        #: By how long one waits: failures in a row, and until when it is open.
        self._failures: Counter[float] = Counter()
        self._until: dict[float, float] = {}

    def is_open(self, timeout: float) -> bool:
        now = time.monotonic()
        return any(until > now for waited, until in self._until.items() if waited >= timeout)

    def failed(self, timeout: float) -> None:
        self._failures[timeout] += 1
        if self._failures[timeout] >= BREAKER:
            self._until[timeout] = time.monotonic() + PAUSE

    def answered(self, timeout: float) -> None:
        """Who waits longer need not fear it either."""
        for waited in [waited for waited in self._failures if waited >= timeout]:
            del self._failures[waited]


class _Memory:
    """Ways asked for before, -1 where they are not known. When it is full, a new place takes that
    of the one that nobody has asked for the longest."""

    def __init__(self) -> None:
        #: In the order in which they were asked for last.
        self._row: dict[Place, int] = {}
        self._metres = self._seconds = np.full((0, 0), -1, dtype=np.int32)

    def recall(self, starts: Sequence[Place], ends: Sequence[Place]) -> tuple[Matrix, Matrix]:
        metres = np.full((len(starts), len(ends)), -1, dtype=np.int32)
        seconds = metres.copy()
        for place in (*starts, *ends):
            if place in self._row:
                self._row[place] = self._row.pop(place)
        rows = [(n, self._row[p]) for n, p in enumerate(starts) if p in self._row]
        columns = [(n, self._row[p]) for n, p in enumerate(ends) if p in self._row]
        if rows and columns:
            to = np.ix_([n for n, _ in rows], [n for n, _ in columns])
            of = np.ix_([n for _, n in rows], [n for _, n in columns])
            metres[to], seconds[to] = self._metres[of], self._seconds[of]
        return metres, seconds

    def keep(
        self, starts: Sequence[Place], ends: Sequence[Place], metres: Matrix, seconds: Matrix
    ) -> None:
        """Of at most REMEMBERED places."""
        for place in (*starts, *ends):
            self._row[place] = self._row.pop(place) if place in self._row else self._free_row()
        part = np.ix_([self._row[p] for p in starts], [self._row[p] for p in ends])
        self._metres[part], self._seconds[part] = metres, seconds

    def _free_row(self) -> int:
        if len(self._row) < REMEMBERED:
            if len(self._row) == len(self._metres):
                self._grow(min(REMEMBERED, 2 * len(self._row) + CHUNK))
            return len(self._row)
        row = self._row.pop(next(iter(self._row)))
        for matrix in (self._metres, self._seconds):
            matrix[row, :] = matrix[:, row] = -1
        return row

    def _grow(self, size: int) -> None:
        more = size - len(self._metres)
        self._metres = np.pad(self._metres, (0, more), constant_values=-1)
        self._seconds = np.pad(self._seconds, (0, more), constant_values=-1)


def _on_earth(places: Sequence[Place]) -> NDArray[np.bool_]:
    return np.array([place.on_earth for place in places], dtype=bool)


def _chunks(missing: np.ndarray) -> Iterator[tuple[list[int], list[int]]]:
    """Rows and columns that cover all pairs of the mask, at most CHUNK each."""
    rows = np.flatnonzero(missing.any(axis=1)).tolist()
    for r in range(0, len(rows), CHUNK):
        some = rows[r : r + CHUNK]
        columns = np.flatnonzero(missing[some].any(axis=0)).tolist()
        for c in range(0, len(columns), CHUNK):
            part = columns[c : c + CHUNK]
            if missing[np.ix_(some, part)].any():
                yield some, part


def _read(session: requests.Session, url: str, parameters: dict[str, str], until: float) -> Any:
    """The JSON said. The time-outs of sockets don't help against a server that drips its answer,
    so a thread talks to it, and is left behind when the time is up."""
    said: SimpleQueue[bytes | Exception] = SimpleQueue()
    left = until - time.monotonic()
    if left <= 0:
        raise requests.Timeout("the time for the table is up")

    def talk() -> None:
        try:
            said.put(_body(session, url, parameters, left))
        except Exception as failure:  # noqa: BLE001 - it is raised where it is waited for
            said.put(failure)

    threading.Thread(target=talk, daemon=True, name="map server").start()
    try:
        answer = said.get(timeout=left)
    except Empty:
        raise requests.Timeout(f"no whole answer within {left:.1f} s") from None
    if isinstance(answer, Exception):
        raise answer
    return json.loads(answer)


def _body(session: requests.Session, url: str, parameters: dict[str, str], seconds: float) -> bytes:
    with session.get(
        url, params=parameters, timeout=seconds, allow_redirects=False, stream=True
    ) as answer:
        body: bytes = answer.raw.read(LONGEST_ANSWER + 1, decode_content=True)
        if answer.status_code != 200:
            raise ValueError(f"HTTP {answer.status_code} {body[:100]!r}")
    if len(body) > LONGEST_ANSWER:
        raise ValueError("the answer is too long")
    return body


def _checked(said: Any, name: str, shape: tuple[int, int]) -> Matrix:
    """This table of the answer; null, for no way, is NO_WAY. Raises NoRoads."""
    if not isinstance(said, dict) or said.get("code") != "Ok":
        raise NoRoads(f"it does not say Ok but {str(said)[:100]}")
    rows: Any = said.get(name)
    if not _is_table(rows, shape):
        raise NoRoads(f"{name} is not a table of {shape[0]} × {shape[1]} numbers")
    values = [[math.nan if n is None else n for n in row] for row in rows]
    numbers: NDArray[np.float64] = np.array(values, dtype=np.float64)
    known = ~np.isnan(numbers)
    if (numbers[known] < 0).any():
        raise NoRoads(f"{name} contains a negative number")
    return whole(np.ceil(numbers))


def _is_table(rows: Any, shape: tuple[int, int]) -> bool:
    return (
        isinstance(rows, list)
        and len(rows) == shape[0]
        and all(isinstance(row, list) and len(row) == shape[1] for row in rows)
        and all(_is_number(number) for row in rows for number in row)
    )


def _is_number(number: Any) -> bool:
    """Null is one here; true, text, NaN and infinity, which Python's JSON knows, are not."""
    if number is None:
        return True
    return type(number) in (int, float) and abs(number) < math.inf
