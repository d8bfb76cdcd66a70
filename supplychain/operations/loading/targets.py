"""Promise: in process or over HTTP, orders take the API's path; a chunk is answered order by
order, or fails as a whole for a stated cause and may be sent again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import requests
from django.db import Error as DatabaseFailure
from django.db import InterfaceError, OperationalError, connection

from orders.intake import accept
from orders.models import Channel, Order
from supplychain.errors import SupplyChainError


class Unreachable(SupplyChainError):
    """The other side is away or overloaded; the same chunk may be sent again later."""


class Indigestible(SupplyChainError):
    """Something in this chunk keeps all of it from being answered; in parts it may work."""


class Closed(SupplyChainError):
    """The other side will take nothing from here."""

    permanent = True


@dataclass(frozen=True)
class Answer:
    """``status`` is created, existing, conflict or refused."""

    status: str
    errors: list[dict[str, Any]] = field(default_factory=list)


class Target(Protocol):
    def send(self, bodies: Sequence[dict[str, Any]]) -> list[Answer]:
        """Raises Unreachable, Indigestible, Closed."""
        ...


class InProcess:
    """The same function that the API's view calls, on the database of the settings.

    ``skip_known``: an external id that is there counts as existing unread: quicker, but a
    changed order goes unnoticed.
    """

    def __init__(self, channel: Channel, *, skip_known: bool = False) -> None:
        self._channel, self._skip_known = channel, skip_known

    def send(self, bodies: Sequence[dict[str, Any]]) -> list[Answer]:
        try:
            known = self._known(bodies) if self._skip_known else set()
            new = [body for body in bodies if body["external_id"] not in known]
            placed = iter(accept(channel=self._channel, bodies=new))
        except (OperationalError, InterfaceError) as away:
            connection.close()
            raise Unreachable(str(away).strip()) from away
        except (DatabaseFailure, ValueError, ArithmeticError) as wrong:
            raise Indigestible(f"{type(wrong).__name__}: {wrong}".strip()) from wrong
        answers = []
        for body in bodies:
            if body["external_id"] in known:
                answers.append(Answer("existing"))
            else:
                result = next(placed)
                answers.append(Answer(result.status, result.errors))
        return answers

    def _known(self, bodies: Sequence[dict[str, Any]]) -> set[str]:
        ids = [body["external_id"] for body in bodies if "\x00" not in body["external_id"]]
        found = Order.objects.filter(channel=self._channel, external_id__in=ids)
        return set(found.values_list("external_id", flat=True))


class Http:
    """``POST /api/v1/orders/bulk/`` of a running system."""

    TIMEOUT = (10, 180)
    _AWAY = frozenset({429, 502, 503, 504})
    _TOO_MUCH = frozenset({400, 413, 500})

    def __init__(self, address: str, token: str) -> None:
        root = address.rstrip("/").removesuffix("/api/v1")
        self._url = f"{root}/api/v1/orders/bulk/"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Token {token}"

    def send(self, bodies: Sequence[dict[str, Any]]) -> list[Answer]:
        try:
            answer = self._session.post(
                self._url, json={"orders": bodies}, timeout=self.TIMEOUT, allow_redirects=False
            )
        except (requests.ConnectionError, requests.Timeout) as away:
            raise Unreachable(f"{self._url}: {away}") from away
        except requests.RequestException as wrong:
            raise Closed(f"{self._url}: {wrong}") from wrong
        self._check(answer)
        return self._read(answer, len(bodies))

    def _check(self, answer: requests.Response) -> None:
        if answer.status_code == 200:
            return
        said = f"{self._url} answered {answer.status_code}: {answer.text[:200]}"
        if answer.status_code in self._AWAY:
            raise Unreachable(said)
        if answer.status_code in self._TOO_MUCH:
            raise Indigestible(said)
        raise Closed(said)

    def _read(self, answer: requests.Response, count: int) -> list[Answer]:
        try:
            results = answer.json()["results"]
            answers = [Answer(result["status"], result["errors"]) for result in results]
        except (ValueError, KeyError, TypeError) as wrong:
            raise Closed(f"{self._url} doesn't answer as our API does.") from wrong
        if len(answers) != count:
            raise Closed(f"{self._url} answered {len(answers)} of {count} orders.")
        return answers
