"""Targets: HTTP requests to addresses that users chose, which must not reach into the operator's own network.

Takes   a request to an address that somebody wrote into a rule or a setting.
Gives   the answer: status, headers and the beginning of the body.
Refuses addresses that are not of the public internet (`TargetRefused`); what does not answer in time, or cannot be reached
        or found (`TargetUnreachable`).

A name is resolved once, every address it has is checked, and the connection goes to one of those that were checked: what the
name means a moment later (DNS rebinding) has no say. Redirects are not followed, proxies of the environment not used, and an
answer is read for as long and as far as it may take, however slowly it comes.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from lake.errors import LakeError

from .addresses import TargetRefused, check_url, checked, is_public

TIMEOUT_S = 10.0
"""Seconds for the whole of a request: name, connection, TLS and answer."""
ANSWER_MAX_BYTES = 64 * 1024
"""Bytes of an answer that are read; the rest is left."""


class TargetUnreachable(LakeError):
    """Nothing answered, or not in time; later it may."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A POST as a channel wants it sent."""

    url: str = field(repr=False)  # of Slack it is the secret
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    """At most `ANSWER_MAX_BYTES` of it."""


Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host and port, as text."""


def resolve(host: str, port: int) -> Sequence[str]:
    """
    Raises:
        OSError: the name is not known, or nobody who knows can be asked.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found))


class Targets:
    """Sends requests. Safe for use by several threads."""

    def __init__(self, *, allow_private: bool = False, resolve: Resolve = resolve, timeout_s: float = TIMEOUT_S) -> None:
        """
        Args:
            allow_private: also to private addresses, and to those by plain `http`.
            resolve: how names become addresses.
        """
        self._allow_private = allow_private
        self._resolve = resolve
        self._timeout_s = timeout_s

    def post(self, request: HttpRequest) -> HttpAnswer:
        """Send a POST and wait for the answer, whatever its status; redirects too are answers.

        Raises:
            TargetRefused: it may not be sent there.
            TargetUnreachable: it was not answered. It may have arrived nevertheless.
        """
        check_url(request.url, allow_private=self._allow_private)
        is_plain = request.url.lower().startswith("http:")
        tls = None if is_plain else self._tls
        backend = _Backend(self._resolve, self._is_allowed(is_plain), time.monotonic() + self._timeout_s)
        try:
            with httpcore.ConnectionPool(ssl_context=tls, network_backend=backend) as pool:
                return _exchange(pool, request)
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise TargetUnreachable(_reason(error, self._timeout_s)) from None  # its cause may show the URL

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Certificates are verified; by the authorities in SSL_CERT_FILE, if that is set. Takes 0.1 s to make."""
        return httpx.create_ssl_context()

    def _is_allowed(self, is_plain: bool) -> Callable[[str], bool]:
        """Which addresses may be reached; by plain `http` no public ones: anybody on the way would read the secret."""
        if is_plain:
            return lambda address: not is_public(address)
        return (lambda _: True) if self._allow_private else is_public


def _exchange(pool: httpcore.ConnectionPool, request: HttpRequest) -> HttpAnswer:
    headers = {
        "Host": urlsplit(request.url).netloc,
        "User-Agent": f"Tracelake/{version('tracelake')}",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "Content-Length": str(len(request.body)),
        **request.headers,
    }
    with pool.stream("POST", request.url, headers=list(headers.items()), content=request.body) as response:
        body = bytearray()
        for piece in response.iter_stream():
            body += piece
            if len(body) > ANSWER_MAX_BYTES:
                break
        answered = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        return HttpAnswer(response.status, answered, bytes(body[:ANSWER_MAX_BYTES]))


def _reason(error: Exception, timeout_s: float) -> str:
    """What is the matter, without the address."""
    if isinstance(error, httpcore.TimeoutException):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, socket.gaierror):
        return f"the host name cannot be resolved: {error.strerror}"
    return f"no answer: {str(error) or type(error).__name__}"


@dataclass(slots=True)
class _Backend(httpcore.NetworkBackend):
    """The network, seen through the guard and up to a moment."""

    resolve: Resolve
    is_allowed: Callable[[str], bool]
    deadline_s: float
    """Monotonic seconds."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = checked(self.resolve(host, port), is_allowed=self.is_allowed)
        inner, failed = httpcore.SyncBackend(), None
        for address in addresses:
            try:
                stream = inner.connect_tcp(address, port, self._left_s(), local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            else:
                return _Stream(stream, self._left_s)
        assert failed is not None  # noqa: S101 - `checked` gives one address at least
        raise failed

    def connect_unix_socket(self, *_: object, **__: object) -> httpcore.NetworkStream:
        raise TargetRefused("the address is a socket of this machine")

    def _left_s(self) -> float:
        left_s = self.deadline_s - time.monotonic()
        if left_s <= 0:
            raise httpcore.ReadTimeout
        return left_s


@dataclass(slots=True)
class _Stream(httpcore.NetworkStream):
    """A connection whose every operation has the time that is left of the request."""

    inner: httpcore.NetworkStream
    left_s: Callable[[], float]

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.inner.read(max_bytes, self.left_s())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.inner.write(buffer, self.left_s())

    def close(self) -> None:
        self.inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self.inner.start_tls(ssl_context, server_hostname, self.left_s()), self.left_s)

    def get_extra_info(self, info: str) -> object:
        return self.inner.get_extra_info(info)
