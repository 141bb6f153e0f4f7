"""Segments: a path keeps its parts, whatever characters they are made of.

Takes   each request.
Gives   routes that are found by the segments of the path as it was sent, and those segments.
Refuses nothing.

A slash that is sent as `%2F` belongs to its segment (RFC 3986, section 2.2), but servers decode a path before it is cut. A
fingerprint such as `Timeout:app/stock.rb:7` would be three segments then, and no route takes those.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

_SLASH = re.compile(r"%2f", re.IGNORECASE)


def with_segments(app: ASGIApp) -> ASGIApp:
    """Leave slashes encoded where they were sent so, for the routes to be found."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and _SLASH.search(raw := _raw(scope)):
            scope["path"] = unquote(_SLASH.sub("%252F", raw))
        await app(scope, receive, send)

    return middleware


def segment(request: Request[Any, Any, Any], place: int) -> str:
    """One segment of the path of a request, decoded.

    Args:
        place: 0 is the first one; the route has so many at least. Empty ones are not counted, as routes do not.
    """
    return unquote([part for part in _raw(request.scope).split("/") if part][place])


def _raw(scope: Any) -> str:  # noqa: ANN401 - a scope of HTTP has it
    """The path as it was sent."""
    path: bytes = scope["raw_path"]
    return path.partition(b"?")[0].decode("latin-1")
