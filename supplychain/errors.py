"""The one root of all errors this project raises on purpose."""

import inspect
from typing import ClassVar


class SupplyChainError(Exception):
    """Something in the supply chain went wrong."""

    #: True: trying again can't help, the event goes straight to the dead letters.
    permanent: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(type(self).__doc__ or ""))
