"""Bodies: a request's bytes, read and inflated within limits.

Takes   a request.
Gives   its inflated body.
Refuses more than `LakeSettings.body_max_bytes` before or after inflation (413), a coding we do not know (415), bytes that
        do not inflate (400), and anything while too much is in memory already (503).

OTLP asks for the bound on both sides of decompression (specification, "OTLP/HTTP Request"): a bomb is small on the wire.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import zstandard
from litestar import Request

from lake.errors import Overloaded, TooLarge, WireError

from .problems import UnsupportedMediaType

_ZSTD_MAX_WINDOW_BYTES = 8 * 2**20
_INFLATE_IN_THREAD_BYTES = 64 * 2**10
"""Compressed bytes from which on inflating would hold the event loop up."""


class Inflight:
    """How many bytes of bodies this process holds, and whether there is room for more."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.bytes = 0

    def take(self, size_bytes: int) -> None:
        """Count bytes in.

        Raises:
            Overloaded: there is no room.
        """
        if self.bytes and self.bytes + size_bytes > self._max_bytes:
            raise Overloaded("too many request bodies in memory: send again in a moment")
        self.bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        self.bytes -= size_bytes


@asynccontextmanager
async def inflated_body(request: Request[Any, Any, Any], inflight: Inflight, max_bytes: int) -> AsyncIterator[bytes]:
    """The inflated body of a request; its bytes are counted in `inflight` while the context is open."""
    declared = request.headers.get("content-length", "0")
    _check_size(int(declared) if declared.isdigit() else 0, max_bytes)
    held = 0
    try:
        chunks = []
        async for chunk in request.stream():
            inflight.take(len(chunk))
            held += len(chunk)
            _check_size(held, max_bytes)
            chunks.append(chunk)
        raw = b"".join(chunks)
        coding = request.headers.get("content-encoding", "identity").strip().lower()
        if coding in ("", "identity"):
            yield raw
            return
        body = await _inflate(raw, coding, max_bytes)
        inflight.take(len(body))
        held += len(body)
        yield body
    finally:
        inflight.give_back(held)


def _check_size(size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise TooLarge(f"a request body may have {max_bytes} bytes: send smaller batches")


async def _inflate(raw: bytes, coding: str, max_bytes: int) -> bytes:
    if len(raw) < _INFLATE_IN_THREAD_BYTES:
        return inflate(raw, coding, max_bytes)
    return await asyncio.to_thread(inflate, raw, coding, max_bytes)


def inflate(raw: bytes, coding: str, max_bytes: int) -> bytes:
    """Undo a Content-Encoding.

    Raises:
        UnsupportedMediaType: the coding is none of gzip, deflate, zstd.
        TooLarge: the content has more than `max_bytes`.
        WireError: the bytes are not in that coding, or stop early.
    """
    try:
        if coding == "zstd":
            return _zstd(raw, max_bytes)
        if coding in ("gzip", "x-gzip", "deflate"):
            return _zlib(raw, coding, max_bytes)
    except (zlib.error, zstandard.ZstdError) as error:
        raise WireError(f"the body is not {coding}: {error}") from error
    raise UnsupportedMediaType(f"Content-Encoding {coding!r} is not known here: use gzip, deflate or zstd")


def _zlib(raw: bytes, coding: str, max_bytes: int) -> bytes:
    # clients disagree whether `deflate` has the zlib header that RFC 9110 asks for
    bare = coding == "deflate" and not (len(raw) > 1 and raw[0] & 15 == 8 and int.from_bytes(raw[:2], "big") % 31 == 0)
    stream = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | (16 if coding != "deflate" else 0))
    body = stream.decompress(raw, max_bytes + 1)
    _check_size(len(body), max_bytes)
    if not stream.eof:
        raise WireError(f"the {coding} body stops before its end")
    return body


def _zstd(raw: bytes, max_bytes: int) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW_BYTES).stream_reader(raw)
    body = reader.read(max_bytes + 1)
    _check_size(len(body), max_bytes)
    return body
