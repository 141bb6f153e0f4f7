"""Client: a server, asked as if it were a lake.

Takes   the address of a server and a key.
Gives   the calls of the API as methods (`Client`) or coroutines (`AsyncClient`).
Refuses what `lake.client.errors` lists.

What a call sends and reads is said once, in `lake.client.calls`; the classes only list the calls and run them.
"""

from __future__ import annotations

import re
from typing import Self, TypeVar
from urllib.parse import urlsplit

from ..errors import InvalidParameter
from . import calls
from .calls import Call
from .methods import async_pages, coroutine, method, pages
from .retries import Clock
from .transport import AsyncConnection, Connection, Limits, Wire

T = TypeVar("T")

_KEY = re.compile(r"[!-~]+")
"""What can stand in a header."""


class Client:
    """A server and a key. Several threads may use it; close it, or use it in a `with` statement."""

    list_traces = method(calls.list_traces)
    iter_traces = pages(calls.list_traces)
    get_trace = method(calls.get_trace)
    export_trace = method(calls.export_trace)
    send_traces = method(calls.send_traces)
    report_error = method(calls.report_error)
    report_errors = method(calls.report_errors)
    report_deploy = method(calls.report_deploy)

    def __init__(self, wire: Wire) -> None:
        """Use `lake.connect(url, key)`."""
        self.url = wire.base_url
        self._connection = Connection(wire)

    def run(self, call: Call[T]) -> T:
        """Make a call that `lake.client.calls` describes."""
        return call.read(self._connection.send(call.request))

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"


class AsyncClient:
    """A server and a key, for asyncio; close it, or use it in an `async with` statement."""

    list_traces = coroutine(calls.list_traces)
    iter_traces = async_pages(calls.list_traces)
    get_trace = coroutine(calls.get_trace)
    export_trace = coroutine(calls.export_trace)
    send_traces = coroutine(calls.send_traces)
    report_error = coroutine(calls.report_error)
    report_errors = coroutine(calls.report_errors)
    report_deploy = coroutine(calls.report_deploy)

    def __init__(self, wire: Wire) -> None:
        """Use `lake.connect_async(url, key)`."""
        self.url = wire.base_url
        self._connection = AsyncConnection(wire)

    async def run(self, call: Call[T]) -> T:
        """Make a call that `lake.client.calls` describes."""
        return call.read(await self._connection.send(call.request))

    async def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self.url!r})"


_LIMITS = Limits()
_CLOCK = Clock()


def connect(url: str, key: str, *, limits: Limits = _LIMITS, clock: Clock = _CLOCK) -> Client:
    """A client of the server at an address; nothing is sent before the first call.

    Args:
        url: as `http://localhost:3000`, with a path in front of `/v1` if the server is behind one.
        key: `mtk_live_...` or `mtk_test_...` to ask, `proj_...` to send.
        limits: how long and how much to wait for, in seconds and bytes.

    Raises:
        InvalidParameter: the address or the key cannot be one.
    """
    return Client(_wire(url, key, limits, clock))


def connect_async(url: str, key: str, *, limits: Limits = _LIMITS, clock: Clock = _CLOCK) -> AsyncClient:
    """The same for asyncio: its methods are coroutines, its iterators asynchronous."""
    return AsyncClient(_wire(url, key, limits, clock))


def _wire(url: str, key: str, limits: Limits, clock: Clock) -> Wire:
    if not _KEY.fullmatch(key):  # the message of an HTTP library would show it
        raise InvalidParameter("key", "the key is empty or has characters that no key has, as a line end")
    return Wire(_address(url), key, limits, clock)


def _address(url: str) -> str:
    """The address in front of `/v1`.

    Raises:
        InvalidParameter: it cannot be one.
    """
    try:
        parts = urlsplit(url)
        is_sound = bool(parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
    except ValueError:  # a host or port that cannot be
        is_sound = False
    if not is_sound or "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidParameter("url", "the address must be as http://localhost:3000, without a user, ? or #")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/").removesuffix("/v1")
