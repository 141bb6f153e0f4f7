"""Bodies as the ASGI server hands them over: in chunks, in every coding, cut short, too large and too slow."""

import asyncio
import gzip
import zlib
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import pytest
import zstandard
from litestar import Litestar, Request, Response, post

from api.bodies import Bodies, Inflight, inflate
from api.problems import answer
from lake.errors import Overloaded, TooLarge, WireError

LIMIT = 1_000_000
CONTENT = b"".join(sha256(bytes([n])).digest() for n in range(32)) + b"spans " * 5000


def bare_deflate(data):
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


CODINGS = {
    "gzip": (gzip.compress, "gzip"),
    "x-gzip": (gzip.compress, "x-gzip"),
    "deflate with a zlib header": (zlib.compress, "deflate"),
    "deflate without one": (bare_deflate, "deflate"),
    "zstd": (zstandard.compress, "zstd"),
}


@pytest.fixture(params=list(CODINGS))
def coding(request):
    """How to compress, and the Content-Encoding of it."""
    return CODINGS[request.param]


def test_what_was_compressed_comes_back(coding):
    compress, name = coding
    assert inflate(compress(CONTENT), name, LIMIT) == CONTENT


def test_an_empty_content_is_a_content(coding):
    compress, name = coding
    assert inflate(compress(b""), name, LIMIT) == b""


@pytest.mark.parametrize(("compress", "name"), [(gzip.compress, "gzip"), (zstandard.compress, "zstd")])
def test_members_one_after_another_are_one_body(compress, name):
    """Logs are shipped like this, and both formats allow it."""
    assert inflate(compress(b"one, ") + compress(b"") + compress(b"two"), name, LIMIT) == b"one, two"


@pytest.mark.parametrize("kept", [0, 1, 4, 10, 0.3, 0.9, -1])
def test_a_body_that_stops_early_is_refused(coding, kept):
    compress, name = coding
    whole = compress(CONTENT)
    end = int(len(whole) * kept) if isinstance(kept, float) else kept
    with pytest.raises(WireError, match=name):
        inflate(whole[:end], name, LIMIT)


@pytest.mark.parametrize(("compress", "name"), [(gzip.compress, "gzip"), (zstandard.compress, "zstd")])
def test_a_second_member_that_stops_early_is_refused(compress, name):
    with pytest.raises(WireError, match=name):
        inflate(compress(CONTENT) + compress(CONTENT)[:-1], name, LIMIT)


def test_what_comes_after_the_end_is_refused(coding):
    compress, name = coding
    with pytest.raises(WireError, match=name):
        inflate(compress(CONTENT) + b"and more", name, LIMIT)


def test_a_flipped_bit_is_refused():
    broken = bytearray(gzip.compress(CONTENT))
    broken[-6] ^= 1  # in the checksum
    with pytest.raises(WireError):
        inflate(bytes(broken), "gzip", LIMIT)


def test_what_is_not_in_the_coding_is_refused(coding):
    with pytest.raises(WireError):
        inflate(b'{"resourceSpans": []}', coding[1], LIMIT)


def test_the_limit_is_the_last_size_that_passes(coding):
    compress, name = coding
    assert len(inflate(compress(bytes(LIMIT)), name, LIMIT)) == LIMIT
    with pytest.raises(TooLarge, match=str(LIMIT)):
        inflate(compress(bytes(LIMIT + 1)), name, LIMIT)


@pytest.mark.parametrize(
    ("bomb", "name"),
    [
        (gzip.compress(bytes(2**28)), "gzip"),
        (gzip.compress(bytes(2**24)) * 16, "gzip"),
        (zlib.compress(bytes(2**28)), "deflate"),
        (zstandard.compress(bytes(2**28)), "zstd"),
        (zstandard.compress(bytes(2**24)) * 16, "zstd"),
        (gzip.compress(b"") * 50_000 + gzip.compress(bytes(2**24)), "gzip"),
    ],
    ids=["gzip", "gzip members", "deflate", "zstd", "zstd frames", "a bomb behind empty members"],
)
def test_a_bomb_is_refused_at_the_limit(bomb, name):
    assert len(bomb) < 2**21
    with pytest.raises(TooLarge):
        inflate(bomb, name, LIMIT)


class Asked:
    """One request to an application that answers with the inflated body."""

    def __init__(self, *, max_bytes=LIMIT, inflight_bytes=10 * LIMIT, read_s=10.0):
        self.inflight = Inflight(inflight_bytes)
        self.seen = None
        """Bytes in flight while the body is there."""
        self.waits = asyncio.Event()
        """The client has sent what it sends and stays silent."""
        pool = ThreadPoolExecutor(1)
        bodies = Bodies(self.inflight, max_bytes, pool, read_s)

        @post("/", status_code=200)
        async def echo(request: Request[Any, Any, Any]) -> Response[bytes]:
            async with bodies.inflated(request) as body:
                self.seen = self.inflight.bytes
                return Response(body, media_type="application/octet-stream")

        self._app = Litestar([echo], exception_handlers={Exception: answer}, openapi_config=None)

    def __call__(self, *messages, **headers):
        """Status and body of the answer; `messages` are chunks of the body, or whatever else a server says."""
        return asyncio.run(self.ask(*messages, **headers))

    async def ask(self, *messages, **headers):
        chunks = [m if isinstance(m, dict) else {"type": "http.request", "body": m, "more_body": True} for m in messages]
        waiting = iter([*chunks, {"type": "http.request", "body": b"", "more_body": False}])
        answered = []

        async def receive():
            message = next(waiting)
            if message == NOTHING:
                self.waits.set()
                await asyncio.Event().wait()
            return message

        async def send(message):
            answered.append(message)

        await self._app(scope(headers), receive, send)
        return answered[0]["status"], b"".join(message.get("body", b"") for message in answered[1:])


DISCONNECT = {"type": "http.disconnect"}
NOTHING = {"type": "nothing comes any more"}


def scope(headers):
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), str(value).encode()) for name, value in headers.items()],
        "scheme": "http",
        "server": ("localhost", 80),
        "client": ("localhost", 1),
        "state": {},
    }


def test_chunks_are_put_together():
    assert Asked()(b"one, ", b"", b"two") == (200, b"one, two")


def test_a_compressed_body_counts_before_and_after_inflation(coding):
    compress, name = coding
    asked = Asked()
    raw = compress(CONTENT)
    assert asked(raw[:100], raw[100:], content_encoding=name.upper()) == (200, CONTENT)
    assert asked.seen == len(raw) + len(CONTENT)


def test_identity_is_no_coding():
    assert Asked()(b"plain", content_encoding="identity") == (200, b"plain")


@pytest.mark.parametrize("name", ["br", "gzip, gzip", "compress"])
def test_another_coding_is_refused_before_the_body_is_read(name):
    status, said = Asked()(NOTHING, content_encoding=name)
    assert status == 415
    assert b"use gzip, deflate or zstd" in said


def test_a_declared_length_over_the_limit_is_refused_before_the_body_is_read():
    assert Asked(max_bytes=100)(NOTHING, content_length=101)[0] == 413


def test_a_body_without_a_declared_length_is_refused_at_the_limit():
    assert Asked(max_bytes=100)(b"x" * 60, b"x" * 60, NOTHING)[0] == 413
    assert Asked(max_bytes=100)(b"x" * 60, b"x" * 40)[0] == 200


def test_a_client_that_stops_in_the_middle_is_let_go():
    status, said = Asked(read_s=0.05)(b"half a bo", NOTHING)
    assert status == 408
    assert b"did not arrive within 0.05 s" in said


@pytest.mark.parametrize(
    ("messages", "headers", "status"),
    [
        ([b"whole"], {}, 200),
        ([gzip.compress(CONTENT)], {"content_encoding": "gzip"}, 200),
        ([gzip.compress(CONTENT)[:-1]], {"content_encoding": "gzip"}, 400),
        ([gzip.compress(bytes(LIMIT + 1))], {"content_encoding": "gzip"}, 413),
        ([b"x" * LIMIT, b"x"], {}, 413),
        ([b"half", DISCONNECT], {}, 400),
        ([b"half", NOTHING], {}, 408),
    ],
    ids=["whole", "compressed", "cut short", "bomb", "too large", "disconnected", "too slow"],
)
def test_nothing_stays_in_flight_afterwards(messages, headers, status):
    asked = Asked(read_s=0.05)
    assert asked(*messages, **headers)[0] == status
    assert asked.inflight.bytes == 0


def test_a_cancelled_request_gives_its_bytes_back():
    asked = Asked()

    async def cancelled():
        task = asyncio.create_task(asked.ask(b"half", NOTHING))
        await asked.waits.wait()
        assert asked.inflight.bytes == len(b"half")
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(cancelled())
    assert asked.inflight.bytes == 0


def test_a_second_body_is_refused_while_the_first_fills_the_memory():
    asked = Asked(inflight_bytes=100)

    async def both():
        first = asyncio.create_task(asked.ask(b"x" * 90, NOTHING))
        await asked.waits.wait()
        second = await asked.ask(b"x" * 20)
        first.cancel()
        await asyncio.wait([first])
        return second, await asked.ask(b"x" * 20)

    (status, said), (later, _) = asyncio.run(both())
    assert status == 503
    assert b"send again" in said
    assert later == 200


def test_inflight_lets_one_body_in_however_small_its_limit():
    inflight = Inflight(10)
    inflight.take(50)
    with pytest.raises(Overloaded):
        inflight.take(1)
    inflight.give_back(50)
    inflight.take(10)
