"""Ending: what a span knows only when it ends.

Takes   a call and how it went.
Gives   `Ending`: the attributes that come with the end, the status, and the exception if one was raised.
Refuses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .model import Call, Raised
from .simulation import NONE


@dataclass(frozen=True, slots=True)
class Ending:
    """How a span ended."""

    attributes: Mapping[str, str | int]
    is_error: bool
    """The status of the span; what a client did wrong is no error of the server."""
    raised: Raised | None

    @property
    def message(self) -> str:
        """Description of the status."""
        return f"{self.raised.type}: {self.raised.message}" if self.raised else ""


def ending(call: Call, *, http_status: int, failure: int, failed: bool) -> Ending:
    """How a call ended.

    Args:
        http_status: what it answered, 0 for nothing.
        failure: place in `call.failures` of what befell it, or `NONE`.
        failed: the one who called got nothing from it.
    """
    raised = call.failures[failure].raised if failure != NONE else None
    is_error = failed and not (call.kind == "server" and 400 <= http_status < 500)
    attributes: dict[str, str | int] = {"http.response.status_code": http_status} if http_status else {}
    if is_error and raised:
        attributes["error.type"] = raised.type
    elif is_error and http_status:
        attributes["error.type"] = str(http_status)
    return Ending(attributes, is_error, raised)
