"""Parameters: query strings to typed values.

Takes   the query parameters of a request.
Gives   values within their limits.
Refuses what is not, naming the parameter: `InvalidParameter`; a parameter that comes twice too. Unknown ones are ignored.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection
from typing import Any

from litestar import Request

from lake.errors import InvalidParameter

_PLUS_AS_SPACE = re.compile(r"([T ][0-9:.]+) (?=[0-9]{2}:?[0-9]{2}$)")
"""The + of an offset, which a query string turns into a space, behind a time of day."""
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[0-9TZ:., +-]*")
"""`fromisoformat` takes weeks and dates without dashes too, and stops reading at a NUL."""
_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")


class Parameters:
    """The query parameters of one request."""

    def __init__(self, request: Request[Any, Any, Any]) -> None:
        self._values = request.query_params

    def text(self, name: str) -> str | None:
        """The value, None if it is absent or empty."""
        return self._given(name) or None

    def _given(self, name: str) -> str | None:
        values = self._values.getall(name, [])
        if len(values) > 1:
            raise InvalidParameter(name, f"Parameter '{name}' is given {len(values)} times")
        return values[0] if values else None

    def time(self, name: str) -> dt.datetime | None:
        """An ISO 8601 time; without a zone it is UTC."""
        text = self._given(name)
        return None if text is None else parse_time(name, text)

    def number(self, name: str, *, lowest: int, highest: int) -> int | None:
        """A whole number between two bounds, both included."""
        text = self._given(name)
        if text is None:
            return None
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or not lowest <= int(text) <= highest:
            raise InvalidParameter(name, f"Parameter '{name}' must be a whole number from {lowest} to {highest}")
        return int(text)

    def choice(self, name: str, choices: Collection[str]) -> str | None:
        """One of some words."""
        text = self._given(name)
        if text is not None and text not in choices:
            raise InvalidParameter(name, f"Parameter '{name}' must be one of {', '.join(choices)}")
        return text


def parse_time(name: str, text: str) -> dt.datetime:
    """An ISO 8601 time as an aware UTC datetime.

    Raises:
        InvalidParameter: it is none.
    """
    iso = text.upper()  # RFC 3339 has `t` and `z` as well
    try:
        if not _ISO.fullmatch(iso):
            raise ValueError(text)
        time = dt.datetime.fromisoformat(_PLUS_AS_SPACE.sub(r"\1+", iso))
        return (time if time.tzinfo else time.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise InvalidParameter(name, f"Parameter '{name}' must be a valid ISO 8601 timestamp") from None


def parse_trace_id(text: str) -> str:
    """A W3C trace id in lower case.

    Raises:
        InvalidParameter: it is none.
    """
    if not _TRACE_ID.fullmatch(text) or set(text) == {"0"}:
        raise InvalidParameter("trace_id", "Parameter 'trace_id' must be 32 hexadecimal digits, not all zero")
    return text.lower()
