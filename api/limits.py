"""Limits: how many requests a minute one key may send, told with every answer.

Takes   each request: its key, or the address of who has none.
Gives   the headers X-RateLimit-Limit, -Remaining and -Reset (seconds since the Unix epoch) of every answer.
Refuses what is over the limit of the key, or of the address: 429 with Retry-After. A refused request is not counted.

Ingest and health checks are neither counted nor refused: senders drop what is answered with 429. Without a good key the
address counts, and it is that of the connection: nobody's X-Forwarded-For is believed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from typing import Any

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from lake.control import Control, Principal
from lake.errors import Overloaded

from .answers import ErrorAnswer, ErrorDetails
from .auth import bearer_key
from .problems import is_exempt
from .rate_window import WINDOW_S, Decision
from .rates import Rates

_IPV6_NETWORK_BITS = 64
"""One subscriber has as many addresses as a network of this size holds."""


def with_limits(app: ASGIApp, control: Control, rates: Rates, default_limit: int) -> ASGIApp:
    """Give each answer its rate headers, and refuse what is over the limit. Finds out whose key a request has, for all.

    Args:
        default_limit: requests a minute, of keys without a limit of their own and of addresses.
    """

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        principal = await _principal(scope, control)
        name = principal.key_id if principal else address(scope)
        limit = (principal.rate_limit if principal else None) or default_limit
        ask = rates.look if is_exempt(scope["method"], scope["path"]) else rates.count
        decision = ask(name, limit, is_key=principal is not None)
        headers = rate_headers(decision, time.time())

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        if decision.is_allowed:
            await app(scope, receive, send_with_headers)
        else:
            await _refuse(scope, send_with_headers, decision)

    return middleware


async def _principal(scope: Scope, control: Control) -> Principal | None:
    """Whose key a request has; the handlers find it in the state (`api.auth`)."""
    header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    key = bearer_key(header.decode("latin-1"))
    if key is None:
        return None
    try:
        # the database is asked in a thread: it may have to wait for another process that writes
        principal = control.remembered(key) or await asyncio.to_thread(control.authenticate, key)
    except Overloaded:  # the handler asks again and answers 503 if it needs a key
        return None
    scope["state"]["principal"] = principal
    return principal


def address(scope: Scope) -> str:
    """Who has sent a request, as far as its connection tells."""
    host = scope["client"][0] if scope["client"] else ""
    if ":" not in host:
        return host
    network = ipaddress.ip_network((host.partition("%")[0], _IPV6_NETWORK_BITS), strict=False)
    return str(network.network_address)


def rate_headers(decision: Decision, now_s: float) -> list[tuple[bytes, bytes]]:
    """The headers of a decision.

    Args:
        now_s: seconds since the Unix epoch.
    """
    values = (decision.limit, decision.remaining, math.ceil(now_s + decision.reset_after_s))
    return [
        (b"x-ratelimit-limit", b"%d" % values[0]),
        (b"x-ratelimit-remaining", b"%d" % values[1]),
        (b"x-ratelimit-reset", b"%d" % values[2]),
    ]


async def _refuse(request: HTTPScope, send: Send, decision: Decision) -> None:
    """Answer 429."""
    wait_s = math.ceil(decision.reset_after_s)
    message = f"more than {decision.limit} requests within {WINDOW_S} s: send again in {wait_s} s"
    details = ErrorDetails(code="rate_limited", message=message, request_id=request["state"]["request_id"])
    body = msgspec.json.encode(ErrorAnswer(error=details))
    headers: list[Any] = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"%d" % wait_s),
    ]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    sent = b"" if request["method"] == "HEAD" else body
    await send({"type": "http.response.body", "body": sent, "more_body": False})
