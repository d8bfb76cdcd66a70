"""How request bodies are read. On its own, since REST framework's views import it when they are
imported themselves: it must not need them."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class StrictJSONParser(JSONParser):
    """JSON in UTF-8 (RFC 8259), whose nesting can't exhaust the interpreter.

    Whatever charset the request names: Python's codecs include zlib, hex and rot13.
    """

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            return super().parse(stream, media_type, {"encoding": "utf-8"})
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
