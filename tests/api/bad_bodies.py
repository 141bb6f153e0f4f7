"""Bad bodies: what broken, hostile and merely odd clients send, made by a seed.

Takes   a random generator.
Gives   `BadBody`: a route, headers, bytes, and how to count what a 200 to it has stored.
Refuses nothing.
"""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import zstandard
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from tests.api.clients import key_values, otlp, span

CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
}
TRACE_PATHS = ("/ingest/v1/traces", "/v1/traces")
JUNK: tuple[Any, ...] = (
    None, True, 0, -1, 2**63, 2**64, -(2**63) - 1, 10**400, 1.5, -0.0, float("nan"), float("inf"),
    "", "text", "0" * 32, "é\ud800", "\0", "9" * 40,
    [], {}, [[]], [None], {"a": {}}, {"stringValue": {}}, {"intValue": "x"}, {"arrayValue": {"values": None}},
)  # fmt: skip
"""Values that some field does not expect."""


@dataclass(frozen=True, slots=True)
class BadBody:
    """One request."""

    kind: str
    path: str
    headers: Mapping[str, str]
    content: bytes
    plain: bytes
    """Before it was compressed."""

    def stored(self, answer: bytes) -> tuple[str, int]:
        """Stream and number of rows that an answer 200 has promised."""
        if self.path in TRACE_PATHS and self.headers["Content-Type"] == "application/x-protobuf":
            refused = ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans
            request = ExportTraceServiceRequest.FromString(self.plain)
            return "spans", sum(len(s.spans) for r in request.resource_spans for s in r.scope_spans) - refused
        told = json.loads(answer)
        if self.path in TRACE_PATHS:
            scopes = [s for r in json.loads(self.plain)["resourceSpans"] or [] for s in r.get("scopeSpans") or []]
            refused = int(told["partialSuccess"].get("rejectedSpans", 0))
            return "spans", sum(len(scope.get("spans") or []) for scope in scopes) - refused
        if self.path == "/ingest/requests":
            return "requests", told["accepted"]
        return self.path.split("/")[2], told.get("accepted", 1)


def bad_body(random: Random, max_bytes: int) -> BadBody:
    """One bad body.

    Args:
        max_bytes: the server's limit; bombs go beyond it.
    """
    path = random.choice((*TRACE_PATHS * 3, "/ingest/errors", "/ingest/errors/batch", "/ingest/deploys", "/ingest/requests"))
    kind = random.choice(tuple(_KINDS))
    is_protobuf = path in TRACE_PATHS and random.random() < 0.5
    plain = _KINDS[kind](random, path, is_protobuf, max_bytes)
    coding = random.choice(tuple(CODINGS))
    if kind == "bomb" and coding == "identity":
        coding = "gzip"
    content = CODINGS[coding](plain)
    if random.random() < 0.1:  # broken once more, on the wire
        kind, content = f"{kind}, then cut", content[: random.randrange(len(content) + 1)]
    elif random.random() < 0.05:
        kind, coding = f"{kind}, in another coding", random.choice(tuple(CODINGS))
    headers = {
        "Content-Type": "application/x-protobuf" if is_protobuf else "application/json",
        "Content-Encoding": coding,
    }
    return BadBody(kind, path, headers, content, plain)


def _good(random: Random, path: str, is_protobuf: bool) -> bytes:
    """A sound body of the route, not twice the same."""
    return _protobuf(random) if is_protobuf else json.dumps(_content(random, path)).encode()


def _content(random: Random, path: str) -> dict[str, Any]:
    name = f"{random.getrandbits(64):016x}"
    if path in TRACE_PATHS:
        event = {
            "name": "exception",
            "timeUnixNano": str(time.time_ns()),
            "attributes": key_values({"exception.type": name}),
        }
        spans = (span(name, text=name, n=7, ratio=0.5, on=True, events=[event]) for _ in range(random.randint(1, 20)))
        return otlp(*spans, service=name)
    error = {
        "error_type": name,
        "message": name,
        "backtrace": ["a:1", "b:2"],
        "context": {"user_id": 7},
        "timestamp": time.time(),
    }
    request = {"request_id": name, "method": "GET", "path": "/", "status": 200, "total_ms": 1.5, "db_count": 3}
    bodies: dict[str, dict[str, Any]] = {
        "/ingest/errors": error,
        "/ingest/errors/batch": {"errors": [error, error]},
        "/ingest/deploys": {"version": name, "git_sha": name, "deployed_at": "2026-01-01T00:00:00Z"},
        "/ingest/requests": {"metadata": {"host": name}, "requests": [request, request]},
    }
    return bodies[path]


def _protobuf(random: Random) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for _ in range(random.randint(1, 20)):
        new = scope.spans.add(trace_id=random.randbytes(16), span_id=random.randbytes(8), name="GET /")
        new.start_time_unix_nano = new.end_time_unix_nano = time.time_ns()
        new.attributes.add(key="list").value.array_value.values.add(int_value=random.getrandbits(60))
        new.events.add(name="exception")
    return request.SerializeToString()


def _truncated(random: Random, path: str, is_protobuf: bool, _: int) -> bytes:
    whole = _good(random, path, is_protobuf)
    return whole[: random.randrange(len(whole))]


def _mutated(random: Random, path: str, is_protobuf: bool, _: int) -> bytes:
    body = bytearray(_good(random, path, is_protobuf))
    for _ in range(random.choice((1, 1, 2, 20))):
        body[random.randrange(len(body))] = random.randrange(256)
    return bytes(body)


def _wrong_types(random: Random, path: str, is_protobuf: bool, _: int) -> bytes:
    if is_protobuf:
        return _mutated(random, path, is_protobuf, 0)
    content = _content(random, path)
    for _ in range(random.randint(1, 3)):
        _replace_one(random, content)
    return json.dumps(content).encode("utf-8", "surrogatepass")


def _replace_one(random: Random, content: dict[str, Any]) -> None:
    """Put junk in the place of some value, at any depth."""
    here: Any = content
    while True:
        place = random.choice(list(here)) if isinstance(here, dict) else random.randrange(len(here))
        below = here[place]
        if not isinstance(below, (dict, list)) or not below or random.random() < 0.2:
            here[place] = random.choice(JUNK)
            return
        here = below


def _nested(random: Random, path: str, is_protobuf: bool, max_bytes: int) -> bytes:
    depth = random.choice((20, 200, 2_000, 20_000))
    if is_protobuf:
        value = AnyValue(string_value="deep").SerializeToString()
        for _ in range(min(depth, 200)):
            value = _field(5, _field(1, value)) if random.random() < 0.5 else _field(6, _field(1, _field(2, value)))
        whole = ExportTraceServiceRequest.FromString(_protobuf(random))
        attribute = _field(1, b"deep") + _field(2, value)
        return whole.SerializeToString() + _field(1, _field(2, _field(2, _field(9, attribute))))
    opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"arrayValue":', b"}]")))
    deep = opening * depth + b"null" + closing * depth
    return (b'{"resourceSpans":' + deep + b',"errors":' + deep + b',"version":' + deep + b"}")[:max_bytes]


def _field(number: int, content: bytes) -> bytes:
    """A field of protobuf with a length."""
    size, length = len(content), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def _bomb(random: Random, path: str, is_protobuf: bool, max_bytes: int) -> bytes:
    filling = random.choice((b"\0", b" ", b"[", b'{"a":1},'))
    return _good(random, path, is_protobuf)[:-1] + filling * (max_bytes * random.randint(1, 4) // len(filling))


def _partial(random: Random, path: str, is_protobuf: bool, _: int) -> bytes:
    """A sound body, but for some of its spans or reports."""
    if is_protobuf:
        request = ExportTraceServiceRequest.FromString(_protobuf(random))
        for broken in request.resource_spans[0].scope_spans[0].spans[::2]:
            broken.trace_id = random.choice((b"", b"short", bytes(16)))
        return request.SerializeToString()
    content = _content(random, path)
    if path in TRACE_PATHS:
        for broken in content["resourceSpans"][0]["scopeSpans"][0]["spans"][::2]:
            broken.update(
                random.choice(({"traceId": "0" * 32}, {"spanId": "abc"}, {"startTimeUnixNano": "99999999999999999999"}))
            )
    for reports in (content.get("errors"), content.get("requests")):
        if reports:
            reports.append(random.choice(JUNK))
    return json.dumps(content).encode("utf-8", "surrogatepass")


def _noise(random: Random, _: str, __: bool, ___: int) -> bytes:
    return random.randbytes(random.choice((0, 1, 10, 1000, 50_000)))


_KINDS = {
    "truncated": _truncated,
    "mutated": _mutated,
    "wrong types": _wrong_types,
    "nested": _nested,
    "bomb": _bomb,
    "partial": _partial,
    "noise": _noise,
}
