"""Transport: bytes to a server and back, within limits of time and size.

Takes   a `Request`: method, path, headers and body, with the kind of repeat it can stand.
Gives   an `Answer`: status, headers and the whole body. The same for callers with and without asyncio.
Refuses what is no 2xx (`RemoteError`), what does not come whole and in time (`NoAnswer`), and what is larger than wanted
        (`BadAnswer`).

Each body is read where httpx-retries can see it fail, so that an answer that is cut off is asked for again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version

import httpx
from httpx_retries import RetryTransport

from .errors import BadAnswer, NoAnswer, plain, refusal
from .retries import Clock, Repeat, Retries, TooLong, asked_wait_s

_ENCODED = ("content-encoding", "content-length", "transfer-encoding")
"""Headers of a body as it travels; they say nothing of the one that is handed on."""

_MAX_SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much a client waits for."""

    timeout_s: float = 30.0
    """Seconds until an answer must be there, each attempt for itself."""
    connect_timeout_s: float = 5.0
    """Seconds until a connection must be there."""
    max_retries: int = 4
    max_wait_s: float = 90.0
    """Seconds between two attempts at most; a full window of the rate limit of a server lasts 61."""
    max_answer_bytes: int = 256 * 2**20
    """Bytes of an answer, inflated."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent."""

    method: str
    path: str
    """Behind the address of the server, `/v1/traces`."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    repeat: Repeat = Repeat.ALWAYS


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back with a 2xx."""

    status: int
    headers: Mapping[str, str]
    """Names in any case."""
    body: bytes


class Wire:
    """What a connection with and one without asyncio have in common: limits, headers, and what an answer is."""

    def __init__(self, base_url: str, key: str, limits: Limits, clock: Clock) -> None:
        self.base_url = base_url
        self._limits = limits
        self._clock = clock
        self.headers = {"Authorization": f"Bearer {key}", "User-Agent": f"tracelake-python/{version('tracelake')}"}
        self.timeout = httpx.Timeout(limits.timeout_s, connect=limits.connect_timeout_s)
        self.has_tls = base_url.startswith("https:")
        """Without it there is nothing to verify, and the certificates need not be loaded, which takes 0.1 s."""

    def prepared(self, client: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
        """The request with its policy."""
        limits = self._limits
        retries = Retries(request.repeat, max_retries=limits.max_retries, max_wait_s=limits.max_wait_s, clock=self._clock)
        return client.build_request(
            request.method, request.path, params=dict(request.query), headers=dict(request.headers), content=request.body,
            extensions={"retry": retries},
        )  # fmt: skip

    @contextmanager
    def refusals(self, request: Request) -> Iterator[None]:
        """Errors of httpx as errors of this package."""
        try:
            yield
        except TooLong as error:
            raise self._refusal(error.response) from None
        except httpx.DecodingError as error:
            raise BadAnswer(f"{self.base_url}{request.path}: the answer is not in the coding that it names") from error
        except httpx.TransportError as error:
            what = "in time" if isinstance(error, httpx.TimeoutException) else f"({_reason(error)})"
            raise NoAnswer(f"{request.method} {self.base_url}{request.path} had no answer {what}") from error

    def answer(self, response: httpx.Response) -> Answer:
        """The answer, if it is a 2xx."""
        if response.is_success:
            return Answer(response.status_code, response.headers, response.content)
        if response.is_redirect:
            place = response.headers.get("location", "")[:_MAX_SHOWN_CHARACTERS]
            raise BadAnswer(f"{self.base_url} sends elsewhere, to {place!r}: give the address of the server itself")
        raise self._refusal(response)

    def _refusal(self, response: httpx.Response) -> Exception:
        headers = response.headers
        return refusal(
            response.status_code,
            response.content,
            content_type=headers.get("content-type", ""),
            request_id=headers.get("x-request-id"),
            retry_after_s=asked_wait_s(response.status_code, headers, now_s=self._clock.now_s()),
        )

    def bounded(self) -> _Body:
        """A new body to fill."""
        return _Body(self._limits, self._clock)


def _reason(error: Exception) -> str:
    return plain(str(error)[:_MAX_SHOWN_CHARACTERS]) or type(error).__name__


class Connection:
    """A connection for callers without asyncio; several threads may use it."""

    def __init__(self, wire: Wire) -> None:
        self.url = wire.base_url
        self._wire = wire
        self._http = httpx.Client(
            base_url=wire.base_url, headers=wire.headers, timeout=wire.timeout, transport=RetryTransport(_Whole(wire))
        )

    def send(self, request: Request) -> Answer:
        """Send until there is an answer, or it is not worth it any more."""
        with self._wire.refusals(request):
            response = self._http.send(self._wire.prepared(self._http, request))
        return self._wire.answer(response)

    def close(self) -> None:
        self._http.close()


class AsyncConnection:
    """A connection for callers with asyncio."""

    def __init__(self, wire: Wire) -> None:
        self.url = wire.base_url
        self._wire = wire
        self._http = httpx.AsyncClient(
            base_url=wire.base_url, headers=wire.headers, timeout=wire.timeout, transport=RetryTransport(_AsyncWhole(wire))
        )

    async def send(self, request: Request) -> Answer:
        """Send until there is an answer, or it is not worth it any more."""
        with self._wire.refusals(request):
            response = await self._http.send(self._wire.prepared(self._http, request))
        return self._wire.answer(response)

    async def close(self) -> None:
        await self._http.aclose()


class _Body:
    """A body that comes in pieces."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._deadline_s = clock.elapsed_s() + limits.timeout_s
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """
        Raises:
            BadAnswer: it is larger than wanted.
            httpx.ReadTimeout: it takes too long; a piece now and then does not help.
        """
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._limits.max_answer_bytes:
            raise BadAnswer(
                f"the answer is larger than {self._limits.max_answer_bytes} bytes: ask for less, or connect with a larger "
                "max_answer_bytes"
            )
        if self._clock.elapsed_s() > self._deadline_s:
            raise httpx.ReadTimeout(f"the answer took longer than {self._limits.timeout_s:g} s")

    def response(self, head: httpx.Response) -> httpx.Response:
        """The response with all of the body."""
        headers = [(name, value) for name, value in head.headers.multi_items() if name not in _ENCODED]
        return httpx.Response(head.status_code, headers=headers, content=b"".join(self._pieces), extensions=head.extensions)


class _Whole(httpx.BaseTransport):
    """HTTP whose answers are there as a whole, or not at all."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._http = httpx.HTTPTransport(verify=wire.has_tls)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = self._wire.bounded()
        response = self._http.handle_request(request)
        try:
            for piece in response.iter_bytes():
                body.add(piece)
        finally:
            response.close()
        return body.response(response)

    def close(self) -> None:
        self._http.close()


class _AsyncWhole(httpx.AsyncBaseTransport):
    """The same for callers with asyncio."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._http = httpx.AsyncHTTPTransport(verify=wire.has_tls)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = self._wire.bounded()
        response = await self._http.handle_async_request(request)
        try:
            async for piece in response.aiter_bytes():
                body.add(piece)
        finally:
            await response.aclose()
        return body.response(response)

    async def aclose(self) -> None:
        await self._http.aclose()
