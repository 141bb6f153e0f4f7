"""Spans for tests: OTLP protobuf as a client sends it, and its rows as the wire makes them.

Takes   what a test cares about; the rest has defaults.
Gives   bodies, rows of the table `spans`, and commits of them to a landing writer.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from lake.landing import Request
from lake.schema import PROMOTED, Promoted
from lake.wire.traces import Limits, TraceBody, trace_rows

START = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
"""When the first span of a test starts, and by default when it is ingested."""

LIMITS = Limits(max_spans=250_000, max_resources=10_000)

_numbers = itertools.count(1)


def otlp_body(
    n: int = 10,
    *,
    traces: int = 1,
    start: dt.datetime | Sequence[dt.datetime] = START,
    step: dt.timedelta = dt.timedelta(milliseconds=1),
    service: str = "shop",
    first: int | None = None,
    attributes: Mapping[str, str] | None = None,
    exceptions: bool = False,
) -> bytes:
    """An OTLP request of `n` spans in `traces` traces.

    Args:
        start: of the first span, the others follow by `step`; or the starts of all `n` of them.
        first: number that ids are made from; bodies made without one never share an id.
        exceptions: every span has an event of the name `exception`.
    """
    first = next(_numbers) * 1_000_000 if first is None else first
    starts = [start + i * step for i in range(n)] if isinstance(start, dt.datetime) else list(start)
    spans = (
        Span(
            trace_id=sha256(f"trace {first} {i % traces}".encode()).digest()[:16],
            span_id=(first + i + 1).to_bytes(8, "big"),
            name=f"GET /{i % 5}",
            kind=Span.SPAN_KIND_SERVER,
            start_time_unix_nano=nanoseconds(begin),
            end_time_unix_nano=nanoseconds(begin) + 5_000_000,
            attributes=_key_values(attributes or {"http.route": f"/{i % 5}"}),
            events=[_exception(begin, first + i)] if exceptions else [],
        )
        for i, begin in enumerate(starts)
    )
    resource = Resource(attributes=_key_values({"service.name": service}))
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=spans)])]
    ).SerializeToString()


def nanoseconds(time: dt.datetime) -> int:
    """Since the Unix epoch, exactly."""
    return (time - dt.datetime.fromtimestamp(0, dt.UTC)) // dt.timedelta(microseconds=1) * 1000


def _key_values(attributes: Mapping[str, str]) -> Iterator[KeyValue]:
    return (KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes.items())


def _exception(time: dt.datetime, number: int) -> Span.Event:
    attributes = _key_values({"exception.type": "OutOfStock", "exception.message": f"no item {number}"})
    return Span.Event(name="exception", time_unix_nano=nanoseconds(time), attributes=attributes)


def rows_of(
    bodies: Sequence[bytes], *, ingested_at: dt.datetime = START, promoted: tuple[Promoted, ...] = PROMOTED
) -> tuple[pa.Table, list[Request]]:
    """The rows of some bodies and their requests, hashed as the API hashes them."""
    rows = trace_rows(
        [TraceBody(body, "protobuf") for body in bodies],
        limits=LIMITS,
        ingested_at_us=nanoseconds(ingested_at) // 1000,
        promoted=promoted,
    )
    requests = [Request(sha256(bodies[i]).hexdigest(), rows.outcomes[i].row_count) for i in rows.order]
    return rows.table, requests
