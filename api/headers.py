"""Headers: what every answer has, whatever becomes of its request.

Takes   each request.
Gives   its id, in its state and as X-Request-Id; the version of the API; answers that nobody may keep or guess the type of.
Refuses nothing.

The id is the caller's own if it sends a sane X-Request-Id, so that one id names a request in its log, a proxy's, and ours.
"""

from __future__ import annotations

import re
import secrets

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from .reference import API_VERSION

_EVERYWHERE = [
    (b"x-api-version", API_VERSION.encode()),
    (b"cache-control", b"no-store"),  # an answer holds what one key may see
    (b"x-content-type-options", b"nosniff"),
]
_SANE = re.compile(rb"[A-Za-z0-9_.-]{1,64}")


def with_headers(app: ASGIApp) -> ASGIApp:
    """Give each answer its headers and each request an id, in its state too; around everything, so that 404 has them."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        number = request_id(scope)
        scope["state"] = {**scope.get("state", {}), "request_id": number.decode()}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", number), *_EVERYWHERE]
            await send(message)

        await app(scope, receive, send_with_headers)

    return middleware


def request_id(scope: Scope) -> bytes:
    """The id that a request came with if it is one, or a new one."""
    sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return sent if _SANE.fullmatch(sent) else b"req_" + secrets.token_hex(5).encode()
