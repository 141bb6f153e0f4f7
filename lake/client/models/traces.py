"""Traces as the server shows them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from msgspec import Struct


class Http(Struct, frozen=True, kw_only=True):
    """What the root of a trace was as a request."""

    method: str | None = None
    route: str | None = None
    status_code: int | None = None


class TraceSummary(Struct, frozen=True, kw_only=True):
    """One trace of a list."""

    trace_id: str
    """32 hex digits."""
    root_service: str | None
    root_operation: str | None
    root_missing: bool = False
    """No span without a parent has come; the root is then the earliest span."""
    services: list[str]
    start_time: dt.datetime
    end_time: dt.datetime
    duration_ms: float
    span_count: int
    error_count: int
    status: str
    """`ok`, `error` or `unset`."""
    root_status: str | None = None
    http: Http = Http()
    environment: str | None = None
    version: str | None = None
    git_sha: str | None = None


class FoundTrace(TraceSummary, frozen=True, kw_only=True):
    """A trace that a search found."""

    matched_spans: int
    """How many of its spans the query means."""
    matched_span_ids: list[str] = []
    """The first three of them by start."""
    matched_fields: list[dict[str, str | None]] | None = None
    """What `select` asked for, of those three; None without it."""


class SpanStatus(Struct, frozen=True, kw_only=True):
    """How a span ended."""

    code: str
    """`ok`, `error` or `unset`."""
    message: str | None = None


class SpanEvent(Struct, frozen=True, kw_only=True):
    """Something that happened in a span."""

    name: str
    time: dt.datetime
    attributes: dict[str, Any] = {}


class SpanLink(Struct, frozen=True, kw_only=True):
    """Another span that a span has to do with."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any] = {}


class InstrumentationScope(Struct, frozen=True, kw_only=True):
    """What made a span: a library and its version."""

    name: str | None = None
    version: str | None = None


class Span(Struct, frozen=True, kw_only=True):
    """One span of a trace."""

    span_id: str
    parent_span_id: str | None = None
    name: str
    service: str | None = None
    kind: str
    category: str | None = None
    start_time: dt.datetime
    start_time_unix_nano: str
    """The exact start: nanoseconds since the Unix epoch, as text."""
    end_time: dt.datetime
    duration_ms: float
    offset_ms: float = 0.0
    """From the start of the trace."""
    depth: int = 0
    """0 for a root."""
    status: SpanStatus
    attributes: dict[str, Any] = {}
    resource: dict[str, Any] = {}
    scope: InstrumentationScope = InstrumentationScope()
    events: list[SpanEvent] = []
    links: list[SpanLink] = []


class TraceError(Struct, frozen=True, kw_only=True):
    """An error that happened in a trace."""

    id: str
    exception_class: str
    message: str | None = None
    fingerprint: str


class TraceDeploy(Struct, frozen=True, kw_only=True):
    """The deploy that a trace ran on."""

    id: str
    version: str | None = None
    git_sha: str | None = None
    deployed_at: dt.datetime


class RepeatedQuery(Struct, frozen=True, kw_only=True):
    """A database query that comes again and again from one place: N+1."""

    pattern: str
    """The statement without its values, or the name of the spans."""
    service: str | None = None
    caller_span_id: str | None = None
    """The span that they are all called from."""
    count: int
    total_duration_ms: float
    """The sum of all of them; some may run at the same time."""
    span_ids: list[str] = []


class Trace(TraceSummary, frozen=True, kw_only=True):
    """One trace with its spans."""

    root_span_id: str | None = None
    truncated: bool = False
    """It has more spans than these."""
    spans: list[Span]
    errors: list[TraceError] = []
    deploy: TraceDeploy | None = None
    """The latest one of the root's service before it started."""
    n_plus_one: list[RepeatedQuery] = []
