"""Call: a request, and how its answer is read.

Takes   what the modules in `lake.client.calls` say of a call.
Gives   a `Call`, which a client with or without asyncio runs; and the ways to make and read requests.
Refuses arguments that no server could take (`InvalidParameter`), and answers of another shape than the reference's
        (`BadAnswer`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar
from urllib.parse import quote

import msgspec

from ..errors import InvalidParameter
from .errors import BadAnswer
from .models.paging import Page
from .transport import Answer, Request

T = TypeVar("T")

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request and how its answer is read."""

    request: Request
    read: Callable[[Answer], T | Call[T]]
    """What an answer means, or the call that has to be made next to know it."""

    def value(self, answer: Answer) -> T:
        """What the answer to a call that needs no other one means."""
        value = self.read(answer)
        assert not isinstance(value, Call)  # noqa: S101 - whoever asks knows the call
        return value


def continued(call: Call[Page[T]], cursor: str) -> Call[Page[T]]:
    """The call for the page that a cursor leads to."""
    request = call.request
    if request.body is None:
        return replace(call, request=replace(request, query={**request.query, "cursor": cursor}))
    body = msgspec.json.encode(msgspec.json.decode(request.body) | {"cursor": cursor})
    return replace(call, request=replace(request, body=body))


def get(path: str, shape: type[T], **query: str | int | None) -> Call[T]:
    """The call that gets JSON of a shape; what is None is left out of the query."""
    given = {name: str(value) for name, value in query.items() if value is not None}
    return Call(Request("GET", path, query=given), reader(shape))


def reader(shape: type[T]) -> Callable[[Answer], T]:
    """Reads JSON of a shape."""

    def read(answer: Answer) -> T:
        try:
            return msgspec.json.decode(answer.body, type=shape)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadAnswer(f"the answer is not what the reference says: {error}; is this a Tracelake server?") from error

    return read


def encoded(content: object) -> bytes:
    """JSON; times are RFC 3339.

    Raises:
        InvalidParameter: it has a value that JSON has no form for.
    """
    try:
        return msgspec.json.encode(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidParameter("body", f"this cannot be sent as JSON: {error}") from None


def time(name: str, time: dt.datetime | None) -> str | None:
    """A time as the server takes it.

    Raises:
        InvalidParameter: it has no time zone.
    """
    if time is None:
        return None
    if time.tzinfo is None:
        raise InvalidParameter(name, f"{name} has no time zone: give one, for example datetime.now(UTC)")
    return time.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def segment(name: str, text: str) -> str:
    """A text as one segment of a path.

    Raises:
        InvalidParameter: it cannot be one.
    """
    if not text.strip("."):  # a client or a proxy would resolve `..`, and nothing at all is another path
        raise InvalidParameter(name, f"{name} must not be {text!r}")
    return quote(text, safe="")
