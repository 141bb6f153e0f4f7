"""Auth: the key of a request, and what it may do.

Takes   `Authorization: Bearer <key>`.
Gives   the principal of the key.
Refuses a missing, unknown or revoked key (401, the same answer for each) and a missing scope (403).

The scheme's case does not matter, and a key that arrives percent-encoded (`Bearer%20proj_...`, as OTEL_EXPORTER_OTLP_HEADERS
wants it) is decoded once.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

from litestar import Request

from lake.control import Principal, Scope

from .problems import Forbidden, Unauthorized
from .state import Server


async def authorized(request: Request[Any, Any, Any], server: Server, scope: Scope) -> Principal:
    """The principal of a request that needs `scope`.

    Raises:
        Unauthorized: the key is missing, unknown or revoked.
        Forbidden: the key may not do this.
    """
    principal = await identified(request, server)
    if scope not in principal.scopes:
        raise Forbidden(f"this key lacks the permission '{scope}': use another key")
    return principal


async def identified(request: Request[Any, Any, Any], server: Server) -> Principal:
    """The principal of a request, whatever it may do.

    Raises:
        Unauthorized: the key is missing, unknown or revoked.
    """
    key = bearer_key(request.headers.get("authorization", ""))
    if key is None:
        raise Unauthorized("missing_api_key")
    state = request.scope["state"]
    if "principal" not in state:  # the database could not be read a moment ago (`api.limits`)
        state["principal"] = await asyncio.to_thread(server.control.authenticate, key)
    principal: Principal | None = state["principal"]
    if principal is None:
        raise Unauthorized
    return principal


def bearer_key(header: str) -> str | None:
    """The key in an Authorization header, None if there is none."""
    text = unquote(header) if "%20" in header else header
    scheme, _, key = text.strip().partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key.strip() else None
