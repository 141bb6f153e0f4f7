"""Bodies: a request's bytes, read and inflated within limits.

Takes   a request.
Gives   its inflated body.
Refuses more than `LakeSettings.body_max_bytes` before or after inflation (413), a coding we do not know (415), bytes that
        do not inflate or stop early (400), a client that takes too long (408), and anything while too much is in memory
        already (503).

OTLP asks for the bound on both sides of decompression (specification, "OTLP/HTTP Request"): a bomb is small on the wire.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from litestar import Request
from litestar.exceptions import InternalServerException

from lake.errors import Overloaded, TooLarge, WireError

from .problems import Disconnected, RequestTimeout, UnsupportedMediaType

READ_S = 60.0
"""Seconds that a client has to send a body: who stops in the middle must not hold memory for ever."""

_ARROW_CODECS = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}


class Inflight:
    """How many bytes of bodies this process holds, and whether there is room for more."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.bytes = 0

    def take(self, size_bytes: int) -> None:
        """Count bytes in. A body that is alone is always let in, however small the limit.

        Raises:
            Overloaded: there is no room.
        """
        if self.bytes and self.bytes + size_bytes > self._max_bytes:
            raise Overloaded("too many request bodies in memory: send again in a moment")
        self.bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        self.bytes -= size_bytes


@dataclass(frozen=True, slots=True)
class Bodies:
    """How bodies are read in this process."""

    inflight: Inflight
    max_bytes: int
    """Bytes of one body, before and after inflation."""
    executor: Executor
    """Where bodies are inflated: any of them can be a bomb, and the event loop has others to serve."""
    read_s: float = READ_S

    @asynccontextmanager
    async def inflated(self, request: Request[Any, Any, Any]) -> AsyncIterator[bytes]:
        """The inflated body of a request; its bytes count as in flight while the context is open."""
        declared = request.headers.get("content-length", "")
        check_size(int(declared) if declared.isdigit() else 0, self.max_bytes)
        coding = request.headers.get("content-encoding", "").strip().lower()
        _check_coding(coding)
        chunks: list[bytes] = []
        held = 0
        try:
            async with _in_time(self.read_s):
                async for chunk in request.stream():
                    self.inflight.take(len(chunk))
                    held += len(chunk)
                    check_size(held, self.max_bytes)
                    chunks.append(chunk)
            body = b"".join(chunks)
            chunks.clear()
            if coding not in ("", "identity"):
                loop = asyncio.get_running_loop()
                body = await loop.run_in_executor(self.executor, inflate, body, coding, self.max_bytes)
                self.inflight.take(len(body))
                held += len(body)
            yield body
        finally:
            self.inflight.give_back(held)


@asynccontextmanager
async def _in_time(read_s: float) -> AsyncIterator[None]:
    """A block that reads a body.

    Raises:
        RequestTimeout: the block took too long.
        Disconnected: the client went away.
    """
    try:
        async with asyncio.timeout(read_s):
            yield
    except TimeoutError as error:
        raise RequestTimeout(f"the body did not arrive within {read_s:g} s: send smaller batches") from error
    except InternalServerException as error:  # what Litestar makes of a disconnect
        raise Disconnected("the connection ended before the body was complete") from error


def check_size(size_bytes: int, max_bytes: int) -> None:
    """
    Raises:
        TooLarge: the size is over the limit.
    """
    if size_bytes > max_bytes:
        raise TooLarge(f"a request body may have {max_bytes} bytes here: send less at once")


def _check_coding(coding: str) -> None:
    if coding not in ("", "identity", "deflate", *_ARROW_CODECS):
        raise UnsupportedMediaType(f"Content-Encoding {coding!r} is not known here: use gzip, deflate or zstd")


def inflate(raw: bytes, coding: str, max_bytes: int) -> bytes:
    """Undo a Content-Encoding: gzip, x-gzip, deflate or zstd.

    Raises:
        TooLarge: the content has more than `max_bytes`.
        WireError: the bytes are not in that coding, or stop early.
    """
    if not raw:
        raise WireError(f"the body is empty, which is not {coding}")
    try:
        body = _deflated(raw, max_bytes) if coding == "deflate" else _inflated(raw, _ARROW_CODECS[coding], max_bytes)
    except (zlib.error, OSError) as error:
        raise WireError(f"the body is not {coding}, or not all of it: {error}") from error
    check_size(len(body), max_bytes)
    return body


def _inflated(raw: bytes, codec: str, max_bytes: int) -> bytes:
    """Up to `max_bytes` + 1 bytes of gzip or zstd.

    Arrow's stream goes on after the first gzip member or zstd frame (both formats are lists of them) and tells a stream that
    stops early from one that ends, which neither `zlib` nor `zstandard` does by itself.
    """
    with pa.CompressedInputStream(pa.BufferReader(raw), codec) as stream:
        return bytes(stream.read_buffer(max_bytes + 1))


def _deflated(raw: bytes, max_bytes: int) -> bytes:
    """Up to `max_bytes` + 1 bytes of deflate."""
    # clients disagree whether `deflate` has the zlib header that RFC 9110 asks for
    has_header = len(raw) > 1 and raw[0] & 15 == zlib.DEFLATED and int.from_bytes(raw[:2], "big") % 31 == 0
    stream = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
    body = stream.decompress(raw, max_bytes + 1)
    if len(body) <= max_bytes and not stream.eof:
        raise WireError("the deflate body stops before its end")
    if stream.unused_data:
        raise WireError("the deflate body goes on after its end")
    return body
